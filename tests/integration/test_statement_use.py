"""What pg_stat_statements says of a column that is to go, on a server that counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import psycopg
import pytest
from support.changes import Connection

from evolve.plan.gate_sql import SHUT, Conditions, gate_block
from evolve.plan.gates import Observation, Rules
from evolve.plan.model import NotUsed
from evolve.postgres import evidence, scratch
from evolve.postgres.connect import connect
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
GATE = NotUsed(((QualifiedName("users"), "name"),))
AT_ONCE = Rules(statement_window=0.0)


@pytest.fixture(scope="module")
def counting_server() -> Iterator[scratch.Server]:
    """A server of our own: the extension must be loaded when it starts."""
    try:
        with scratch.server(settings={"shared_preload_libraries": "pg_stat_statements"}) as server:
            yield server
    except scratch.NoScratchServer:
        pytest.skip("this server comes without pg_stat_statements")


@dataclass
class Database:
    """Ours is evolve's connection, as `evolve advance` has it; theirs is the application's."""

    url: str
    ours: Connection
    theirs: Connection
    rules: Rules = field(default=AT_ONCE)

    def look(self) -> Observation:
        return evidence.observe(self.ours, CHANGE, GATE, self.rules)

    def advance(self) -> Observation:
        """What `evolve advance` does with what it saw."""
        return evidence.watch(self.ours, CHANGE, [self.look()], self.rules)[0]

    def run(self, sql: str, *values: object) -> None:
        self.theirs.execute(sql.encode(), values or None)


@pytest.fixture
def database(counting_server: scratch.Server) -> Iterator[Database]:
    with (
        counting_server.database() as url,
        connect(url, autocommit=True) as ours,
        psycopg.connect(url, autocommit=True) as theirs,
    ):
        theirs.execute("CREATE EXTENSION pg_stat_statements")
        theirs.execute("CREATE TABLE users (id int PRIMARY KEY, name text, full_name text)")
        theirs.execute("SELECT pg_stat_statements_reset()")
        yield Database(url, ours, theirs)


def test_a_window_without_a_call_opens_the_gate(database: Database) -> None:
    database.run("SELECT name FROM users")  # before the window
    assert not database.look().open
    assert "watched from now on" in database.advance().fix
    database.run("SELECT id, full_name FROM users")
    assert database.look().open
    assert database.look().observed.startswith("no use since")


def test_looking_does_not_begin_a_window(database: Database) -> None:
    database.look()
    assert not database.look().open


@pytest.mark.parametrize(
    "use",
    [
        "SELECT name FROM users WHERE id = 1",
        "SELECT * FROM users",
        "INSERT INTO users (id) VALUES (1) RETURNING *",
        "SELECT u FROM users u",
        "COPY users TO STDOUT",
        "BEGIN; DECLARE c CURSOR FOR SELECT name FROM users; COMMIT",
    ],
)
def test_a_call_within_the_window_shuts_it_and_begins_another(database: Database, use: str) -> None:
    database.advance()
    if use.startswith("COPY"):
        with database.theirs.cursor().copy(use.encode()) as copy:
            list(copy)
    else:
        database.run(use)
    seen = database.advance()
    assert not seen.open
    assert "used since" in seen.observed
    assert database.look().open  # of the window that has begun now


def test_what_was_counted_before_and_is_called_again_shuts_it(database: Database) -> None:
    database.run("SELECT name FROM users WHERE id = %s", 1)
    database.advance()
    assert database.look().open
    database.run("SELECT name FROM users WHERE id = %s", 2)
    assert "names it" in database.look().observed


def test_a_young_window_is_not_believed(database: Database) -> None:
    database.rules = Rules(statement_window=3600.0)
    database.advance()
    seen = database.look()
    assert not seen.open
    assert "of 60 min" in seen.observed
    assert database.advance() == seen  # it goes on


def test_counts_that_were_reset_shut_it(database: Database) -> None:
    database.advance()
    database.run("SELECT pg_stat_statements_reset()")
    assert "reset" in database.look().observed


def test_a_count_that_was_reset_by_itself_shuts_it(database: Database) -> None:
    database.run("SELECT name FROM users")
    database.advance()
    database.run(
        "SELECT pg_stat_statements_reset(userid, dbid, queryid) FROM pg_stat_statements"
        " WHERE query = 'SELECT name FROM users'"
    )
    assert "reset" in database.look().observed


def test_what_evolve_itself_looks_at_is_no_use(database: Database) -> None:
    database.advance()
    database.ours.execute("SELECT count(*) FROM users WHERE full_name IS DISTINCT FROM name")
    assert database.look().open


def test_a_role_that_may_not_read_texts_is_told_so(database: Database) -> None:
    database.run("DROP ROLE IF EXISTS counts_nothing")
    database.run("CREATE ROLE counts_nothing")
    database.ours.execute("SET ROLE counts_nothing")
    assert "GRANT pg_read_all_stats" in database.look().fix


def test_calls_that_are_not_counted_shut_it(database: Database) -> None:
    database.ours.execute("SET pg_stat_statements.track_utility = off")
    assert "track_utility" in database.look().observed


def test_a_replica_that_is_not_there_shuts_it(database: Database) -> None:
    database.advance()
    database.rules = replace(AT_ONCE, replicas=("postgresql://reader:secret@127.0.0.1:1/app",))
    seen = database.look()
    assert not seen.open
    assert "was not read" in seen.observed
    assert "secret" not in seen.observed


def test_a_replica_has_a_window_of_its_own(database: Database) -> None:
    database.rules = replace(AT_ONCE, replicas=(database.url,))  # the same server twice
    database.advance()
    assert database.look().open
    database.run("SELECT name FROM users")
    assert not database.look().open


def test_without_the_extension_nobody_has_looked(database_url: str) -> None:
    with connect(database_url, autocommit=True) as connection:
        seen = evidence.observe(connection, CHANGE, GATE, AT_ONCE)
        assert seen.open
        assert "nobody has looked" in seen.observed
        required = replace(AT_ONCE, statements="required")
        assert not evidence.observe(connection, CHANGE, GATE, required).open


@pytest.mark.parametrize("way", ["nobody uses it any more", "overridden"])
def test_use_shuts_the_gate_inside_the_revision(database: Database, way: str) -> None:
    block = gate_block(CHANGE, Conditions(phase="contract", unmapped=("users.name",)))
    database.run(block)  # nobody has looked
    database.advance()
    database.run("SELECT name FROM users")
    seen = database.advance()
    with pytest.raises(psycopg.Error, match="SELECT name FROM users") as raised:
        database.run(block)
    assert raised.value.sqlstate == SHUT
    because = "a report that may fail" if way == "overridden" else ""
    seen = replace(seen, open=True, because=because) if because else database.look()
    evidence.keep(database.ours, CHANGE, "contract", [seen], "ada")
    database.run(block)
