"""What every recipe refuses and says that keeps rows of two tables in step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from evolve.errors import Refused
from evolve.plan.target import Target, refuse_family, refuse_later_triggers
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.statements import Statement


class ForcedRowSecurity(Refused):
    def __init__(self, target: Target) -> None:
        super().__init__(
            f'table "{target.table.plain}" forces row level security on its owner',
            why="the triggers run with its owner's rights, would not see every row, and leave some out of step",
            fix=f"lift it for the time of the change: ALTER TABLE {target.table} NO FORCE ROW LEVEL SECURITY",
        )


def refuse_unsyncable(target: Target, trigger: str) -> None:
    """Raise what keeps triggers of the sync, whose names begin with `trigger`, from seeing each row as it is stored.

    Raises:
        NotAPlainTable, ForcedRowSecurity, LaterTrigger.
    """
    refuse_family(target)
    if target.forced_row_security:
        raise ForcedRowSecurity(target)
    refuse_later_triggers(target, trigger)


def unseen(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """The same for a table that the change has just made: nobody waits for a lock on it."""
    return tuple(replace(statement, lock=None) for statement in statements)


def reference_names(target: Target) -> tuple[str, ...]:
    """What columns are called that refer to the key of `target`: order_id of orders.id."""
    table = target.table.name
    one = table[:-1] if table.endswith("s") and not table.endswith("ss") else table
    return tuple(shorten(one, name) for name in target.key)


def hold_still(table: QualifiedName) -> Statement:
    """Nobody writes `table` until this transaction ends, which has locked the other table already."""
    return Statement(
        f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE",
        LockMode.SHARE_ROW_EXCLUSIVE,
        "no trigger may be at work while the columns that it names change their names; both tables are locked in the "
        "order of a writer who locks the row that both share first, and what follows changes catalogs alone",
        allow=("lock-table",),
    )


def published_notes(target: Target, made: QualifiedName) -> Iterator[str]:
    """What is to be done where subscribers get the table whose columns go to `made`."""
    if target.published:
        yield (
            f"{target.table.plain} is published by {', '.join(target.published)}: create {made.plain} on every "
            "subscriber, and add it to the publication, before code reads it there; the triggers fire on the publisher "
            "alone. Before contract the subscribers need the columns that it renames under their new names, too, "
            "and those of the old names without NOT NULL."
        )


def row_security_notes(target: Target, made: QualifiedName) -> Iterator[str]:
    if target.row_security:
        yield (
            f"{target.table.plain} has row level security, and its policies cannot be carried over: {made.plain} has "
            "it enabled, and none. Nobody but its owner sees a row of it until you have written policies."
        )
