"""`evolve preflight` on servers in a bad way: near wraparound, holding what was prepared, with a standby that lags."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import chdir

import psycopg
import pytest
from click.testing import CliRunner
from support.aged import aged
from support.alembic_project import AlembicProject
from support.standby import Streaming, streaming

from evolve.cli import evolve as command_line

pytestmark = pytest.mark.server

Told = Callable[[str, str], dict[str, str]]

AGE = 2_060_000_000
# Beyond the age of failsafe, a worker would no longer heed how slow the table wants it to be.
SETTINGS = {
    "max_prepared_transactions": "2",
    "vacuum_failsafe_age": "2100000000",
    "autovacuum_vacuum_cost_delay": "0",
}
USERS = """
    CREATE TABLE users (id, name) WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
        AS SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n;
    ALTER SYSTEM SET autovacuum_naptime = '1h';
"""


@pytest.fixture(scope="module")
def old_server() -> Iterator[str]:
    def prepare(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in USERS.split(";"):
                connection.execute(statement.encode())

    with aged(prepare, AGE, SETTINGS) as url:
        yield url


@pytest.fixture(scope="module")
def pair() -> Iterator[Streaming]:
    with streaming({}) as pair:
        yield pair


@pytest.fixture
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What preflight says of each thing on that server, with that verdict."""

    def ask(url: str, verdict: str) -> dict[str, str]:
        project = AlembicProject(tmp_path_factory.mktemp("project") / "project", url)
        project.add("one", 'op.execute("ALTER TABLE users ADD COLUMN note text")')
        (project.root / "evolve.toml").write_text("[preflight]\nlongest_transaction = 0\nreplica_lag = 0\n")
        with chdir(project.root):
            done = CliRunner().invoke(command_line, ["preflight", "--format", "json"])
        assert done.stdout, done.exception
        checks = json.loads(done.stdout)["checks"]
        return {each["name"]: each["says"] for each in checks if each["verdict"] == verdict}

    return ask


def test_how_far_wraparound_is(told: Told, old_server: str) -> None:
    says = told(old_server, "fails")["wraparound"]
    assert says.startswith(f"{(2**31 - AGE) // 1_000_000},")
    assert says.endswith(
        "transactions are left before the database stops taking writes; the limit is 100,000,000"
    )


def test_a_prepared_transaction_holds_the_table(told: Told, old_server: str) -> None:
    with psycopg.connect(old_server, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM users WHERE id = 1")
        connection.execute("PREPARE TRANSACTION 'it''s'")
        try:
            says = told(old_server, "fails")["transactions"]
        finally:
            connection.execute("ROLLBACK PREPARED 'it''s'")
    assert says.startswith('prepared transaction "it\'s"')
    assert says.endswith("holds a lock on users, which is to be changed")


def test_autovacuum_against_wraparound_is_at_the_table(told: Told, old_server: str) -> None:
    with psycopg.connect(old_server, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        connection.execute("SELECT pg_reload_conf()")
        end = time.monotonic() + 20
        while "autovacuum" not in (found := told(old_server, "fails")):
            assert time.monotonic() < end, found
    assert found["autovacuum"] == "autovacuum keeps users from wraparound, and gives way to nobody"


def test_a_standby_that_lags(told: Told, pair: Streaming) -> None:
    pair.caught_up()
    assert "replication" in told(pair.primary, "passes")
    with psycopg.connect(pair.primary, autocommit=True) as primary, pair.lagging():
        primary.execute("SET synchronous_commit = on")  # what is not on the disk has not been sent either
        primary.execute("CREATE TABLE filler AS SELECT n FROM generate_series(1, 10000) n")
        assert "MB of WAL to replay" in told(pair.primary, "warns")["replication"]
