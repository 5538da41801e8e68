"""EV210: a generated column becomes a plain one that nobody fills."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.in_the_same_transaction import filled_otherwise, rest
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropGeneratedExpression(Rule):
    id = "EV210"
    name = "drop-generated-expression"
    severity = Severity.WARNING
    peers = ("squawk:ban-drop-generated-expression",)
    looks_at = (op.DropExpression,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    why = (
        "rows keep what was computed, and no new ones are: running code has never given the column a value, so it "
        "is null in new rows, or the insert fails where it is NOT NULL. A trigger in the same revision goes on "
        "computing it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropExpression(table, column):
                pass
            case _:
                return
        known = history.schema.column(table, column)
        if known is not None and known.generated == "virtual":
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is virtual: it holds no values that it could keep',
                table=table,
                fails=True,
                severity=Severity.ERROR,
                why="PostgreSQL refuses the statement; add a plain column and fill it instead",
            )
            return
        if not history.column_in_use(table, column) or (known and known.type and known.generated is None):
            return
        triggered = any(
            isinstance(each, op.CreateTrigger) and each.table == table for each in rest(step, history)
        )
        if not triggered and not filled_otherwise(step, history, table, column):
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is no longer computed, and running code does not fill it',
                table=table,
            )
