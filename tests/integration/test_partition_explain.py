"""Which partitions queries scan on a real server, why, and that none of them is ever run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.command_line import evolve
from support.counting import COUNTS, counting

from evolve.app.explain_queries import CannotReadQueries, explain_queries
from evolve.partition.advice.pruning import Explanation, Pruned
from evolve.postgres import scratch
from evolve.postgres.partitions import NotPartitioned
from evolve.postgres.query_statistics import NoStatements
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ORDERS, SALES = QualifiedName("orders"), QualifiedName("sales")

SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, name text);
CREATE TABLE orders (id bigint, at timestamptz NOT NULL, user_id bigint, seen timestamptz)
    PARTITION BY RANGE (at);
CREATE INDEX ON orders (at); CREATE INDEX ON orders (user_id);
CREATE VIEW recent AS SELECT * FROM orders WHERE seen IS NOT NULL;
CREATE SEQUENCE runs;
CREATE FUNCTION counted() RETURNS timestamptz LANGUAGE sql
    AS $$SELECT now() + nextval('runs') * interval '1 s'$$;
CREATE TABLE events (id bigint, kind integer) PARTITION BY HASH (id);
CREATE TABLE pairs (a bigint, b bigint) PARTITION BY HASH (a, b);
CREATE TABLE pairs_0 PARTITION OF pairs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE pairs_1 PARTITION OF pairs FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE days (at timestamp) PARTITION BY RANGE (date_trunc('day', at));
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
CREATE TABLE sales (country varchar(9), at date) PARTITION BY LIST (country);
CREATE TABLE sales_eu PARTITION OF sales FOR VALUES IN ('de', 'fr') PARTITION BY RANGE (at);
CREATE TABLE sales_eu_1 PARTITION OF sales_eu FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE sales_eu_2 PARTITION OF sales_eu FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
CREATE TABLE sales_us PARTITION OF sales FOR VALUES IN ('us');
CREATE TABLE sales_other PARTITION OF sales DEFAULT;
"""
MONTHS = 12


def make(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        for month in range(1, MONTHS + 1):
            end = f"{2026 + month // 12}-{month % 12 + 1:02}-01 00:00+00"
            connection.execute(
                f"CREATE TABLE orders_{month:02} PARTITION OF orders FOR VALUES"
                f" FROM ('2026-{month:02}-01 00:00+00') TO ('{end}')"
            )
        for remainder in range(4):
            connection.execute(
                f"CREATE TABLE events_{remainder} PARTITION OF events FOR VALUES"
                f" WITH (MODULUS 4, REMAINDER {remainder})"
            )


@pytest.fixture(scope="module")
def url(scratch_server: scratch.Server) -> Iterator[str]:
    """One for all tests here, since explaining changes nothing."""
    with scratch_server.database() as url:
        make(url)
        yield url


def explained(
    url: str,
    tmp_path: Path,
    *queries: str,
    table: QualifiedName = ORDERS,
    limit: int | None = None,
    strict: bool = False,
) -> Explanation:
    file = tmp_path / "queries.sql"
    file.write_text(";\n".join(queries))
    return explain_queries(url, table, [file], limit, strict=strict)


def one(url: str, tmp_path: Path, query: str, table: QualifiedName = ORDERS) -> Pruned:
    found = explained(url, tmp_path, query, table=table)
    assert not found.unexplained
    (pruned,) = found.queries
    return pruned


@pytest.mark.parametrize(
    ("query", "at_plan", "at_run", "depends"),
    [
        ("SELECT FROM orders WHERE at >= '2026-03-01Z' AND at < '2026-05-01Z'", 2, 2, False),
        ("SELECT FROM orders WHERE at > '2030-01-01'", 0, 0, False),
        ("SELECT FROM orders WHERE at = $1", 12, 1, False),
        ("SELECT FROM orders WHERE at = %s AND user_id = %s", 12, 1, False),
        ("SELECT FROM orders WHERE at IN (:a, :b, :c)", 12, 3, False),
        ("SELECT FROM orders WHERE at = $1 OR at = $2", 12, 2, False),
        ("SELECT FROM orders WHERE at >= $1 AND at < $2", 12, 1, True),
        ("SELECT FROM orders WHERE at BETWEEN $1 AND $2", 12, 1, True),
        ("SELECT FROM orders WHERE at >= date $1 LIMIT $2", 12, 1, True),
        ("SELECT FROM orders WHERE at < $1", 12, 1, True),
        ("SELECT FROM orders WHERE at >= timestamp '2026-11-10'", 12, 2, False),
        ("SELECT FROM recent WHERE at = $1", 12, 1, False),
        ("SELECT FROM orders_03 WHERE id = $1", 1, 1, False),
        ("SELECT FROM orders o JOIN orders p USING (at) WHERE o.at = $1", 12, 1, False),
        ("UPDATE orders SET seen = now() WHERE id = $1 AND at = $2", 12, 1, False),
        ("DELETE FROM orders WHERE at < $1", 12, 1, True),
        ("WITH gone AS (DELETE FROM orders WHERE at = $1 RETURNING *) SELECT FROM gone", 12, 1, False),
        ("INSERT INTO users SELECT id FROM orders WHERE at = $1", 12, 1, False),
    ],
)
def test_how_many_partitions_are_left(
    url: str, tmp_path: Path, query: str, at_plan: int, at_run: int, depends: bool
) -> None:
    found = one(url, tmp_path, query)
    assert (found.at_plan, found.at_run, found.depends, found.total) == (at_plan, at_run, depends, MONTHS)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT FROM orders", "no-key"),
        ("UPDATE orders SET seen = now() WHERE id = $1", "no-key"),
        ("SELECT FROM orders o JOIN users u ON u.id = o.user_id WHERE u.name = $1", "no-key"),
        ("SELECT FROM orders WHERE date_trunc('month', at) = $1", "function"),
        ("SELECT FROM orders WHERE at::date = $1", "type"),
        ("SELECT FROM orders WHERE at + interval '1 day' > $1", "expression"),
        ("SELECT FROM orders WHERE at = $1 OR user_id = $2", "or"),
        ("SELECT FROM orders WHERE at <> $1", "operator"),
        ("SELECT FROM orders WHERE at IS DISTINCT FROM $1", "operator"),
        ("SELECT FROM orders WHERE at < seen", "own-column"),
        ("SELECT FROM orders WHERE at > clock_timestamp()", "volatile"),
        ("SELECT FROM orders WHERE at > counted()", "volatile"),
        ("SELECT FROM orders WHERE at = ANY ($1)", "array"),
        ("SELECT FROM orders WHERE at >= '2020-01-01'", "covers"),
        ("SELECT FROM orders WHERE at > (SELECT max(seen) FROM orders_01)", "subquery"),
        ("SELECT FROM orders, users WHERE orders.at = to_timestamp(users.id)", "join"),
    ],
)
def test_why_all_are_scanned(url: str, tmp_path: Path, query: str, code: str) -> None:
    found = one(url, tmp_path, query)
    assert found.reason is not None
    assert (found.at_run, found.reason.code) == (MONTHS, code)


@pytest.mark.parametrize(
    ("table", "where", "at_run", "code"),
    [
        ("events", "id = $1", 1, "at-run"),
        ("events", "id > $1", 4, "hash-range"),
        ("events", "id = $1::numeric", 4, "type"),
        ("pairs", "a = $1 AND b = $2", 1, "at-run"),
        ("pairs", "a = $1", 2, "part-of-key"),
        ("days", "at = $1", 2, "expression-key"),
        ("sales", "country IN ('us', 'jp')", 2, "default"),
        ("sales", "country LIKE 'd%'", 4, "operator"),
    ],
)
def test_other_methods_prune_by_other_conditions(
    url: str, tmp_path: Path, table: str, where: str, at_run: int, code: str
) -> None:
    found = one(url, tmp_path, f"SELECT FROM {table} WHERE {where}", QualifiedName(table))
    assert (found.at_run, found.reason.code if found.reason else None) == (at_run, code)


def test_pruning_that_is_switched_off_is_told(url: str, tmp_path: Path) -> None:
    found = one(
        f"{url}?options=-cenable_partition_pruning%3Doff", tmp_path, "SELECT FROM orders WHERE at = $1"
    )
    assert found.reason is not None
    assert (found.at_run, found.reason.code) == (MONTHS, "off")


@pytest.mark.parametrize(
    ("query", "scanned"),
    [
        ("SELECT FROM sales WHERE country = 'de' AND at < '2026-02-01'", {"sales_eu_1"}),
        ("SELECT FROM sales WHERE country = 'us'", {"sales_us"}),
        ("SELECT FROM sales WHERE at < '2026-02-01'", {"sales_eu_1", "sales_us", "sales_other"}),
        ("SELECT FROM sales WHERE country = $1 AND at = $2", {"sales_eu_1"}),
    ],
)
def test_partitions_of_partitions(url: str, tmp_path: Path, query: str, scanned: set[str]) -> None:
    assert {*one(url, tmp_path, query, SALES).partitions} == scanned


def test_nothing_is_run_and_nothing_left_behind(url: str, tmp_path: Path) -> None:
    explained(
        url,
        tmp_path,
        "SELECT nextval('runs') FROM orders",
        "SELECT FROM orders WHERE at > counted()",
        "INSERT INTO orders SELECT nextval('runs'), '2026-03-04' FROM users",
        "DELETE FROM orders WHERE id = nextval('runs')",
    )
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SELECT is_called FROM runs").fetchone() == (False,)


def test_what_the_server_refuses_is_told_and_the_others_go_on(url: str, tmp_path: Path) -> None:
    found = explained(
        url,
        tmp_path,
        "SELECT nope FROM orders",
        "SELECT FROM orders WHERE at = $1::text",
        "VACUUM orders",
        "SELECT 1 FROM",
        "SELECT FROM users",
        "SELECT FROM orders WHERE at = $1",
    )
    assert [each.error for each in found.unexplained][:2] == [
        'column "nope" does not exist',
        "operator does not exist: timestamp with time zone = text",
    ]
    assert (len(found.unexplained), len(found.queries), found.elsewhere) == (4, 1, 1)


def test_a_lock_that_is_held_is_not_waited_for_long(url: str, tmp_path: Path) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE orders_05 IN ACCESS EXCLUSIVE MODE")
        found = explained(url, tmp_path, "SELECT FROM orders", "SELECT FROM orders WHERE at < '2026-02-01Z'")
    assert [each.error for each in found.unexplained] == ["canceling statement due to lock timeout"]
    assert [each.at_run for each in found.queries] == [1]


def test_where_a_query_stands_in_its_file(url: str, tmp_path: Path) -> None:
    found = explained(url, tmp_path, "SELECT FROM\n users", "SELECT FROM orders")
    assert [each.query.place for each in found.queries] == [f"{tmp_path / 'queries.sql'}:3"]


@pytest.mark.parametrize(
    ("query", "limit", "strict", "passes"),
    [
        ("SELECT FROM orders WHERE at = $1", 1, False, True),
        ("SELECT FROM orders WHERE at = $1", 1, True, True),
        ("SELECT FROM orders WHERE at IN ($1, $2)", 1, False, False),
        ("SELECT FROM orders WHERE at >= $1", 1, False, True),
        ("SELECT FROM orders WHERE at >= $1", 1, True, False),
        ("SELECT FROM orders", 11, False, False),
        ("SELECT FROM orders", 12, True, True),
        ("SELECT FROM users", 0, True, True),
        ("SELECT nope FROM orders", 1, False, True),
        ("SELECT nope FROM orders", 1, True, False),
    ],
)
def test_the_gate(url: str, tmp_path: Path, query: str, limit: int, strict: bool, passes: bool) -> None:
    assert explained(url, tmp_path, query, limit=limit, strict=strict).passes is passes


def test_a_table_without_partitions_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(NotPartitioned, match="users"):
        explained(url, tmp_path, "SELECT 1", table=QualifiedName("users"))


def test_a_file_that_is_no_text_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "queries").write_bytes(b"\xff\xfe")
    with pytest.raises(CannotReadQueries, match="not text"):
        explain_queries(url, ORDERS, [tmp_path / "queries"])


def test_a_database_that_counts_no_statements_is_refused(url: str) -> None:
    with pytest.raises(NoStatements, match="pg_stat_statements is not in this database"):
        explain_queries(url, ORDERS, [])


# -- as a user types it -----------------------------------------------------------------------------------------------
def run(url: str, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return evolve("partition", "explain", *arguments, cwd=folder, env={"EVOLVE_DATABASE_URL": url})


def test_the_gate_answers_no(url: str, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text(
        "SELECT FROM orders WHERE at = :at;\nSELECT * FROM orders WHERE at::date = :day;"
    )
    done = run(url, tmp_path, "orders", "q.sql", "--max-partitions", "3")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[2] == "! 12 of 12  q.sql:2"
    assert "fix: give a value of type timestamp with time zone" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 of 2 queries scans more than 3 partitions"


def test_its_json(url: str, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("SELECT FROM orders WHERE at = :at")
    done = run(url, tmp_path, "orders", "q.sql", "--format", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["schema"], told["passes"]) == (0, 1, True)
    (query,) = told["queries"]
    assert (query["scanned"], len(query["planned"])) == (["orders_01"], MONTHS)


def test_it_wants_to_be_told_which_queries(url: str, tmp_path: Path) -> None:
    done = run(url, tmp_path, "orders")
    assert done.returncode == 2
    assert "evolve partition explain orders --from-statements" in done.stderr


# -- what was counted -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def counting_server() -> Iterator[scratch.Server]:
    """A server of our own: the extension must be loaded when it starts."""
    with counting(lambda provider: scratch.server(provider, settings=COUNTS)) as server:
        yield server


def test_counted_statements_are_explained_and_none_is_added(counting_server: scratch.Server) -> None:
    with counting_server.database() as url:
        make(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute("SELECT FROM recent WHERE at = '2026-03-04'")
            connection.execute("SELECT FROM orders WHERE at::date = date '2026-03-04'")
            connection.execute("SELECT FROM users")
            found = explain_queries(url, ORDERS, [])
            ours = connection.execute(
                "SELECT query FROM pg_stat_statements"
                " WHERE query LIKE '%evolve_explained%' OR (calls > 1 AND query LIKE '%at =%')"
            ).fetchall()
    assert [(each.at_run, each.query.calls) for each in found.queries] == [(12, 1), (1, 1)]
    assert ours == []
