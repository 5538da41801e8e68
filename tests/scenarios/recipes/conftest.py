"""Which scenes are played in every run: one of each way of doing a change. All of them are for `make test-long`."""

from __future__ import annotations

import pytest

from evolve.testing.phase_harness import SceneContract

# By the way it goes: a twin beside the old column, of another type, under another name or in another table; a key; a
# promise that is validated; something that is taken away; a view in front; a build beside the table.
PLAYED = frozenset(
    {
        *("TestRenameColumn", "TestUnderOneName", "TestInPlace", "TestMoveColumn", "TestManyToMany"),
        *("TestWidenKey", "TestRemoveEnumValue", "TestSetNotNull", "TestDropColumn"),
        *("TestRenameTable", "TestChangeFunction", "TestVersions", "TestAddIndex"),
    }
)
KILLED = frozenset({"TestDropIndex"})  # each of the others takes a minute or more


def pytest_itemcollected(item: pytest.Item) -> None:
    scene = item.nodeid.split("::")[1]
    if scene not in (KILLED if item.name.startswith("test_killed") else PLAYED):
        item.add_marker("long")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--long"):
        SceneContract.clients = 2  # eight of them keep a core and a half busy
