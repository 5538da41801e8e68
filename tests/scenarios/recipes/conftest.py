"""Which scenes are killed in every run: one of each way of doing a change; the others take minutes in all."""

from __future__ import annotations

import pytest

_ALWAYS_KILLED = frozenset(
    {
        "test_add_index",
        "test_add_unique",
        "test_change_type",
        "test_many_to_many",
        "test_rename_column",
        "test_rename_table",
        "test_widen_key",
    }
)


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.name.startswith("test_killed") and item.path.stem not in _ALWAYS_KILLED:
        item.add_marker("long")
