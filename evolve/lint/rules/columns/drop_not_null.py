"""EV207: a column in use may hold null from now on."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropNotNull(Rule):
    id = "EV207"
    name = "drop-not-null"
    severity = Severity.WARNING
    looks_at = (op.DropNotNull,)
    peers = ("squawk:ban-drop-not-null",)
    opt_in = True
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    why = (
        "the schema takes more than before, and nothing fails at once; but as soon as new code writes a null, "
        "old code that reads the row meets what its model says cannot be"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropNotNull(table, column) if history.column_in_use(table, column):
                pass
            case _:
                return
        known = history.schema.column(table, column)
        if known is None or not known.type or known.not_null:
            yield self.finding(
                step,
                f'"{table.plain}.{column}" may hold null, which code that reads it does not expect',
                table=table,
            )
