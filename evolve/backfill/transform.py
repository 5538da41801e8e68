"""The work of a backfill that is a Python function on rows: what it reads, what it writes, and how it is called."""

from __future__ import annotations

from enum import StrEnum

from evolve.values import dataclass


class Mode(StrEnum):
    """How a function's rows are kept from concurrent writers."""

    GUARDED = "guarded"  # computed without locks; a row that changed meanwhile is computed again under one
    LOCKED = "locked"  # locked, computed, written, in one short transaction
    OUTBOX = (
        "outbox"  # for effects outside the database: noted with the cursor, called afterwards, at least once
    )


@dataclass(frozen=True, slots=True)
class Transform:
    """
    Args:
        function: "package.module:name"; every worker imports it.
        reads: columns the function is given, beside the key.
        writes: columns it returns. Empty only in mode outbox.
        each: it takes one row, not a list of them.
        model: "package.module:name" of a SQLAlchemy class; the function then takes objects of it and a session. None
            gives it dictionaries.
        rate: rows per second at most; None sets no limit of its own.
    """

    function: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    mode: Mode = Mode.GUARDED
    each: bool = False
    model: str | None = None
    rate: float | None = None
