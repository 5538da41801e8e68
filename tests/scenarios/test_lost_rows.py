"""What old code writes and the new shape cannot tell: purge waits until it is mended or accepted by its number."""

from __future__ import annotations

import io
import tomllib
import warnings
from collections.abc import Callable
from contextlib import chdir

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from support.alembic_project import AlembicProject, sqlalchemy_url
from support.change_project import ChangeProject

from evolve.plan.gate_sql import SHUT

pytestmark = pytest.mark.server

CHANGE = "split_users_name"
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
    INSERT INTO users VALUES (1, 'Ada Lovelace'), (2, 'Maria Anna Mozart');
"""
SPLIT = (
    "plan",
    "split-column",
    "users.name",
    "--into",
    "given=split_part(name, ' ', 1)",
    "--into",
    "family=split_part(name, ' ', 2)",
    "--down",
    "given || ' ' || family",
)
PURGE = ("advance", CHANGE, "--purge-approved")


@pytest.fixture
def users(database_url: str, make_project: Callable[..., AlembicProject]) -> ChangeProject:
    return ChangeProject(make_project(database_url), database_url, SCHEMA)


def contracted(users: ChangeProject, *options: str) -> None:
    """The change is carried as far as contract; meanwhile old code has written two more names of three words."""
    users.ok(*SPLIT, *options, "--write")
    users.ok("upgrade")
    users.sql("INSERT INTO users (id, name) VALUES (3, 'Johann Sebastian Bach'), (4, 'Carl Philipp Bach')")
    users.ok("advance", CHANGE)
    users.ok("backfill", "run", CHANGE)
    users.ok("advance", CHANGE)
    users.ok("upgrade")
    users.ok("advance", CHANGE)
    users.ok("advance", CHANGE, "--old-code-gone")
    users.ok("upgrade")


def kept(users: ChangeProject) -> list[tuple[object, ...]]:
    return users.sql(f'SELECT "_evolve_q_{CHANGE}" FROM users ORDER BY id')


def straggler(users: ChangeProject) -> None:
    """Somebody writes what is kept of the old column."""
    users.sql(f"""UPDATE users SET "_evolve_q_{CHANGE}" = 'Ada Lovelace King' WHERE id = 1""")


def plain_upgrade(users: ChangeProject) -> None:
    with chdir(users.root), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = Config("alembic.ini", stdout=io.StringIO())
        config.set_main_option("sqlalchemy.url", sqlalchemy_url(users.url).replace("%", "%%"))
        command.upgrade(config, "head")


def test_purge_waits_until_they_are_mended(users: ChangeProject) -> None:
    contracted(users, "--accept-lost", "1")
    shut = users.run(*PURGE)
    assert shut.returncode == 1
    assert "3 rows, 1 accepted with the plan" in shut.stdout
    assert f"evolve advance {CHANGE} --confirm lost-3" in shut.stdout
    users.sql("UPDATE users SET family = 'Sebastian Bach' WHERE id = 3")
    users.sql("UPDATE users SET family = 'Philipp Bach' WHERE id = 4")
    assert kept(users)[2:] == [("Johann Sebastian Bach",), ("Carl Philipp Bach",)]
    users.ok(*PURGE)


def test_a_number_accepts_so_many_and_not_one_more(users: ChangeProject) -> None:
    contracted(users)
    assert users.run(*PURGE, "--confirm", "lost-2").returncode == 1
    users.ok(*PURGE, "--confirm", "lost-3")
    assert tomllib.loads(users.manifest(CHANGE).read_text())["change"]["accept_lost"] == 3
    straggler(users)
    with pytest.raises(
        DBAPIError, match="more in name than given and family tell: 4, accepted: 3"
    ) as stopped:
        plain_upgrade(users)
    assert getattr(stopped.value.orig, "sqlstate", None) == SHUT
    assert f"--confirm lost-4; see: evolve status {CHANGE}" in str(stopped.value)
    users.ok("advance", CHANGE, "--confirm", "lost-4")
    plain_upgrade(users)
    assert users.sql("SELECT count(*) FROM users WHERE given = 'Ada'") == [(1,)]


def test_a_script_stops_and_a_new_database_does_not(
    users: ChangeProject, make_database: Callable[[], str]
) -> None:
    contracted(users)
    users.ok(*PURGE, "--confirm", "lost-3")
    contract, purge = users.revisions[-2].stem, users.revisions[-1].stem
    script = users.ok("upgrade", "--sql", f"{contract.partition('_')[0]}:{purge.partition('_')[0]}")
    straggler(users)
    with psycopg.connect(users.url) as connection, pytest.raises(psycopg.Error) as stopped:
        connection.execute(script.encode())
    assert stopped.value.sqlstate == SHUT
    # It has the rows that were there from the first revision on.
    users.url = make_database()
    plain_upgrade(users)
    assert users.sql("SELECT given, family FROM users WHERE id = 2") == [("Maria", "Anna")]


def test_who_accepts_is_heard_when_rows_may_be_lost_and_not_before(users: ChangeProject) -> None:
    users.ok(*SPLIT, "--write")
    users.ok("upgrade")
    early = users.run("advance", CHANGE, "--confirm", "lost-1")
    assert early.returncode == 2
    assert '"--confirm lost-1" is not asked for now' in early.stderr
