"""What pg_stat_statements says of a column that is to go, on a server that counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.counting import AT_ONCE, CHANGE, COUNTS, GATE, Counted, counted, counting

from evolve.plan.gate_sql import SHUT, Conditions, gate_block
from evolve.plan.gates import Observation, Rules
from evolve.plan.model import NotUsed
from evolve.postgres import evidence, scratch
from evolve.postgres.connect import connect
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def counting_server() -> Iterator[scratch.Server]:
    """A server of our own: the extension must be loaded when it starts."""
    with counting(lambda provider: scratch.server(provider, settings=COUNTS)) as server:
        yield server


@pytest.fixture
def database(counting_server: scratch.Server) -> Iterator[Counted]:
    with counting_server.database() as url, counted(url) as database:
        yield database


def test_a_window_without_a_call_opens_the_gate(database: Counted) -> None:
    database.run("SELECT name FROM users")  # before the window
    assert not database.look().open
    assert "watched from now on" in database.advance().fix
    database.run("SELECT id, full_name FROM users")
    assert database.look().open
    assert database.look().observed.startswith("no use since")


def test_looking_does_not_begin_a_window(database: Counted) -> None:
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
def test_a_call_within_the_window_shuts_it_and_begins_another(database: Counted, use: str) -> None:
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


def test_what_was_counted_before_and_is_called_again_shuts_it(database: Counted) -> None:
    database.run("SELECT name FROM users WHERE id = %s", 1)
    database.advance()
    assert database.look().open
    database.run("SELECT name FROM users WHERE id = %s", 2)
    assert "names it" in database.look().observed


@pytest.mark.parametrize(
    "use",
    ['SELECT name FROM "Ünits"', 'SELECT name FROM U&"\\00DCnits"', 'SELECT U&"n\\0061me" FROM "Ünits"'],
)
def test_a_name_is_found_whatever_its_letters_and_however_it_is_written(database: Counted, use: str) -> None:
    database.run('CREATE TABLE "Ünits" (name text)')
    gate = NotUsed(((QualifiedName("Ünits"), "name"),))
    evidence.watch(database.ours, CHANGE, [evidence.observe(database.ours, CHANGE, gate, AT_ONCE)], AT_ONCE)
    database.run(use)
    assert "names it" in evidence.observe(database.ours, CHANGE, gate, AT_ONCE).observed


def test_a_young_window_is_not_believed(database: Counted) -> None:
    database.rules = Rules(statement_window=3600.0)
    database.advance()
    seen = database.look()
    assert not seen.open
    assert "of 60 min" in seen.observed
    assert database.advance() == seen  # it goes on


def test_counts_that_were_reset_shut_it(database: Counted) -> None:
    database.advance()
    database.run("SELECT pg_stat_statements_reset()")
    assert "reset" in database.look().observed


def test_a_count_that_was_reset_by_itself_shuts_it(database: Counted) -> None:
    database.run("SELECT name FROM users")
    database.advance()
    database.run(
        "SELECT pg_stat_statements_reset(userid, dbid, queryid) FROM pg_stat_statements"
        " WHERE query = 'SELECT name FROM users'"
    )
    assert "reset" in database.look().observed


def test_what_evolve_itself_looks_at_is_no_use(database: Counted) -> None:
    database.advance()
    database.ours.execute("SELECT count(*) FROM users WHERE full_name IS DISTINCT FROM name")
    assert database.look().open


def test_a_role_that_may_not_read_texts_is_told_so(database: Counted) -> None:
    database.run("DROP ROLE IF EXISTS counts_nothing")
    database.run("CREATE ROLE counts_nothing")
    database.ours.execute("SET ROLE counts_nothing")
    assert "GRANT pg_read_all_stats" in database.look().fix


def test_calls_that_are_not_counted_shut_it(database: Counted) -> None:
    database.ours.execute("SET pg_stat_statements.track_utility = off")
    assert "track_utility" in database.look().observed


def test_a_replica_that_is_not_there_shuts_it(database: Counted) -> None:
    database.advance()
    database.rules = replace(AT_ONCE, replicas=("postgresql://reader:secret@127.0.0.1:1/app",))
    seen = database.look()
    assert not seen.open
    assert "was not read" in seen.observed
    assert "secret" not in seen.observed


def test_a_server_that_is_no_standby_is_no_replica(database: Counted) -> None:
    database.rules = replace(AT_ONCE, replicas=(database.url,))
    database.advance()
    assert "it is no standby" in database.look().observed


def test_statements_that_were_pushed_out_shut_it(database: Counted) -> None:
    database.advance()
    # More of them than pg_stat_statements.max, 5000, has room for; no two of them alike.
    many = (
        "DO $$ BEGIN FOR n IN 1..5100 LOOP"
        " EXECUTE 'SELECT 1' || replace(replace(n::bit(13)::text, '1', '-2'), '0', '+2'); END LOOP; END $$"
    )
    database.run(many)
    assert database.look().open  # what runs inside a block is not counted, and takes no room
    database.run("SET pg_stat_statements.track = 'all'")
    database.run(many)
    assert "had no room" in database.look().observed


def test_a_call_of_a_partition_shuts_it(database: Counted) -> None:
    database.run("DROP TABLE users")
    database.run("CREATE TABLE users (id int, name text) PARTITION BY LIST (id)")
    database.run("CREATE TABLE of_one PARTITION OF users FOR VALUES IN (1)")
    database.advance()
    database.run("SELECT id FROM of_one")
    assert database.look().open
    database.run("SELECT name FROM of_one")
    assert "SELECT name FROM of_one" in database.look().observed


@pytest.mark.parametrize(
    ("language", "text", "is_open"),
    [
        ("sql", "SELECT name FROM users", False),
        ("sql", "SELECT u.id::text FROM users u JOIN pg_class AS name ON true", True),
        ("plpgsql", "BEGIN RETURN (SELECT name FROM users LIMIT 1); END", False),
        ("plpgsql", "BEGIN RETURN (SELECT id FROM users LIMIT 1); END", True),
    ],
)
def test_a_function_that_names_it_shuts_it_unless_its_calls_are_counted(
    database: Counted, language: str, text: str, is_open: bool
) -> None:
    database.run(f"CREATE FUNCTION f() RETURNS text LANGUAGE {language} AS $${text}$$")
    database.advance()
    assert database.look().open is is_open
    assert is_open or "function f(): it names what goes" in database.look().observed
    database.ours.execute("SET pg_stat_statements.track = 'all'")
    assert database.look().open


def test_an_extension_that_was_never_updated_shuts_it(database: Counted) -> None:
    database.run("DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '1.8'")
    assert database.look().fix == "ALTER EXTENSION pg_stat_statements UPDATE"


def test_without_the_extension_nobody_has_looked(database_url: str) -> None:
    with connect(database_url, autocommit=True) as connection:
        seen = evidence.observe(connection, CHANGE, GATE, AT_ONCE)
        assert seen.open
        assert "nobody has looked" in seen.observed
        required = replace(AT_ONCE, statements="required")
        assert not evidence.observe(connection, CHANGE, GATE, required).open


BLOCK = gate_block(CHANGE, Conditions(phase="contract", unused=("users.name",)))


def shut_by(database: Counted, what: str) -> None:
    with pytest.raises(psycopg.Error, match=what) as raised:
        database.run(BLOCK)
    assert raised.value.sqlstate == SHUT


def judge(database: Counted, seen: Observation, rules: Rules = AT_ONCE) -> None:
    evidence.judge(database.ours, CHANGE, "contract", [seen], "ada", rules)


def test_a_revision_asks_what_was_seen_last(database: Counted) -> None:
    database.run(BLOCK)  # a new database, where nobody has looked
    database.run("INSERT INTO users SELECT generate_series(1, 1001)")
    shut_by(database, "nobody has looked")
    database.advance()
    judge(database, database.look())
    database.run(BLOCK)
    database.run("SELECT name FROM users")
    judge(database, database.look())
    shut_by(database, "SELECT name FROM users")


def test_a_role_that_may_not_read_what_was_seen_does_not_pass(database: Counted) -> None:
    judge(database, database.look())
    database.run("DROP ROLE IF EXISTS knows_nothing")
    database.run("CREATE ROLE knows_nothing; GRANT SELECT ON users TO knows_nothing")
    database.run("SET ROLE knows_nothing")
    shut_by(database, "role knows_nothing may not read")
    database.run("RESET ROLE; DROP OWNED BY knows_nothing")


@pytest.mark.parametrize("table", ["change_event", "verdict", "tripwire", "tripwire_hit", "brown_out"])
def test_a_revision_runs_no_function_of_a_stranger(database: Counted, table: str) -> None:
    database.run("CREATE SCHEMA evolve; CREATE TABLE ran (n int)")
    body = "INSERT INTO ran VALUES (1) RETURNING 'x'::text"
    database.run(f"CREATE FUNCTION evil() RETURNS text LANGUAGE sql VOLATILE AS $$ {body} $$")
    database.run(f"CREATE VIEW evolve.{table} AS SELECT evil() AS change, evil() AS phase, 1 AS event_id")
    database.run(BLOCK)
    assert database.theirs.execute("SELECT * FROM ran").fetchall() == []


def test_what_was_seen_holds_for_a_while(database: Counted) -> None:
    database.advance()
    judge(database, database.look(), replace(AT_ONCE, verdict_age=0.0))
    shut_by(database, "too long ago")
    evidence.judge(database.ours, CHANGE, "contract", [], "ada", AT_ONCE)  # statements = "off"
    database.run(BLOCK)


def test_a_gate_that_was_overridden_is_open_until_the_phase_is_undone(database: Counted) -> None:
    seen = database.look()
    judge(database, seen)
    shut_by(database, "nobody has watched")
    passed = replace(seen, open=True, because="a report that may fail")
    evidence.keep(database.ours, CHANGE, "contract", [passed], "ada")
    database.run(BLOCK)
    evidence.undone(database.ours, CHANGE, ["contract"], [], "ada")
    judge(database, seen)
    shut_by(database, "nobody has watched")
