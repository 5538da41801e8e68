"""EV120: `SET STORAGE` or `SET COMPRESSION` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class SetStorage(Rule):
    id = "EV120"
    name = "set-storage"
    severity = Severity.INFO
    looks_at = (op.AlterTableOther,)
    opt_in = True
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "it only says how values written from now on are kept, and still waits for a lock that stops all reads and "
        "writes: behind a long query everything else queues. Rows that are there stay as they are"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table, "set storage" | "set compression" as clause, column):
                if history.in_use(table):
                    yield self.finding(
                        step, f'{clause.upper()} of "{table.plain}.{column}" takes {self.lock}', table=table
                    )
            case _:
                return
