"""The key a table is walked by: which index can serve, and how far along it a cursor stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from evolve.errors import Misuse
from evolve.sql.names import QualifiedName
from evolve.values import dataclass

# The text form of each key column, in a spelling that reads back the same under every session setting.
Key = tuple[str, ...]

INTEGERS = frozenset({"smallint", "integer", "bigint"})
TIMES = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})
NUMBERS = INTEGERS | TIMES | {"uuid"}  # types whose order `number` keeps


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """
    Args:
        type: as PostgreSQL writes it, fit for a cast.
        falling: walked from the greatest value down; the same for every column of a key.
    """

    name: str
    type: str
    falling: bool = False


@dataclass(frozen=True, slots=True)
class UniqueIndex:
    """A unique index.

    Args:
        columns: an expression stands among them as it is written.
        not_null: every column is declared NOT NULL, and no row is left out of that.
        unfit: why a table cannot be walked by it, whatever its nulls; None: it can.
    """

    name: str
    columns: tuple[KeyColumn, ...]
    primary: bool
    not_null: bool
    unfit: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why a table cannot be walked by it; None: it can."""
        return self.unfit or (None if self.not_null else "a column of it may be null")

    @property
    def shown(self) -> str:
        return ",".join(column.name for column in self.columns)


# The place of a row in its table, for tables without a key: it changes when the row is written.
PLACE = KeyColumn("ctid", "tid")


class NoKey(Misuse):
    """
    Args:
        indexes: unique ones that it has, none of which will do.
    """

    def __init__(self, table: QualifiedName, indexes: Sequence[UniqueIndex] = ()) -> None:
        reasons = "; ".join(f'not by "{index.name}" ({index.shown}): {index.trouble}' for index in indexes)
        super().__init__(
            f'table "{table.plain}" has no key to walk by'
            if reasons
            else f'table "{table.plain}" has no primary key and no unique NOT NULL index',
            why=reasons or "a backfill resumes after the last key it committed, so rows need a unique order",
            fix=(
                "create a unique index that has none of this, CONCURRENTLY"
                if reasons
                else "add a primary key"
            )
            + "; or walk it block by block: --key ctid, with a --where that a row no longer fits once it is written",
        )


class NeedsPredicate(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'table "{table.plain}" cannot be walked by ctid without --where',
            why="a row moves to another place when it is written, so only a predicate tells those done from those not",
            fix="give --where a predicate that a row no longer fits once it is written: --where 'COLUMN IS NULL'",
        )


class OnlyInPlace(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'table "{table.plain}" cannot be walked by ctid for this kind of work',
            why="blocks are walked again until no row fits the predicate, so each row must be written or deleted there",
            fix="name a unique key with --key",
        )


class NoOrder(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'table "{table.plain}" cannot be walked by ctid from the newest row on',
            why="places in a table are used again and say nothing of age",
            fix="leave out --newest-first, or name a unique key with --key",
        )


class UnusableKey(Misuse):
    def __init__(
        self, table: QualifiedName, wanted: Sequence[str], reason: str, usable: Sequence[UniqueIndex]
    ) -> None:
        choices = " or ".join(f"--key {index.shown}" for index in usable)
        super().__init__(
            f'table "{table.plain}" cannot be walked by ({", ".join(wanted)}): {reason}',
            why="a backfill resumes after the last key it committed, so rows need a unique order without nulls",
            fix=f"use {choices}"
            if choices
            else "create a unique index on NOT NULL columns first, CONCURRENTLY; or walk blocks: --key ctid --where …",
        )


def choose_key(
    table: QualifiedName, indexes: Sequence[UniqueIndex], wanted: tuple[str, ...] | None
) -> UniqueIndex:
    """The index to walk: the one over exactly the `wanted` columns in that order, else the primary key, else the unique
    NOT NULL index with the fewest columns.

    Raises:
        NoKey: none is usable.
        UnusableKey: the wanted one is not.
    """
    usable = sorted(
        (i for i in indexes if i.trouble is None), key=lambda i: (not i.primary, len(i.columns), i.name)
    )
    if wanted is None:
        if not usable:
            raise NoKey(table, indexes)
        return usable[0]
    named = [index for index in indexes if tuple(column.name for column in index.columns) == wanted]
    for index in named:
        if index.trouble is None:
            return index
    reason = next((index.trouble for index in named), None)
    raise UnusableKey(
        table, wanted, reason or "no unique index has exactly these columns in this order", usable
    )


def fraction(
    columns: Sequence[KeyColumn], low: Key | None, cursor: Key | None, upto: Key | None
) -> float | None:
    """How far `cursor` is from `low` to `upto` by the first key column, 0.0 to 1.0; None where that says nothing."""
    if low is None or upto is None:
        return None
    if cursor is None:
        return 0.0
    first, place, last = (number(columns[0].type, key[0]) for key in (low, cursor, upto))
    if first is None or place is None or last is None or last == first:
        return None
    return min(1.0, max(0.0, (place - first) / (last - first)))


def number(type_: str, text: str) -> float | None:
    """Where a value lies among those of its type; None for types whose order is not that of numbers."""
    if type_ in INTEGERS:
        return float(int(text))
    if type_ == "uuid":
        return float(int(text.replace("-", ""), 16))
    if type_ in TIMES:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:  # infinity, or a year Python does not know
            return None
        # Only distances are used, and all three moments of a run have the same kind.
        return moment.timestamp() if moment.tzinfo else (moment - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001
    return None
