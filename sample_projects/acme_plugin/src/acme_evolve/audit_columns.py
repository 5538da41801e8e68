"""A recipe: give a table the two columns that Acme's auditors ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.recipe_api import (
    TABLE,
    Change,
    ColumnExists,
    Facts,
    LockMode,
    Part,
    Phase,
    Plan,
    Recipe,
    Statement,
    Uses,
    columns,
    refuse_family,
    table_words,
)

CHANGED_BY = "changed_by"
CHANGED_AT = "changed_at"


@dataclass(frozen=True, slots=True)
class AddAuditColumns(Change):
    """Add `changed_by` and `changed_at`, which say who wrote a row first, and when."""

    kind: ClassVar[str] = "acme-add-audit-columns"

    def words(self) -> Sequence[str]:
        return ["audit", *table_words(self.table)]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (CHANGED_BY, CHANGED_AT)))


def plan(change: AddAuditColumns, facts: Facts) -> Plan:
    target = facts.table(change.table)
    refuse_family(target)
    for name in (CHANGED_BY, CHANGED_AT):
        if target.column(name) is not None:
            raise ColumnExists(target, name)
    alter = f"ALTER TABLE {change.table}\n    "
    add = [
        Statement(
            f"{alter}ADD COLUMN {name} {type_name}",
            LockMode.ACCESS_EXCLUSIVE,
            "a nullable column without a default changes only the catalog; rows that exist stay null",
        )
        for name, type_name in ((CHANGED_BY, "text"), (CHANGED_AT, "timestamptz"))
    ]
    fill = [
        Statement(
            f"{alter}ALTER COLUMN {name} SET DEFAULT {value}",
            LockMode.ACCESS_EXCLUSIVE,
            "catalog only; it is for the rows to come",
        )
        for name, value in ((CHANGED_BY, "current_user"), (CHANGED_AT, "now()"))
    ]
    undo = Statement(
        f"{alter}DROP COLUMN {CHANGED_BY},\n    DROP COLUMN {CHANGED_AT}",
        LockMode.ACCESS_EXCLUSIVE,
        "catalog only",
    )
    expand = Phase(
        "expand",
        f"new rows of {change.table.plain} say who wrote them, and when",
        (Part(f"audit {change.table.plain}", (*add, *fill), (undo,)),),
        instructions=("Code that runs now goes on as it is: the defaults serve it.",),
        go_back="downgrade the expand revision: both columns go",
        undo_loses="who wrote the rows since",
    )
    return Plan(change.id, change, (expand,), facts=facts.source)


RECIPE = Recipe(AddAuditColumns, "Give a table the columns that the auditors ask for.", (TABLE,), plan)
