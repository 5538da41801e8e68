"""`evolve status`: where a change is, what it waits for, and the next command, in every phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 100) n;
"""
PLAN = ("plan", "rename-column", "users.name", "full_name", "--write")
# After the command: the phase it is in, a gate that is shut before the next one, and the next command.
ROAD = (
    (PLAN, "expand", None, "evolve upgrade"),
    (("upgrade",), "expand", None, f"evolve advance {CHANGE}"),
    (("advance", CHANGE), "backfill", "100 rows", f"evolve backfill run {CHANGE}"),
    (("backfill", "run", CHANGE), "backfill", None, f"evolve advance {CHANGE}"),
    (("advance", CHANGE), "validate", None, "evolve upgrade"),
    (("upgrade",), "validate", None, f"evolve advance {CHANGE}"),
    (("advance", CHANGE), "switch", "nobody has said so", f"evolve advance {CHANGE} --old-code-gone"),
    (("advance", CHANGE, "--old-code-gone"), "contract", None, "evolve upgrade"),
    (("upgrade",), "contract", "nobody has said so", f"evolve advance {CHANGE} --purge-approved"),
    (("advance", CHANGE, "--purge-approved"), "purge", None, "evolve upgrade"),
    (("upgrade",), "purge", None, None),
)


def test_the_next_command_is_told_all_the_way(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    users = ChangeProject(make_project(database_url), database_url, SCHEMA)
    for command, phase, shut, following in ROAD:
        users.ok(*command)
        status: Any = users.status(CHANGE)
        begun = [each["name"] for each in status["phases"] if each["state"] == "begun"]
        waits = [gate["observed"] for gate in status["gates"] if not gate["open"]]
        assert (begun[-1], status["next"]) == (phase, following), command
        assert waits == ([shut] if shut else []) or (shut in waits), command
        shown = users.ok("status", CHANGE)
        assert following is None or f"next: {following}" in shown, command
        assert shut is None or shut in shown, command
    history: Any = users.status(CHANGE)["history"]
    assert history[-1]["what"] == "purge begun"
