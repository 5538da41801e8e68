"""EV611: another default for new rows of a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class SetDefault(Rule):
    id = "EV611"
    name = "set-default"
    severity = Severity.INFO
    looks_at = (op.SetDefault,)
    peers = ("strong_migrations:change_column_default", "squawk:ban-set-default")
    opt_in = True
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "it changes what running code stores in new rows, from one moment to the next; rows that are there keep "
        "their values, and code that sends a value, null among them, never gets the default"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.SetDefault(table, column, default) if history.column_in_use(table, column):
                pass
            case _:
                return
        known = history.schema.column(table, column)
        if known is None or known.default != default:
            yield self.finding(
                step,
                f'rows that leave out "{table.plain}.{column}" get {default.sql} from now on',
                table=table,
            )
