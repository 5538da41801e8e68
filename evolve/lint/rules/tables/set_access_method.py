"""EV153: `SET ACCESS METHOD` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class SetAccessMethod(Rule):
    id = "EV153"
    name = "set-access-method"
    severity = Severity.ERROR
    looks_at = (op.AlterTableOther,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "the whole table and its indexes are written anew under a lock that stops all reads and writes; make a new "
        "table with that method and move the rows in batches"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table=table, clause="set access method"):
                if history.in_use(table) and effect(step.operation, history.schema).rewrite:
                    yield self.finding(step, f'"{table.plain}" is written anew', table=table)
            case _:
                return
