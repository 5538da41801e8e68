"""A version that still maps the old column: contract is shut, whoever runs it, until it is gone or overruled."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from contextlib import chdir

import pytest
from alembic import command
from alembic.config import Config
from click.testing import CliRunner
from sqlalchemy.exc import DBAPIError
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.deployed import deployed
from support.programs import psql
from support.renaming import CHANGE, NewBase, OldBase

from evolve.cli import evolve as command_line
from evolve.plan.gate_sql import SHUT

pytestmark = pytest.mark.server

OLD = "app 2026.10 (1 instance, last seen "
MAPS = "maps users.name"


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> ChangeProject:
    """A rename before its contract."""
    users = ChangeProject(
        make_project(database_url),
        database_url,
        "CREATE TABLE users (id bigint PRIMARY KEY, name text, visits int)",
    )
    users.ok("plan", "rename-column", "users.name", "full_name", "--write")
    users.ok("upgrade")
    for _ in ("backfill", "validate", "switch"):
        users.ok("advance", CHANGE)
        users.ok("upgrade")
    users.ok("registry", "install")
    return users


def alembic(users: ChangeProject, act: Callable[[Config], None]) -> str:
    """What it printed."""
    out = io.StringIO()
    with chdir(users.root), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        act(Config("alembic.ini", output_buffer=out))
    return out.getvalue()


def contract_written(users: ChangeProject) -> None:
    users.ok("advance", CHANGE, "--old-code-gone")
    assert "contract" in users.revisions[-1].name


def test_advance_waits_for_the_version_that_maps_the_column(users: ChangeProject) -> None:
    with deployed(users.url, OldBase, "2026.10"), deployed(users.url, NewBase, "2026.11"):
        answer = users.run("advance", CHANGE, "--old-code-gone")
        assert answer.returncode == 1
        assert OLD in answer.stdout
        assert MAPS in answer.stdout
        listed = users.ok("registry", "list", "--column", "users.name")
        assert "2026.10" in listed
        assert "2026.11" not in listed
    assert "no live version; the last was app 2026.1" in users.ok("advance", CHANGE)


def test_plain_alembic_and_its_script_wait_as_well(users: ChangeProject) -> None:
    contract_written(users)
    script = alembic(users, lambda config: command.upgrade(config, "head", sql=True))
    contract = "BEGIN;" + script.rsplit("BEGIN;", 1)[1]
    with deployed(users.url, OldBase, "2026.10"):
        with pytest.raises(DBAPIError) as refused:
            alembic(users, lambda config: command.upgrade(config, "head"))
        assert getattr(refused.value.orig, "sqlstate", None) == SHUT
        assert OLD in str(refused.value)
        ran = psql(users.url, contract)
        assert SHUT in ran.stderr
        assert MAPS in ran.stderr
    ran = psql(users.url, contract)
    assert ran.returncode == 0, ran.stderr


def test_a_revision_that_is_written_can_be_overridden_in_another_database(users: ChangeProject) -> None:
    contract_written(users)
    with deployed(users.url, OldBase, "2026.10"):
        assert users.run("upgrade").returncode == 1
        answer = users.run("advance", CHANGE, "--override", "mapped", "--because", "it only reads")
        assert "it only reads" in answer.stdout
        users.ok("upgrade")
    assert ("override", "contract", "mapped", "it only reads") in users.sql(
        "SELECT kind, phase, name, note FROM evolve.change_event"
    )


def test_versions_are_listed_and_forgotten(database_url: str) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(command_line, ["registry", *arguments, "--database-url", database_url])
        assert done.exception is None, done.stderr
        return done.stdout

    run("install")
    assert "no version has reported yet" in run("list")
    with deployed(database_url, NewBase, "2026.11"):
        assert "app 2026.11: 1 instance, since" in run("list")
        [version] = json.loads(run("list", "--format", "json"))["versions"]
        assert version["maps"] == {"users": ["full_name", "id", "visits"]}
        [user] = json.loads(run("list", "--table", "users", "--format", "json"))["users"]
        assert user["maps"] == ["users"]
    assert "app 2026.11: gone" in run("list")
    assert run("forget") == "1 instance forgotten\n"
