"""EV301: any new column of a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AddColumn(Rule):
    id = "EV301"
    name = "add-column"
    severity = Severity.INFO
    peers = ("squawk:ban-add-column",)
    looks_at = (op.AddColumn,)
    opt_in = True
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_new_code = True
    why = (
        "code that maps the column fails until the revision has run: migrate, then deploy. Old code that lists its "
        "columns, as SQLAlchemy does, notices nothing; INSERT without a list, and statements prepared as SELECT *, "
        "may fail"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn() as add if history.adds(add):
                yield self._finding(step, add, history)
            case _:
                return

    def _finding(self, step: Step, add: op.AddColumn, history: History) -> Finding:
        predicted = effect(add, history.schema, history.postgres_version)
        return self.finding(
            step,
            f'"{add.table.plain}.{add.column.name}" is new: code that maps it needs this revision',
            table=add.table,
            rewrite=add.table in predicted.rewrites,
            scan=add.table in predicted.scans,
        )
