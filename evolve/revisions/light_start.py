"""Alembic imported without what reading revisions hardly ever uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from evolve.late import late

_LATE = {
    "asyncio": ("iscoroutine",),
    "mako.exceptions": (),
    "mako.template": ("Template",),
    "sqlalchemy.dialects.postgresql.asyncpg": (),
    "sqlalchemy.dialects.postgresql.pg8000": (),
    "sqlalchemy.dialects.postgresql.psycopg2": (),
    "sqlalchemy.dialects.postgresql.psycopg2cffi": (),
}


@contextmanager
def light_start() -> Iterator[None]:
    """Load some modules when they are used, and hide Pygments: Mako would color error pages with it.

    Together they are a quarter of what importing Alembic costs.
    """
    hidden = "pygments" not in sys.modules and "mako.exceptions" not in sys.modules
    if hidden:
        sys.modules["pygments"] = None  # type: ignore[assignment]  # how an import is made to fail
    try:
        with late(_LATE):
            yield
    finally:
        if hidden:
            del sys.modules["pygments"]
