"""EV109: a change of type that writes the table anew."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.changed_type import ZONES, ChangedType, changed_type
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step
from evolve.sql.type_casts import NUMBERS, STRINGS
from evolve.sql.types import base


class AlterTypeRewrite(Rule):
    id = "EV109"
    name = "alter-type-rewrite"
    severity = Severity.ERROR
    looks_at = (op.AlterColumnType,)
    peers = (
        "squawk:changing-column-type",
        "eugene:E5",
        "strong_migrations:change_column",
        "zdm:R015",
    )
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    breaks_old_code = True
    why = (
        "PostgreSQL converts every row and rebuilds every index under a lock that stops all reads and "
        "writes, and code that binds the old type may fail; a second column, kept equal and filled in the "
        "background, has neither cost"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        changed = changed_type(step, history)
        if changed is None or not changed.in_use or changed.fails or not changed.effect.rewrites:
            return
        if changed.old is not None and {base(changed.old), base(changed.new)} == ZONES:
            return  # alter-type-timezone says more of it
        yield self.finding(
            step,
            f"changing {changed} rewrites the table under {self.lock}",
            table=changed.table,
            breaks_old_code=not _same_family(changed),
            fix=command.plan("change-type", changed.table, changed.column, changed.new),
        )


_FAMILIES = (NUMBERS, STRINGS | {"citext"}, frozenset({"json", "jsonb"}))


def _same_family(changed: ChangedType) -> bool:
    """True where a client goes on binding the old type: the server takes it for the new one."""
    if changed.old is None:
        return False
    one, other = base(changed.old), base(changed.new)
    return one == other or any(one in family and other in family for family in _FAMILIES)
