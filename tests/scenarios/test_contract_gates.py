"""Nothing is taken away while anything speaks against it: by `evolve upgrade`, by plain Alembic, and by a script."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, closing, suppress
from dataclasses import dataclass

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support.alembic_project import AlembicProject, sqlalchemy_url
from support.change_project import ChangeProject
from support.counting import COUNTS, counting
from support.deployed import deployed

from evolve.postgres import scratch, tripwire
from evolve.postgres.connect import OWN, connect
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

RENAME = "rename_users_name_to_full_name"
SPLIT = "split_people_name"
SCHEMA = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL CONSTRAINT short CHECK (length(name) < 99));
    CREATE INDEX by_name ON users (name);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 1500) n;
    CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL);
    INSERT INTO people VALUES (1, 'Ada Lovelace');
"""


HALVES = (
    "--into", "given=split_part(name, ' ', 1)", "--into", "family=split_part(name, ' ', 2)",
    "--down", "given || ' ' || family",
)  # fmt: skip


class Base(DeclarativeBase):
    pass


class OldUser(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass(frozen=True)
class Ready:
    """The revisions that take something away are written, and not applied.

    Args:
        unfilled: a template of a database that no backfill has met.
        full: of one where nothing speaks against them.
        at: where its history stands.
    """

    server: scratch.Server
    project: ChangeProject
    unfilled: str
    full: str
    at: dict[str, str]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    with (
        counting(lambda provider: scratch.server(provider, settings=COUNTS)) as server,
        server.database() as url,
    ):
        project = ChangeProject(AlembicProject(tmp_path_factory.mktemp("project"), url), url, SCHEMA)
        (project.root / "evolve.toml").write_text('[gates]\nstatement_window = "0s"\n')
        project.ok("registry", "install")
        project.ok("plan", "split-column", "people.name", *HALVES, "--write")
        to_contract(project, SPLIT)
        project.ok("upgrade")
        project.ok("plan", "rename-column", "users.name", "full_name", "--write")
        project.ok("upgrade")
        unfilled = template(server, url)
        at = {unfilled: version(project)}
        to_contract(project, RENAME)
        project.ok("advance", SPLIT, "--purge-approved")
        full = template(server, url)
        at[full] = version(project)
        yield Ready(server, project, unfilled, full, at)


def to_contract(project: ChangeProject, change: str) -> None:
    project.ok("upgrade")
    project.ok("advance", change)
    project.ok("backfill", "run", change)
    project.ok("advance", change)
    project.ok("upgrade")
    project.ok("advance", change)
    with pytest.raises(AssertionError):
        project.ok("advance", change, "--old-code-gone")  # it is watched from now on who uses it
    project.ok("advance", change)


def template(server: scratch.Server, url: str) -> str:
    return server.create_database(template=url.rpartition("/")[2]).rpartition("/")[2]


def version(project: ChangeProject) -> str:
    return str(project.sql("SELECT version_num FROM alembic_version")[0][0])


# -- three ways ---------------------------------------------------------------------------------------------
def by_evolve(ready: Ready, url: str, _: str) -> None:
    ready.project.ok("upgrade", "--database-url", url)


def by_alembic(ready: Ready, url: str, _: str) -> None:
    with chdir(ready.project.root), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = Config("alembic.ini", stdout=io.StringIO())
        config.set_main_option("sqlalchemy.url", sqlalchemy_url(url))
        command.upgrade(config, "head")


def by_script(ready: Ready, url: str, at: str) -> None:
    script = ready.project.ok("upgrade", f"{at}:head", "--sql")
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(script.encode())


WAYS = (by_evolve, by_alembic, by_script)


# -- what speaks against it ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Evidence:
    """
    Args:
        sql: what has happened.
        said: a part of what the gate says.
        looked: evolve has looked at the statements, before it happened.
        counts: what happened is the application's doing.
        armed: there is a tripwire.
        live: a deployed version that maps the old column.
        filled: the backfill has been run.
    """

    sql: str
    said: str
    looked: bool = True
    counts: bool = False
    armed: bool = False
    live: bool = False
    filled: bool = True


AGAINST = {
    "residual rows": Evidence(
        "ALTER TABLE users DISABLE TRIGGER zz_evolve_rename_users_name_to_full_name,"
        " ALTER full_name DROP NOT NULL; UPDATE users SET full_name = NULL WHERE id = 1;"
        " ALTER TABLE users ENABLE ALWAYS TRIGGER zz_evolve_rename_users_name_to_full_name",
        "rows still need work: users",
    ),
    "backfill not at its end": Evidence("", "more than 1000 rows still need work: users", filled=False),
    "divergence": Evidence(
        "ALTER TABLE users DISABLE TRIGGER zz_evolve_rename_users_name_to_full_name;"
        " UPDATE users SET name = 'somebody else' WHERE id = 7;"
        " ALTER TABLE users ENABLE ALWAYS TRIGGER zz_evolve_rename_users_name_to_full_name",
        "rows still need work: users",
    ),
    "sync trigger disabled": Evidence(
        "ALTER TABLE users DISABLE TRIGGER zz_evolve_rename_users_name_to_full_name", "not there or disabled"
    ),
    "invalid index": Evidence(
        "UPDATE pg_index SET indisvalid = false WHERE pg_get_indexdef(indexrelid) ~ '[(]full_name[)]'",
        "not valid",
    ),
    "unvalidated constraint": Evidence(
        "UPDATE pg_constraint SET convalidated = false WHERE conrelid = 'users'::regclass AND contype = 'c'",
        "not validated",
    ),
    "deployed version": Evidence("", "app 41 (1 instance", live=True),
    "statement": Evidence("SELECT count(name) FROM users", "SELECT count(name) FROM users", counts=True),
    "nobody has looked": Evidence("", "nobody has", looked=False),
    "tripwire": Evidence("UPDATE users SET name = 'x' WHERE id = 3", "UPDATE users SET name", armed=True),
    "brown-out": Evidence(
        "INSERT INTO evolve.change_event (change, phase, kind, name, note, actor)"
        f" VALUES ('{RENAME}', 'switch', 'brown-out', 'denied', 'web missed it', 'ada')",
        "web missed it",
    ),
    "lost rows": Evidence(
        f"""UPDATE people SET "_evolve_q_{SPLIT}" = 'Ada Lovelace King'""",
        "accepted",
    ),
}


def tried(ready: Ready, *arguments: str) -> None:
    """Whatever it says."""
    with suppress(AssertionError):
        ready.project.ok(*arguments)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", AGAINST)
def test_nothing_is_taken_away_while_something_speaks_against_it(
    ready: Ready, kind: str, way: Callable[[Ready, str, str], None]
) -> None:
    against = AGAINST[kind]
    origin = ready.full if against.filled else ready.unfilled
    look = ("advance", RENAME, "--database-url")
    with ready.server.database(origin) as url, ExitStack() as stack:
        forget(url)
        if against.looked:
            tried(ready, *look, url)
            tried(ready, *look, url)
        if against.armed:
            with connect(url, autocommit=True) as connection:
                tripwire.arm(connection, RENAME, [(QualifiedName("users"), "name")], "ada")
        if against.live:
            stack.enter_context(deployed(url, Base, "41"))
        run(url, against.sql, hidden=not against.counts)
        if against.counts and way is not by_evolve:  # which looks itself
            tried(ready, *look, url)
        with pytest.raises((AssertionError, DBAPIError, psycopg.Error)) as refused:
            way(ready, url, ready.at[origin])
        assert against.said in " ".join(str(refused.value).split())
        assert ("users", "name") in columns(url) or kind == "lost rows"
        assert sum(table == "people" for table, _ in columns(url)) == 4


@pytest.mark.parametrize("way", WAYS)
def test_it_is_taken_away_where_nothing_does(ready: Ready, way: Callable[[Ready, str, str], None]) -> None:
    with ready.server.database(ready.full) as url:
        forget(url)
        tried(ready, "advance", RENAME, "--database-url", url)
        tried(ready, "advance", RENAME, "--database-url", url)
        way(ready, url, ready.at[ready.full])
        assert ("users", "name") not in columns(url)
        assert sum(table == "people" for table, _ in columns(url)) == 3


def test_a_table_that_is_locked_away_is_come_back_to(ready: Ready) -> None:
    with ready.server.database(ready.full) as url, closing(psycopg.connect(url)) as other:
        forget(url)
        other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(AssertionError, match="did not get its lock in 3 attempts"):
            ready.project.ok("upgrade", "--database-url", url, "--lock-timeout", "100", "--retries", "2")
        assert ("users", "name") in columns(url)


def columns(url: str) -> list[tuple[object, ...]]:
    return run(
        url,
        "SELECT relname::text, attname::text FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid"
        " WHERE relname IN ('users', 'people') AND attnum > 0 AND NOT attisdropped",
    )


def forget(url: str) -> None:
    """A copy has counts of its own."""
    run(
        url,
        "DELETE FROM evolve.statement_window; DELETE FROM evolve.statement_count; DELETE FROM evolve.verdict",
    )


def run(url: str, sql: str, *, hidden: bool = False) -> list[tuple[object, ...]]:
    """hidden: no gate takes it for the application's."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        cursor = connection.execute(sql.replace(";", OWN + ";").encode() + (OWN.encode() if hidden else b""))
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []
