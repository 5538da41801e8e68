"""Who is asked at each gate before its SQL is sent; apart from the operation, which Alembic loads as it is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from evolve.plan.gate_sql import Conditions

# A change, its conditions, and whether a table holds more rows than a new one would; gives the conditions left to SQL.
Ask = Callable[[str, Conditions, Callable[[str], bool]], Conditions]
_asked: list[Ask] = []


@contextmanager
def asking(ask: Ask) -> Iterator[None]:
    """Let `ask` look at each gate first, with more than SQL can see; it raises where one is shut."""
    _asked.append(ask)
    try:
        yield
    finally:
        _asked.remove(ask)


def asked() -> Sequence[Ask]:
    return tuple(_asked)
