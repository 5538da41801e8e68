"""Percent signs in scripts made with `--sql`: those of the revision, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.runtime.environment import EnvironmentContext


@contextmanager
def plain_percent_signs() -> Iterator[None]:
    """Scripts are for psql: no driver takes the percent signs away again that would be doubled for it.

    Alembic's template of env.py asks for them; that of Flask-Migrate, and many by hand, do not.
    """
    plain = EnvironmentContext.configure

    def configure(self: EnvironmentContext, *args: Any, **options: Any) -> None:
        options["dialect_opts"] = {"paramstyle": "named", **(options.get("dialect_opts") or {})}
        plain(self, *args, **options)

    EnvironmentContext.configure = configure  # type: ignore[method-assign]
    try:
        yield
    finally:
        EnvironmentContext.configure = plain  # type: ignore[method-assign]
