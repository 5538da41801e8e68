"""What somebody has dropped by hand, or never made, is told by every command before something is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject

pytestmark = pytest.mark.server

SCHEMA = "CREATE TABLE users (id bigint PRIMARY KEY, name text, nick text)"
RENAME = "rename_users_name_to_full_name"


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> ChangeProject:
    return ChangeProject(make_project(database_url), database_url, SCHEMA)


@pytest.mark.parametrize("statement", ["DROP TABLE users", "ALTER TABLE users DROP COLUMN nick"])
def test_before_contract(users: ChangeProject, statement: str) -> None:
    change = "drop_users_nick"
    users.ok("plan", "drop-column", "users.nick", "--write")
    users.ok("advance", change)  # switch
    users.sql(statement)
    shut = users.run("advance", change, "--old-code-gone")
    assert (shut.returncode, "is there: somebody has dropped or renamed it" in shut.stdout) == (1, True)
    assert users.status(change)["next"] == "evolve drift"
    assert users.revisions == []


def test_before_it_is_filled(users: ChangeProject) -> None:
    users.ok("plan", "rename-column", "users.name", "full_name", "--write")
    users.ok("upgrade")
    users.sql("DROP TABLE users")
    shut = users.run("advance", RENAME)
    assert (shut.returncode, "shut users is there" in shut.stdout) == (1, True)
    assert users.status(RENAME)["next"] == "evolve drift"


def test_undo_in_an_empty_database(users: ChangeProject, make_database: Callable[[], str]) -> None:
    users.ok("plan", "rename-column", "users.name", "full_name", "--write")
    users.ok("upgrade")
    for words in (("undo", RENAME), ("undo", RENAME, "--write")):
        refused = users.run(*words, "--database-url", make_database())
        assert (refused.returncode, "has no revision of the project" in refused.stderr) == (2, True)
    assert users.manifest(RENAME).exists()
