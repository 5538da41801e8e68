"""How each change is done. A recipe is a file with `plan` and `before`, a page beside it, and a line here."""

from __future__ import annotations

from typing import assert_never

from evolve.plan.model import AddRequiredColumn, Change, Plan, RenameColumn, SetNotNull
from evolve.plan.recipes import add_required_column, rename_column, set_not_null
from evolve.plan.target import Target

# kind → what it does, for `evolve plan list`
ALL: dict[str, str] = {
    RenameColumn.kind: "Give a column another name.",
    SetNotNull.kind: "Make a column NOT NULL.",
    AddRequiredColumn.kind: "Add a column that holds a value in every row.",
}


def make_plan(change: Change, target: Target, *, in_flight: bool = False) -> Plan:
    """The phases of `change` on `target`.

    Args:
        change: the wish.
        target: the table as it is now.
        in_flight: some phases are done already, and what they made is to be looked through.

    Raises:
        Misuse: names, types or expressions of the change do not fit the table.
        Refused: something about the table stands in the way.
    """
    match change:
        case RenameColumn():
            return rename_column.plan(change, rename_column.before(change, target) if in_flight else target)
        case SetNotNull():
            return set_not_null.plan(change, set_not_null.before(change, target) if in_flight else target)
        case AddRequiredColumn():
            return add_required_column.plan(
                change, add_required_column.before(change, target) if in_flight else target
            )
        case _:
            assert_never(change)
