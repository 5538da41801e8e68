"""Behind pgbouncer in transaction mode what needs a session of its own is refused, and the rest works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.alembic_project import ENV, AlembicProject, sqlalchemy_url
from support.change_project import ChangeProject
from support.pooler import PROGRAM, pooled

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed (apt-get install pgbouncer)"),
]

CHANGE = "set_not_null_users_name"
SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, name text);
INSERT INTO users SELECT n, CASE WHEN n > 3000 THEN 'x' END FROM generate_series(1, 4000) n;
"""


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> ChangeProject:
    return ChangeProject(make_project(database_url), database_url, SCHEMA)


@pytest.mark.parametrize("command", ["upgrade", "downgrade base", "preflight"])
def test_what_needs_a_session_is_refused_before_anything_runs(
    users: ChangeProject, database_url: str, tmp_path: Path, command: str
) -> None:
    users.project.add("two", 'op.execute("CREATE TABLE two (id int)")')
    with pooled(database_url, tmp_path) as url:
        with pytest.raises(AssertionError, match="a pooler that hands out sessions by the transaction"):
            users.ok(*command.split(), "--database-url", url)
        # What was set would be left to whoever is given the session next.
        with psycopg.connect(url) as next_one:
            assert next_one.execute("SHOW lock_timeout").fetchone() == ("0",)
            assert next_one.execute("SHOW default_transaction_read_only").fetchone() == ("off",)


def test_an_env_py_that_goes_to_the_pooler_is_refused(
    users: ChangeProject, database_url: str, tmp_path: Path
) -> None:
    users.project.add("two", 'op.execute("CREATE TABLE two (id int)")')
    with pooled(database_url, tmp_path) as url:
        own = f"create_engine({sqlalchemy_url(url)!r}"
        text = ENV.replace('create_engine(config.get_main_option("sqlalchemy.url")', own)
        (users.root / "migrations" / "env.py").write_text(text)
        with pytest.raises(AssertionError, match=r"the project's env\.py connects to a pooler"):
            users.ok("upgrade")
    assert users.sql("SELECT version_num FROM alembic_version") == [("first",)]


def test_a_pooler_in_session_mode_is_as_good_as_the_server(
    users: ChangeProject, database_url: str, tmp_path: Path
) -> None:
    users.project.add(
        "two", "op.execute(\"CREATE TABLE two AS SELECT current_setting('lock_timeout') AS waits\")"
    )
    with pooled(database_url, tmp_path, "session") as url:
        users.ok("upgrade", "--database-url", url)
    assert users.sql("SELECT waits FROM two") == [("500ms",)]


def test_a_change_goes_through_its_phases_behind_it_but_for_the_upgrades(
    users: ChangeProject, database_url: str, tmp_path: Path
) -> None:
    with pooled(database_url, tmp_path) as url:
        through = ("--database-url", url)
        users.ok("plan", "set-not-null", "users.name", "--fill", "''", "--write", *through)
        users.ok("upgrade")
        users.ok("advance", CHANGE, *through)
        users.ok("backfill", "run", CHANGE, *through)
        users.ok("advance", CHANGE, *through)
        users.ok("upgrade")
        assert "not null" in users.ok("status", CHANGE, *through) or users.status(CHANGE)
    assert users.sql(
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'name'"
    ) == [(True,)]
