"""EV450: a DELETE of every row of a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.whole_tables import under_ddl_lock
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DeleteWithoutWhere(Rule):
    id = "EV450"
    name = "delete-without-where"
    severity = Severity.WARNING
    looks_at = (op.Delete,)
    lock = LockMode.ROW_EXCLUSIVE
    scan = True
    why = (
        "the rows are gone once it commits, those that the application adds meanwhile may stay, and until then whoever "
        "wants to change one waits"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Delete(table=table, where=False) if history.in_use(table) and not under_ddl_lock(history):
                found = history.schema.table(table)
                yield self.finding(
                    step,
                    f'every row of "{table.plain}" is deleted',
                    table=table,
                    scan=found is None or found.partition_by is None,
                    fix="delete by key ranges in transactions of their own, or keep the rows under another name",
                )
            case _:
                return
