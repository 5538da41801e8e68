"""Which scenes are killed in every run: that of an index that goes; each of the others takes a minute or more."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.name.startswith("test_killed") and "::TestDropIndex::" not in item.nodeid:
        item.add_marker("long")
