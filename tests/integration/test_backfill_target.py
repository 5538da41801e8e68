"""What cannot be backfilled is refused before the journal exists, with the reason; and which columns are touched."""

from __future__ import annotations

import psycopg
import pytest
from support.backfill import Quiet, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.dry_run_backfill import dry_run_backfill
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.backfill.undo import JournalMode
from evolve.errors import EvolveError
from evolve.postgres import journal
from evolve.postgres.backfill_target import KeyNotAlone, MayNot, RowSecurity, read_target
from evolve.postgres.connect import connect
from evolve.postgres.expressions import ReadsHidden
from evolve.postgres.plan_check import PlanIgnoresKey
from evolve.postgres.sensors.replica_lag import lag_bytes
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

TABLES = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text, full_name text);
    CREATE TABLE no_key (a int, n int);
    CREATE TABLE nullable_key (a int UNIQUE, n int);
    CREATE TABLE partial_key (a int NOT NULL, n int);
    CREATE UNIQUE INDEX ON partial_key (a) WHERE n > 0;
    CREATE UNIQUE INDEX ON partial_key ((a + 1));
    CREATE TABLE half_key (a int NOT NULL, b int, n int, UNIQUE (a, b));
    CREATE TABLE made (id int PRIMARY KEY, w int, n int GENERATED ALWAYS AS (w * 2) STORED,
                       serial int GENERATED ALWAYS AS IDENTITY);
    CREATE VIEW seen AS SELECT * FROM users;
    CREATE MATERIALIZED VIEW kept AS SELECT * FROM users;
    INSERT INTO users SELECT g, 'a', NULL FROM generate_series(1, 10) g;
"""


@pytest.mark.parametrize(
    ("table", "column", "expected", "code"),
    [
        ("no_key", "n", 'table "no_key" has no primary key and no unique NOT NULL index', 2),
        ("nullable_key", "n", "a column of it may be null", 2),
        ("partial_key", "n", "it is over an expression", 2),
        ("half_key", "n", "a column of it may be null", 2),
        ("made", "n", "PostgreSQL generates it", 2),
        ("made", "serial", "GENERATED ALWAYS AS IDENTITY", 2),
        ("seen", "full_name", "is a view", 2),
        ("kept", "full_name", "is a materialized view", 2),
        ("users", "fullname", 'no column "fullname"', 2),
        ("users", "id", "part of the key", 2),
        ("user", "name", "public.users", 2),
    ],
)
def test_refused_before_anything_is_written(
    database_url: str, table: str, column: str, expected: str, code: int
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TABLES)
        with pytest.raises(EvolveError) as refused:
            fill(database_url, spec(table, column, "NULL"))
        assert expected in str(refused.value)
        assert refused.value.exit_code == code
        assert connection.execute("SELECT to_regnamespace('evolve')").fetchone() == (None,)


@pytest.fixture
def clerk(database_url: str):
    """URL of a role that may log in and nothing else."""
    name = "clerk_" + psycopg.conninfo.conninfo_to_dict(database_url)["dbname"][-8:]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'clerk'".encode())
        url = psycopg.conninfo.make_conninfo(database_url, user=name, password="clerk")  # noqa: S106
        yield url, name, connection
        connection.execute(f'DROP OWNED BY "{name}"'.encode())
        connection.execute(f'DROP ROLE "{name}"'.encode())


def test_a_role_that_may_not_update_is_told_the_grant(clerk) -> None:
    url, name, connection = clerk
    connection.execute(f'GRANT SELECT ON users TO "{name}"'.encode())
    with pytest.raises(MayNot, match=f'GRANT UPDATE ON users TO "{name}"'):
        fill(url, spec("users", "full_name", "name"))


def test_a_role_that_may_not_create_the_journal_is_told_how(clerk) -> None:
    url, name, connection = clerk
    connection.execute(f'GRANT SELECT, UPDATE ON users TO "{name}"'.encode())
    with pytest.raises(journal.JournalDenied, match="CREATE SCHEMA IF NOT EXISTS evolve"):
        fill(url, spec("users", "full_name", "name"))


def test_the_advice_works(clerk) -> None:
    url, name, connection = clerk
    connection.execute(f'GRANT SELECT, UPDATE ON users TO "{name}"'.encode())
    connection.execute(f'CREATE SCHEMA IF NOT EXISTS evolve; GRANT ALL ON SCHEMA evolve TO "{name}"'.encode())
    assert fill(url, spec("users", "full_name", "name")).good


def test_rows_hidden_by_row_security_are_not_left_out_in_silence(clerk) -> None:
    url, name, connection = clerk
    connection.execute(f'GRANT SELECT, UPDATE ON users TO "{name}"'.encode())
    connection.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    with pytest.raises(RowSecurity):
        fill(url, spec("users", "full_name", "name"))


def test_rows_that_an_expression_cannot_see_are_not_taken_for_none(clerk) -> None:
    url, name, connection = clerk
    connection.execute(
        "CREATE TABLE names (id int PRIMARY KEY, name text); ALTER TABLE names ENABLE ROW LEVEL SECURITY"
    )
    connection.execute(
        f'GRANT SELECT, UPDATE ON users TO "{name}"; GRANT SELECT ON names TO "{name}"'.encode()
    )
    with pytest.raises(ReadsHidden, match="the expression for full_name"):
        fill(url, spec("users", "full_name", "(SELECT n.name FROM names n WHERE n.id = users.id)"))


def test_a_journal_of_a_newer_evolve_is_left_alone(database_url: str) -> None:
    numbers(database_url, 10)
    with connect(database_url, autocommit=True) as connection:
        journal.ensure_journal(connection)
        connection.execute("COMMENT ON TABLE evolve.backfill IS 'evolve backfill journal, version 99'")
    with pytest.raises(journal.JournalTooNew, match="99"):
        fill(database_url, spec("numbers", "n", "n + 1"))


def test_a_plan_that_does_not_walk_the_key_is_refused(database_url: str) -> None:
    numbers(database_url, 150_000)
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        for way in ("indexscan", "indexonlyscan", "bitmapscan"):
            connection.execute(f'ALTER DATABASE "{name}" SET enable_{way} = off'.encode())
    with pytest.raises(PlanIgnoresKey, match="sequential scan"):
        dry_run_backfill(
            database_url, spec("numbers", "n", "n + 1"), pace=Pace(), stop=Quiet(), watch=Quiet()
        )


INDEXED = """
    CREATE TABLE t (id int PRIMARY KEY, n int, ordered int, shuffled text, part text, code text,
                    watched text, made text GENERATED ALWAYS AS (upper(shuffled)) STORED);
    INSERT INTO t (id, n, ordered, shuffled, part, code, watched)
        SELECT g, 0, g, md5(g::text), md5(g::text), md5(g::text), md5(g::text) FROM generate_series(1, 2000) g;
    CREATE INDEX ON t (ordered);
    CREATE INDEX ON t (shuffled);
    CREATE INDEX ON t (part) WHERE n = 0;
    CREATE UNIQUE INDEX ON t (code);
    CREATE INDEX ON t (watched);
    CREATE INDEX ON t (made);
    CREATE INDEX ON t (n, part);
    CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
    CREATE TRIGGER seen AFTER UPDATE OF watched ON t FOR EACH ROW EXECUTE FUNCTION seen();
    ANALYZE t;
"""


def touched(url: str, **options: bool) -> tuple[str, ...]:
    with connect(url) as connection:
        return read_target(connection, spec("t", "n", "n + 1"), **options).touched


def test_columns_of_indexes_in_random_order_are_assigned_to_themselves(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(INDEXED)
    assert touched(database_url) == ("code", "shuffled")


def test_unique_columns_are_left_alone_where_a_trigger_would_strengthen_the_lock(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(INDEXED)
        connection.execute("CREATE TRIGGER early BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION seen()")
    assert touched(database_url) == ("shuffled",)


def test_plain_sql_touches_nothing(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(INDEXED)
    assert touched(database_url, plain_sql=True) == ()


def test_a_touched_column_keeps_its_value(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(INDEXED)
        fill(database_url, spec("t", "n", "n + 1"))
        kept = connection.execute(
            "SELECT count(*) FROM t WHERE code = md5(id::text) AND shuffled = md5(id::text) AND n = 1"
        ).fetchone()
    assert kept == (2000,)


def test_without_standbys_there_is_no_lag(database_url: str) -> None:
    with connect(database_url, autocommit=True) as connection:
        assert lag_bytes(connection) == 0


def test_old_values_are_not_kept_where_another_row_may_have_the_same_key(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE old (id int PRIMARY KEY, n int); CREATE TABLE young (PRIMARY KEY (id)) INHERITS (old);"
            " INSERT INTO old VALUES (1, 1), (2, 1); INSERT INTO young VALUES (1, 2), (2, 2)"
        )
        with pytest.raises(KeyNotAlone):
            fill(database_url, spec("old", "n", "7"))
        computing = Transform("os.path:join", ("n",), ("n",))
        with pytest.raises(KeyNotAlone):
            fill(database_url, Spec("computed", QualifiedName("old"), where="n IS NULL", work=computing))
        assert fill(database_url, spec("old", "n", "7"), undo_journal_mode=JournalMode.OFF).good
        assert connection.execute("SELECT DISTINCT n FROM old").fetchall() == [(7,)]


def test_a_table_that_inherits_and_has_no_index_is_not_read_whole_with_each_batch(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id int PRIMARY KEY, n int, note text); CREATE TABLE below () INHERITS (t);"
            "INSERT INTO below SELECT g, 0, repeat('x', 200) FROM generate_series(1, 40000) g; ANALYZE t; ANALYZE below"
        )
        with pytest.raises(PlanIgnoresKey, match='would read "t" by a sequential scan'):
            fill(database_url, spec("t", "n", "1"), undo_journal_mode=JournalMode.OFF)
        connection.execute("CREATE UNIQUE INDEX ON below (id)")
    assert fill(
        database_url, spec("t", "n", "1"), undo_journal_mode=JournalMode.OFF, pace=Pace(largest=9000)
    ).good
