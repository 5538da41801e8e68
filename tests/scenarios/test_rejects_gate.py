"""A row that a backfill could not write holds its change shut, until it is written or needs no work any more."""

from __future__ import annotations

import io
import warnings
from contextlib import chdir
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from support.alembic_project import AlembicProject, sqlalchemy_url
from support.change_project import ChangeProject
from support.whole_change import write_whole_change

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 300) n;
    CREATE FUNCTION frozen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'row % is frozen', OLD.id; END $$;
    CREATE TRIGGER frozen BEFORE UPDATE ON users FOR EACH ROW WHEN (OLD.id = 7) EXECUTE FUNCTION frozen();
"""


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> ChangeProject:
    return ChangeProject(AlembicProject(tmp_path, database_url), database_url, SCHEMA)


def test_advance_says_which_command_brings_it_on(project: ChangeProject) -> None:
    project.ok("plan", "rename-column", "users.name", "full_name", "--write")
    project.ok("upgrade")
    project.ok("advance", CHANGE)
    ran = project.run("backfill", "run", CHANGE)
    assert ran.returncode == 3
    assert "(7) row 7 is frozen (SQLSTATE P0001)" in ran.stdout
    shut = project.run("advance", CHANGE)
    assert shut.returncode == 1
    assert "1 row could not be written" in shut.stdout + shut.stderr
    assert f"evolve backfill retry-rejects {CHANGE}" in shut.stdout + shut.stderr
    assert project.run("backfill", "retry-rejects", CHANGE).returncode == 3
    project.sql("DROP TRIGGER frozen ON users")
    project.ok("backfill", "retry-rejects", CHANGE)
    project.ok("advance", CHANGE)


def test_a_row_mended_by_hand_is_found_by_a_verification(project: ChangeProject) -> None:
    project.ok("plan", "rename-column", "users.name", "full_name", "--write")
    project.ok("upgrade")
    project.ok("advance", CHANGE)
    assert project.run("backfill", "run", CHANGE).returncode == 3
    project.sql("ALTER TABLE users DISABLE TRIGGER frozen; UPDATE users SET full_name = name WHERE id = 7")
    assert project.run("advance", CHANGE).returncode == 1
    project.ok("backfill", "verify", CHANGE)
    project.ok("advance", CHANGE)


def test_plain_alembic_does_not_pass_it(project: ChangeProject) -> None:
    write_whole_change(project, "rename-column", "users.name", "full_name")
    with pytest.raises(DBAPIError, match="row 7 is frozen"):
        upgrade(project)
    columns = (
        "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'name'"
    )
    assert project.sql(columns) == [(1,)]


def upgrade(project: ChangeProject) -> None:
    with chdir(project.root), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = Config("alembic.ini", stdout=io.StringIO())
        config.set_main_option("sqlalchemy.url", sqlalchemy_url(project.url))
        command.upgrade(config, "head")
