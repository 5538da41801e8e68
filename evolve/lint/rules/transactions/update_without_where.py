"""EV172: an UPDATE of every row of a table in use, in one statement."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.whole_tables import is_known_small, under_ddl_lock
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class UpdateWithoutWhere(Rule):
    id = "EV172"
    name = "update-without-where"
    severity = Severity.WARNING
    looks_at = (op.Update,)
    lock = LockMode.ROW_EXCLUSIVE
    scan = True
    why = (
        "every row stays locked until the transaction ends, whoever wants to change one waits, and as many dead rows "
        "are left behind; small transactions do the same in the background"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Update(table=table, where=False) if history.in_use(table):
                pass
            case _:
                return
        if under_ddl_lock(history) or is_known_small(table, history):
            return
        found = history.schema.table(table)
        yield self.finding(
            step,
            f'every row of "{table.plain}" is changed in one transaction',
            table=table,
            scan=found is None or found.partition_by is None,
            fix="fill it in small transactions: evolve backfill run --help",
        )
