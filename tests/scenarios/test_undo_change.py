"""`evolve undo`: a change is taken back from whatever phase it is in, by revisions on top of the history."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject

from evolve.plan.sole_writer import sole_writer

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
PLAN = ("plan", "rename-column", "users.name", "full_name", "--write")
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL CONSTRAINT users_name_key UNIQUE);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 100) n;
"""
ROAD: dict[str, tuple[tuple[str, ...], ...]] = {
    "expand": (PLAN, ("upgrade",)),
    "backfill": (("advance", CHANGE), ("backfill", "run", CHANGE)),
    "validate": (("advance", CHANGE), ("upgrade",)),
    "switch": (("advance", CHANGE),),
    "contract": (("advance", CHANGE, "--old-code-gone"), ("upgrade",)),
    "purge": (("advance", CHANGE, "--purge-approved"), ("upgrade",)),
}
COLUMNS = """
    SELECT attname::text, attnotnull FROM pg_attribute
     WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1
"""


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> ChangeProject:
    return ChangeProject(make_project(database_url), database_url, SCHEMA)


def walk(users: ChangeProject, first: str, last: str) -> None:
    phases = list(ROAD)
    for phase in phases[phases.index(first) : phases.index(last) + 1]:
        for command in ROAD[phase]:
            users.ok(*command)


@pytest.mark.parametrize("phase", ["switch", "purge"])
def test_back_to_the_start(users: ChangeProject, phase: str) -> None:
    before = users.sql(COLUMNS)
    walk(users, "expand", phase)
    users.sql("INSERT INTO users (id, full_name) VALUES (101, 'new')")
    users.ok("undo", CHANGE, "--write")
    users.ok("upgrade")
    assert users.sql(COLUMNS) == before
    assert users.sql("SELECT name FROM users WHERE id IN (1, 101) ORDER BY id") == [("user 1",), ("new",)]
    assert not users.manifest(CHANGE).exists()
    users.ok("downgrade", "base")


def test_planned_anew_after_it_was_undone(users: ChangeProject) -> None:
    walk(users, "expand", "backfill")
    users.ok("undo", CHANGE, "--write")
    users.ok("upgrade")
    walk(users, "expand", "expand")
    users.ok("advance", CHANGE)
    assert "--restart" in users.run("advance", CHANGE).stdout  # the new column is empty again
    users.ok("backfill", "run", CHANGE, "--restart")
    walk(users, "validate", "contract")


def test_back_to_switch_and_on_again(users: ChangeProject) -> None:
    walk(users, "expand", "contract")
    users.ok("undo", CHANGE, "--to", "switch", "--write")
    assert users.status(CHANGE)["next"] == "evolve upgrade"
    users.ok("upgrade")
    assert [name for name, _ in users.sql(COLUMNS)] == ["full_name", "id", "name"]
    again = users.run("advance", CHANGE)  # what was said of the first time counts no longer
    assert again.returncode == 1
    assert "--old-code-gone" in again.stdout
    walk(users, "contract", "purge")
    assert [name for name, _ in users.sql(COLUMNS)] == ["full_name", "id"]
    told = [
        event["what"]
        for event in json.loads(users.ok("status", CHANGE, "--format", "json"))["changes"][0]["history"]
    ]
    assert "contract undone" in told
    kept = users.ok("history", CHANGE, "--gates")
    assert "before contract: somebody has confirmed" in kept
    assert kept.count("old-code-gone confirmed") == 2
    assert "applied in" in users.ok("history", "--last", "1")
    assert told.count("contract begun") == 2


def test_a_change_without_revisions(users: ChangeProject) -> None:
    users.ok("plan", "drop-table", "users", "--write")
    users.ok("undo", "drop_users", "--write")
    assert users.run("status", "drop_users").returncode == 2
    users.ok("plan", "drop-table", "users", "--write")


def test_it_only_tells_unless_it_is_to_write(users: ChangeProject) -> None:
    walk(users, "expand", "purge")
    files = sorted(users.root.rglob("*.py"))
    told = users.ok("undo", CHANGE)
    assert "purge is left: loses" in told
    assert "expand is left: loses nothing" in told
    assert f"next: evolve undo {CHANGE} --write" in told
    assert sorted(users.root.rglob("*.py")) == files


def test_a_revision_that_came_since_stays(users: ChangeProject) -> None:
    walk(users, "expand", "expand")
    found = re.search(r'^revision = "(\w+)"', users.revisions[-1].read_text(), re.MULTILINE)
    assert found is not None
    users.project.add("since", 'op.execute("ALTER TABLE users ADD COLUMN city text")', after=found[1])
    users.ok("upgrade")
    users.ok("undo", CHANGE, "--write")
    users.ok("upgrade")
    assert [name for name, _ in users.sql(COLUMNS)] == ["city", "id", "name"]


def test_what_hangs_on_the_new_column_is_not_dropped_with_it(users: ChangeProject) -> None:
    walk(users, "expand", "expand")
    users.sql("CREATE INDEX theirs ON users (full_name, id)")
    refused = users.run("undo", CHANGE, "--write")
    assert refused.returncode == 1
    assert 'index "theirs"' in refused.stderr
    assert users.manifest(CHANGE).exists()


@pytest.mark.parametrize("phase", ["contract", "nowhere"])
def test_a_phase_it_has_not_left(users: ChangeProject, phase: str) -> None:
    walk(users, "expand", "switch")
    assert users.run("undo", CHANGE, "--to", phase).returncode == 2


@pytest.mark.parametrize("command", [("undo", CHANGE, "--write"), ("advance", CHANGE), PLAN])
def test_one_command_at_a_time_writes(users: ChangeProject, command: tuple[str, ...]) -> None:
    walk(users, "expand", "expand")
    if command is PLAN:
        command = ("plan", "add-column", "users.city", "text", "--write")
    with sole_writer(users.root / "migrations", "evolve undo it --write", "ada@host"):
        refused = users.run(*command)
    assert refused.returncode == 1
    assert "another command writes to this project: evolve undo it --write (pid" in refused.stderr
    users.ok(*command)


# -- crashes ------------------------------------------------------------------------------------------------
WRITES = [
    ("evolve.app.undo_change", "save", 1),  # before the manifest
    ("evolve.revisions.writer", "write_revision", 1),  # manifest written, revisions not
    ("evolve.revisions.writer", "write_revision", 3),
    ("evolve.app.undo_change", "Written", 1),  # all written, the manifest removed
]


@pytest.mark.parametrize(("module", "name", "nth"), WRITES)
def test_killed_and_called_again(users: ChangeProject, module: str, name: str, nth: int) -> None:
    before = users.sql(COLUMNS)
    walk(users, "expand", "contract")
    users.killed(module, name, nth, "undo", CHANGE, "--write")
    if users.manifest(CHANGE).exists():
        if (name, nth) != ("save", 1):
            assert "is being undone" in users.run("advance", CHANGE).stderr
            assert users.status(CHANGE)["next"] == f"evolve undo {CHANGE} --write"
        users.ok("undo", CHANGE, "--write")
    users.ok("upgrade")
    assert users.sql(COLUMNS) == before
    assert not users.manifest(CHANGE).exists()


def test_killed_on_the_way_to_an_earlier_phase(users: ChangeProject) -> None:
    walk(users, "expand", "contract")
    users.killed("evolve.revisions.writer", "write_revision", 1, "undo", CHANGE, "--to", "switch", "--write")
    assert f"next: evolve undo {CHANGE} --to switch --write" in users.ok("undo", CHANGE)
    users.ok("undo", CHANGE, "--write")
    users.ok("upgrade")
    walk(users, "contract", "purge")
    assert [name for name, _ in users.sql(COLUMNS)] == ["full_name", "id"]


def test_the_regret_window_keeps_purge_away(users: ChangeProject) -> None:
    change = "drop_users_name"
    (users.root / "evolve.toml").write_text('[gates]\nregret_window = "2h"\n')
    users.ok("plan", "drop-column", "users.name", "--write")
    users.ok("upgrade")
    users.ok("advance", change)
    users.ok("advance", change, "--old-code-gone")
    # It was written yesterday, and is deployed today.
    users.sql("UPDATE evolve.change_event SET at = at - interval '1 day'")
    users.ok("upgrade")
    shut = users.run("advance", change, "--purge-approved")
    assert shut.returncode == 1
    assert "min; until then the way back loses nothing" in shut.stdout
    users.ok("advance", change, "--override", "regret-window", "--because", "no room on the disk")
    assert "regret-window before purge overridden: no room on the disk" in users.ok("history", change)


def test_a_purge_that_is_not_applied_is_said_to_have_lost_nothing_yet(users: ChangeProject) -> None:
    change = "drop_users_name"
    users.ok("plan", "drop-column", "users.name", "--write")
    users.ok("upgrade")
    users.ok("advance", change)
    users.ok("advance", change, "--old-code-gone")
    users.ok("upgrade")
    assert "nothing is lost yet" not in users.ok("undo", change)
    users.ok("advance", change, "--purge-approved")
    assert "nothing is lost yet: where no database has" in users.ok("undo", change)
    users.ok("upgrade")
    assert "nothing is lost yet" not in users.ok("undo", change)
