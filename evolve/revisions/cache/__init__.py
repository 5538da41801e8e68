"""Readings of earlier runs, so that only what is new is read. decisions/reading-cache.md says when that is right."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evolve.revisions.cache.store import Store


def open_store() -> Store | None:
    """The user's own store; None where there is no place for one."""
    try:
        from evolve.revisions.cache.store import Store, cache_directory
    except ImportError:  # a Python without SQLite
        return None
    directory = cache_directory(os.environ)
    return Store(directory) if directory is not None else None
