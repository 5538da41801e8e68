"""Hooks of a project hear when a change goes into a phase, and when it is taken back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.alembic_project import AlembicProject
from support.change_project import ChangeProject

pytestmark = pytest.mark.server

CHANGE = "rename_users_name_to_full_name"
SCHEMA = "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);"


def test_phases_and_the_way_back_are_events(
    make_project: Callable[..., AlembicProject], database_url: str
) -> None:
    users = ChangeProject(make_project(database_url), database_url, SCHEMA)
    (users.root / "evolve.toml").write_text("on_event = ['sh -c \"cat >> heard\"']\n", encoding="utf-8")
    users.ok("plan", "rename-column", "users.name", "full_name", "--write")
    users.ok("upgrade")
    for arguments in (("advance", CHANGE), ("backfill", "run", CHANGE), ("undo", CHANGE, "--write")):
        done = users.run(*arguments)
        assert done.returncode == 0, done.stderr
    heard = [json.loads(line) for line in (users.root / "heard").read_text().splitlines()]
    told = [
        (line["event"], line.get("phase"), line.get("state"))
        for line in heard
        if line["event"] in ("change.phase", "change.undo", "backfill.end")
    ]
    assert told == [
        ("change.phase", "backfill", None),
        ("backfill.end", None, "done"),
        ("change.undo", None, None),
    ]
