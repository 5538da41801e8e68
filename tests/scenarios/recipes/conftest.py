"""Which scenes are killed in every run: that of a rename; the others take minutes in all."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.name.startswith("test_killed") and item.path.stem != "test_rename_column":
        item.add_marker("long")
