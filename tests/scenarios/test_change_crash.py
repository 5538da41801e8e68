"""`evolve plan --write` and `evolve advance`, killed: the next call goes on, and no state in between breaks Alembic."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject
from support.command_line import evolve, start_evolve

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
PLAN = ("plan", "rename-column", "users.name", "full_name", "--write")
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL CONSTRAINT users_name_key UNIQUE);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 100) n;
"""


@pytest.fixture
def users(make_project: Callable[..., AlembicProject], database_url: str) -> ChangeProject:
    return ChangeProject(make_project(database_url), database_url, SCHEMA)


def to_the_end(users: ChangeProject) -> None:
    """From wherever it is: only commands that `evolve status` names, until there is none."""
    for _ in range(20):
        command = users.status(CHANGE)["next"]
        if command is None:
            return
        users.ok(*str(command).split()[1:])
    pytest.fail(f"{CHANGE} does not come to its end")


def whole(users: ChangeProject) -> None:
    """The rename is done, by six revisions in one line."""
    assert len(users.revisions) == 5
    columns = users.sql(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0"
    )
    assert [name for (name,) in columns if "pg.dropped" not in str(name)] == ["id", "full_name"]
    assert users.sql("SELECT count(DISTINCT full_name) FROM users") == [(100,)]


# (module, function, the how-manieth call) that the process does not survive
WRITES = [
    ("evolve.app.plan_change", "save", 1),  # before the manifest
    ("evolve.revisions.writer", "write_revision", 1),  # manifest written, revision not
    ("evolve.revisions.writer", "write_whole", 1),  # the same, with the revision rendered
    ("evolve.app.plan_change", "Written", 1),  # all written
]


@pytest.mark.parametrize(("module", "name", "nth"), WRITES)
def test_a_plan_killed_while_it_is_written(users: ChangeProject, module: str, name: str, nth: int) -> None:
    users.killed(module, name, nth, *PLAN)
    assert users.run("upgrade").returncode == 0  # Alembic can read what is there
    if not users.revisions:
        users.ok(*PLAN)
    to_the_end(users)
    whole(users)


ADVANCES = [
    ("evolve.postgres.evidence", "keep", 1),
    ("evolve.app.advance_change", "write_phase", 1),
    ("evolve.revisions.writer", "write_revision", 1),
    ("evolve.revisions.writer", "write_revision", 2),  # of two
    ("evolve.revisions.writer", "write_whole", 2),
]


@pytest.mark.parametrize(("module", "name", "nth"), ADVANCES)
def test_an_advance_killed_while_it_writes(users: ChangeProject, module: str, name: str, nth: int) -> None:
    users.ok(*PLAN)
    users.ok("upgrade")
    users.ok("advance", CHANGE)
    users.ok("backfill", "run", CHANGE)
    users.killed(module, name, nth, "advance", CHANGE)
    assert users.run("upgrade").returncode == 0
    to_the_end(users)
    whole(users)


def test_killed_at_random_moments(users: ChangeProject) -> None:
    """Every command of the road is killed once or twice before it may end."""
    chance = random.Random(7)
    for _ in range(40):
        has_manifest = users.manifest(CHANGE).is_file()
        command = users.status(CHANGE)["next"] if has_manifest else " ".join(("evolve", *PLAN))
        if command is None:
            break
        arguments = str(command).split()[1:]
        process = start_evolve(*arguments, cwd=users.root)
        time.sleep(chance.uniform(0.0, 0.6))
        process.kill()
        process.communicate()
        evolve(*arguments, cwd=users.root)  # may be refused where the first had come to its end
    to_the_end(users)
    whole(users)


def test_a_manifest_without_its_revision_says_so(users: ChangeProject) -> None:
    users.killed("evolve.revisions.writer", "write_revision", 1, *PLAN)
    shown = users.ok("status", CHANGE)
    assert "was named and never written" in shown
    assert f"next: evolve advance {CHANGE}" in shown


def test_nothing_is_left_behind_by_a_killed_writer(users: ChangeProject) -> None:
    users.killed("evolve.files", "_sync_directory", 1, *PLAN)
    users.ok("advance", CHANGE)
    leftovers = [name for _, _, names in os.walk(users.root) for name in names if name.endswith(".part")]
    assert leftovers == []
