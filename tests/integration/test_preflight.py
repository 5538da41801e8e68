"""`evolve preflight` on a live server: what stands in the way is told with its fix, and nothing is written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import conninfo, sql
from support.alembic_project import AlembicProject

from evolve.cli import evolve as command_line
from evolve.errors import EvolveError

pytestmark = pytest.mark.server

MakeProject = Callable[..., AlembicProject]

TABLES = """
CREATE TABLE users (id bigint PRIMARY KEY, name text);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint);
INSERT INTO users SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n;
ANALYZE;
"""


@pytest.fixture
def project(make_project: MakeProject, database_url: str) -> AlembicProject:
    made = make_project(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
    return made


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """A role that may connect and nothing else."""
    name = f"deployer_{database_url.rpartition('/')[2].partition('?')[0]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
        yield name
        connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(name)))


def as_role(url: str, role: str) -> str:
    found = conninfo.conninfo_to_dict(url)
    return f"postgresql://{role}:secret@{found['host']}:{found['port']}/{found['dbname']}"


def ask(project: AlembicProject, *arguments: str, status: int = 0) -> dict[str, Any]:
    done = run(project, "preflight", "--format", "json", *arguments)
    assert done.exit_code == status, f"{done.exception}\n{done.output}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(project: AlembicProject, *arguments: str) -> Result:
    """In this process: starting Python takes longer than all that is asked."""
    with chdir(project.root), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the project's own env.py
        done = CliRunner(env={"NO_COLOR": "1"}).invoke(command_line, arguments)
    assert done.exception is None or isinstance(done.exception, EvolveError | SystemExit), repr(
        done.exception
    )
    return done


def told(found: dict[str, Any], verdict: str) -> list[tuple[str, str]]:
    return [(each["name"], each["says"]) for each in found["checks"] if each["verdict"] == verdict]


def statements(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for revision in found["pending"] for each in revision["statements"]]


def test_it_tells_locks_work_and_time_of_each_statement_and_writes_nothing(
    project: AlembicProject, database_url: str
) -> None:
    project.add(
        "one",
        'op.add_column("users", sa.Column("mail", sa.Text()))\n'
        'op.execute("ALTER TABLE users ALTER name TYPE varchar(200)")',
    )
    found = ask(project)
    add, alter = statements(found)
    assert (add["locks"], add["rewrites"]) == ({"users": "ACCESS EXCLUSIVE"}, [])
    assert alter["rewrites"] == ["users"]
    assert add["seconds"] == 0
    assert add["seconds_under_lock"] == alter["seconds"] > 0  # its lock is kept to the end of the transaction
    assert alter["bytes"] >= 20_000 * 100
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,)


def test_a_lock_that_is_kept_for_too_long_must_be_mended(project: AlembicProject) -> None:
    project.add("one", 'op.execute("ALTER TABLE users ALTER name TYPE varchar(200)")')
    (project.root / "evolve.toml").write_text("[preflight]\nlongest_lock = 0.001\n")
    found = ask(project, status=1)
    ((name, says),) = told(found, "fails")
    assert name == "locks"
    assert "one at one.py:11 would stop reads and writes of users" in says


@pytest.mark.parametrize(
    ("option", "status"), [("1MB", 1), ("1GB", 0), ("pg_default=1MB", 1)], ids=["short", "enough", "named"]
)
def test_room_on_the_disk_is_held_against_what_is_written_anew(
    project: AlembicProject, option: str, status: int
) -> None:
    project.add("one", 'op.execute("ALTER TABLE users ALTER name TYPE varchar(200)")')
    found = ask(project, "--disk-free", option, status=status)
    assert [name for name, _ in told(found, "fails")] == ["disk"] * status


def test_a_transaction_that_holds_a_table_is_named_with_how_to_end_it(
    project: AlembicProject, database_url: str
) -> None:
    project.add("one", 'op.add_column("users", sa.Column("mail", sa.Text()))')
    (project.root / "evolve.toml").write_text("[preflight]\nlongest_transaction = 0\n")
    with psycopg.connect(database_url, application_name="nightly") as reader:
        reader.execute("SELECT count(*) FROM users /* \x1b]0;all is well\a */")
        done = run(project, "preflight")
    assert done.exit_code == 1
    assert '"nightly", idle in transaction' in done.stdout
    assert "\x1b" not in done.stdout  # what another has sent does not act on our terminal
    assert "holds a lock on users" in " ".join(done.stdout.split())


def test_an_old_snapshot_stops_only_what_is_built_concurrently(
    project: AlembicProject, database_url: str
) -> None:
    project.add("one", 'op.execute("ALTER TABLE orders ADD COLUMN note text")')
    (project.root / "evolve.toml").write_text("[preflight]\nlongest_transaction = 0\n")
    with psycopg.connect(database_url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM users")
        assert told(ask(project), "fails") == []
        project.add(
            "two",
            "with op.get_context().autocommit_block():\n"
            '    op.execute("CREATE INDEX CONCURRENTLY i ON orders (user_id)")',
        )
        ((name, says),) = told(ask(project, status=1), "fails")
    assert name == "transactions"
    assert "CONCURRENTLY, which waits for it" in says


def test_a_slot_that_nobody_reads_is_told(project: AlembicProject, database_url: str) -> None:
    (project.root / "evolve.toml").write_text("[preflight]\nretained_wal = 0\n")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('left_behind', true)")
        try:
            connection.execute("CREATE TABLE filler AS SELECT n FROM generate_series(1, 10000) n")
            found = ask(project, status=1)
        finally:
            connection.execute("SELECT pg_drop_replication_slot('left_behind')")
    ((name, says),) = told(found, "fails")
    assert name == "replication"
    assert '"left_behind", which nobody reads, keeps' in says


def test_a_publication_of_all_tables_sends_those_of_evolve(
    project: AlembicProject, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")  # wal_level is not logical here
        connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        ((name, says),) = told(ask(project), "warns")
        assert (name, "those that evolve makes in schema evolve among them" in says) == ("publications", True)
        connection.execute("CREATE SCHEMA evolve CREATE TABLE change_event (n int)")
    ((_, says),) = told(ask(project), "warns")
    assert "publication everything sends all tables, now evolve.change_event among them" in says


def test_a_database_that_takes_no_writes(project: AlembicProject, database_url: str) -> None:
    project.add("one", 'op.execute("ALTER TABLE orders ADD COLUMN note text")')
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        found = ask(project, status=1)
    assert told(found, "fails") == [
        ("writable", "no transaction may write: default_transaction_read_only is on")
    ]


def test_what_is_not_read_is_told(project: AlembicProject) -> None:
    project.add("one", 'op.execute("DO $$ BEGIN EXECUTE (SELECT name FROM users LIMIT 1); END $$")')
    found = ask(project)
    assert [name for name, _ in told(found, "warns")] == ["unread"]
    assert statements(found)[0]["known"] is False
    assert statements(found)[0]["seconds_under_lock"] is None


# What a revision does, and what the role needs for it beside the version table; all must be granted.
NEEDS = [
    ('op.add_column("users", sa.Column("mail", sa.Text()))', ["ALTER TABLE users OWNER TO {role}"]),
    (
        'op.execute("ALTER TABLE users ADD UNIQUE (id)")',
        ["ALTER TABLE users OWNER TO {role}", "GRANT CREATE ON SCHEMA public TO {role}"],
    ),
    ('op.execute("CREATE TABLE t (id int REFERENCES users)")', ["GRANT REFERENCES ON users TO {role}"]),
    (
        "op.execute(\"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'\")\n"
        'op.execute("CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()")',
        ["GRANT TRIGGER ON users TO {role}"],
    ),
    ('op.execute("TRUNCATE orders")', ["GRANT TRUNCATE ON orders TO {role}"]),
    ('op.execute("DROP TABLE orders")', ["ALTER TABLE orders OWNER TO {role}"]),
    ('op.execute("CREATE SCHEMA extra")', ["GRANT CREATE ON DATABASE {database} TO {role}"]),
    ('op.execute("CREATE EXTENSION pgcrypto")', ["GRANT CREATE ON DATABASE {database} TO {role}"]),
    ("op.execute(\"ALTER TYPE mood ADD VALUE 'sad'\")", ["ALTER TYPE mood OWNER TO {role}"]),
]


@pytest.mark.parametrize(("body", "grants"), NEEDS, ids=[body[:45] for body, _ in NEEDS])
def test_privileges_are_missing_just_where_the_server_would_refuse(
    project: AlembicProject, database_url: str, role: str, body: str, grants: list[str]
) -> None:
    project.add("one", body)
    given = as_role(database_url, role)
    with psycopg.connect(database_url, autocommit=True) as connection:
        words = {"role": sql.Identifier(role), "database": sql.Identifier(connection.info.dbname)}
        there = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pgcrypto'").fetchone()
        if "pgcrypto" in body and there is None:
            pytest.skip("this server comes without pgcrypto")
        connection.execute("CREATE TYPE mood AS ENUM ('ok')")
        connection.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {role}").format(**words))
        for missing in [*grants, None]:
            if missing is not None and missing != "GRANT CREATE ON SCHEMA public TO {role}":
                assert ask(project, "--database-url", given, status=1)["ready"] is False
                assert isinstance(run(project, "upgrade", "--database-url", given).exception, EvolveError)
                connection.execute(sql.SQL(missing).format(**words))
        assert ask(project, "--database-url", given)["ready"] is True
    assert run(project, "upgrade", "--database-url", given).exit_code == 0


def test_nothing_pending_is_nothing_to_mend(project: AlembicProject) -> None:
    done = run(project, "preflight")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "ready for no revision")
