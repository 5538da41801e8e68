"""A revision that changes its session: the limits hold for what comes after, and others find things where they were."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import chdir

import psycopg
import pytest
from click.testing import CliRunner
from support.alembic_project import AlembicProject

from evolve.cli import evolve as command_line

pytestmark = pytest.mark.server

AUTOCOMMIT = "with op.get_context().autocommit_block():\n    "
KEEP = (
    "op.execute(\"INSERT INTO kept SELECT current_setting('lock_timeout'), current_user, current_schema()\")"
)


def upgrade(project: AlembicProject) -> None:
    with chdir(project.root), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the project's own env.py
        done = CliRunner().invoke(command_line, ["upgrade"], standalone_mode=False)
    assert done.exception is None, done.exception


@pytest.fixture
def project(make_project: Callable[..., AlembicProject], database_url: str) -> AlembicProject:
    made = make_project(database_url)
    made.add("first", 'op.execute("CREATE TABLE kept (waits text, who text, place text)")')
    return made


def kept(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT waits, place FROM kept").fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        'op.execute("RESET ALL")',
        'op.execute("RESET lock_timeout")',
        'op.execute("SET lock_timeout TO DEFAULT")',
        'op.execute("SET LOCAL lock_timeout = DEFAULT")',
        f'{AUTOCOMMIT}op.execute("DISCARD ALL")',
        f'{AUTOCOMMIT}op.execute("RESET ALL")',
    ],
)
def test_the_limits_come_back_after_what_takes_them_away(
    project: AlembicProject, database_url: str, statement: str
) -> None:
    project.add("second", f"{statement}\n{KEEP}")
    project.add("third", KEEP)
    upgrade(project)
    assert kept(database_url) == [("500ms", "public")] * 2


def test_a_role_and_a_search_path_are_left_behind_with_their_revision(
    project: AlembicProject, database_url: str
) -> None:
    project.add(
        "second",
        'op.execute("CREATE SCHEMA decoy")\n'
        'op.execute("CREATE TABLE decoy.alembic_version (version_num varchar(32))")\n'
        'op.execute("SET LOCAL search_path = decoy, public")\n'
        'op.execute("SET LOCAL ROLE pg_monitor")\n'
        'op.execute("RESET ROLE")\n'
        'op.execute("SET LOCAL search_path = public")',
    )
    project.add("third", KEEP)
    upgrade(project)
    assert kept(database_url) == [("500ms", "public")]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("third",)]
        assert connection.execute("SELECT * FROM decoy.alembic_version").fetchall() == []


@pytest.mark.parametrize("change", ["SET search_path = decoy, public", "SET ROLE nobody_special"])
def test_a_session_that_can_no_longer_stamp_is_told_and_undone(
    project: AlembicProject, database_url: str, change: str
) -> None:
    """Alembic writes its version table in the session of the revision: what hides it there must not go unnoticed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE SCHEMA decoy; CREATE TABLE decoy.alembic_version (version_num varchar(32))"
        )
        connection.execute("DROP ROLE IF EXISTS nobody_special; CREATE ROLE nobody_special")
    project.add("second", f'op.execute("CREATE TABLE two (id int)")\nop.execute("{change}")')
    with pytest.raises(AssertionError, match="alembic_version"):
        upgrade(project)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT version_num FROM public.alembic_version").fetchall() == [("first",)]
        assert connection.execute("SELECT to_regclass('public.two')").fetchone() == (None,)
        connection.execute("DROP ROLE nobody_special")
