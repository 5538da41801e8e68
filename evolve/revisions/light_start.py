"""Alembic imported without what reading revisions never uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def light_start() -> Iterator[None]:
    """Hide Pygments while Alembic is imported: Mako would color error pages with it, for a tenth of the whole time."""
    hidden = "pygments" not in sys.modules and "mako.exceptions" not in sys.modules
    if hidden:
        sys.modules["pygments"] = None  # type: ignore[assignment]  # how an import is made to fail
    try:
        yield
    finally:
        if hidden:
            del sys.modules["pygments"]
