"""Advice on tables whose best key is known, from a server that has counted what was asked of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from jsonschema import Draft202012Validator
from support.command_line import evolve
from support.counting import COUNTS, counting
from support.workloads import BY_MANY, BY_UUID, TENANTS, TIME_SERIES, Workload

from evolve.app.advise_table import UnknownTable, advise, advise_from, read_use
from evolve.partition.advice.table import TableAdvice, advise_table
from evolve.partition.advice.workload import to_json
from evolve.postgres import scratch
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

EVENTS = QualifiedName("events")
FACTS_SCHEMA = Path(__file__).parents[2] / "evolve" / "docs" / "reference" / "facts.schema.json"


@pytest.fixture(scope="module")
def counting_server() -> Iterator[scratch.Server]:
    """A server of our own: the extension must be loaded when it starts."""
    with counting(lambda provider: scratch.server(provider, settings=COUNTS)) as server:
        yield server


@pytest.fixture
def url(counting_server: scratch.Server) -> Iterator[str]:
    with counting_server.database() as url:
        yield url


def advised(url: str, least: int = 0) -> TableAdvice:
    """As if each call had taken as long as any other: how long they take is up to the machine's other work."""
    facts, workload = read_use(url)
    assert workload.statements is not None
    assert all(each.seconds > 0 for each in workload.statements)
    even = tuple(replace(each, seconds=float(each.calls)) for each in workload.statements)
    return advise_table(facts, replace(workload, statements=even), workload.tables[EVENTS], least)


@pytest.mark.parametrize(
    ("workload", "method", "column", "shard"),
    [
        (TIME_SERIES, "range", "created_at", None),
        (TENANTS, "hash", "tenant_id", "tenant_id"),
        (BY_UUID, "hash", "id", "id"),
    ],
    ids=["time series", "tenants", "uuid"],
)
def test_the_best_key_is_found(
    url: str, workload: Workload, method: str, column: str, shard: str | None
) -> None:
    workload.play(url)
    found = advised(url)
    assert found.partition.best is not None, found.partition.why
    assert (found.partition.best.method, found.partition.best.column) == (method, column)
    assert (found.shard.best.column if found.shard.best else None) == shard


def test_reads_by_many_columns_have_no_key(url: str) -> None:
    BY_MANY.play(url)
    found = advised(url)
    assert found.partition.keys
    assert (found.partition.best, found.shard.best, found.command) == (None, None, None)


def test_a_small_table_needs_no_key_however_it_is_read(url: str) -> None:
    TIME_SERIES.play(url)
    found = advised(url, least=10**9)
    assert found.partition.keys[0].column == "created_at"
    assert found.partition.best is None
    assert found.partition.why.startswith("it is small")


def test_an_export_says_the_same_as_the_database(url: str, tmp_path: Path) -> None:
    TENANTS.play(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE INDEX a ON events (status); CREATE INDEX b ON events (status, amount)")
    file = tmp_path / "facts.json"
    done = evolve("facts", "export", "--workload", "-o", file, cwd=tmp_path, env={"EVOLVE_DATABASE_URL": url})
    assert done.returncode == 0, done.stderr
    ((live,), _), ((exported,), _) = advise(url, [EVENTS], 0), advise_from(file, [EVENTS], 0)
    # The export itself was counted meanwhile, but uses none of the tables.
    assert (exported.partition, exported.shard, exported.indexes) == (
        live.partition,
        live.shard,
        live.indexes,
    )
    assert {(hint.code, hint.index) for hint in exported.indexes} >= {
        ("left-prefix", "a"),
        ("few-values", "a"),
    }


def test_an_export_is_of_its_published_shape_and_holds_no_value(url: str) -> None:
    TIME_SERIES.play(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT FROM events WHERE kind = 'a value'")
    document = to_json(*read_use(url))
    Draft202012Validator(json.loads(FACTS_SCHEMA.read_text())).validate(json.loads(document))
    assert "a value" not in document


def test_what_it_prints(url: str, tmp_path: Path) -> None:
    TENANTS.play(url)
    done = evolve("partition", "advise", "events", "--min-size", "0", "--database-url", url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "  partition by: hash (tenant_id)," in done.stdout
    assert (
        "    evolve partition convert events --method hash --key tenant_id --set modulus=16\n" in done.stdout
    )
    assert "  shard by: tenant_id," in done.stdout


def test_a_database_that_counts_nothing_is_told_so(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE events (id bigint PRIMARY KEY)")
    done = evolve(
        *("partition", "advise", "--min-size", "0", "--format", "json", "--database-url", database_url),
        cwd=tmp_path,
    )
    told = json.loads(done.stdout)
    assert (done.returncode, told["schema"], told["tables"][0]["partition"]["best"]) == (0, 1, None)
    assert any("pg_stat_statements is not in this database" in note for note in told["notes"])


def test_a_table_that_is_not_there_is_refused(database_url: str) -> None:
    with pytest.raises(UnknownTable, match="nothing"):
        advise(database_url, [QualifiedName("nothing")])
