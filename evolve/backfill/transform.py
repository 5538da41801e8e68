"""The work of a backfill that is a Python function on rows: what it reads, what it writes, and how it is called."""

from __future__ import annotations

from enum import StrEnum

from evolve.errors import Misuse
from evolve.values import dataclass

IDEMPOTENCY_KEY = (
    "idempotency_key"  # of a row that an effect is given: the same for each try of the same effect
)


class BadTransform(Misuse):
    def __init__(self, function: str, reason: str, fix: str) -> None:
        super().__init__(f"{function} cannot do the work of a backfill: {reason}", fix=fix)


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

    def check(self) -> None:
        """
        Raises:
            BadTransform: parts that do not go together.
        """
        outbox = self.mode is Mode.OUTBOX
        if not self.writes and not outbox:
            raise BadTransform(
                self.function, "it writes nothing", 'name columns in writes, or say mode="outbox"'
            )
        twice = next((name for name in self.writes if self.writes.count(name) > 1), None)
        if twice is not None:
            raise BadTransform(self.function, f'"{twice}" stands in writes twice', "name it once")
        if self.model is not None and self.mode is not Mode.LOCKED:
            raise BadTransform(
                self.function,
                f'objects of "{self.model}" live in the transaction of their batch, where rows are locked',
                'say mode="locked", or leave out model',
            )
        if self.rate is not None and self.rate <= 0:
            raise BadTransform(self.function, f"rate is {self.rate:g}", "give rows per second, above 0")
        if outbox and IDEMPOTENCY_KEY in self.reads:
            raise BadTransform(
                self.function,
                f'a column "{IDEMPOTENCY_KEY}" would hide the one that each effect is given',
                "leave it out of reads",
            )
