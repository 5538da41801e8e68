"""EV152: `SET UNLOGGED` or `SET LOGGED` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class SetUnlogged(Rule):
    id = "EV152"
    name = "set-unlogged"
    severity = Severity.ERROR
    looks_at = (op.AlterTableOther,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "the whole table and its indexes are written anew under a lock that stops all reads and writes; a table that "
        "is not logged is empty after a crash, and on every replica"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table=table, clause="set unlogged" | "set logged" as clause):
                if not history.in_use(table) or not effect(step.operation, history.schema).rewrite:
                    return
                lost = ", and is empty after a crash from then on" if clause == "set unlogged" else ""
                words = clause.upper()
                yield self.finding(step, f'{words} writes "{table.plain}" anew{lost}', table=table)
            case _:
                return
