"""EV202: `RENAME COLUMN` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import quote
from evolve.sql.steps import Step


class RenameColumn(Rule):
    id = "EV202"
    name = "rename-column"
    severity = Severity.ERROR
    looks_at = (op.RenameColumn,)
    peers = ("squawk:renaming-column", "strong_migrations:rename_column", "zdm:R011")
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    breaks_new_code = True
    answered_by_gate = True
    why = (
        "code that runs knows one of the two names: the old release fails from the moment of the rename, "
        "the new one until then, so no order of deployment works"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.RenameColumn(table, column, to) if history.column_in_use(table, column):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column}" becomes "{to}" at one instant, and no code knows both names',
                    table=table,
                    fix=None
                    if table in history.schema.views
                    else command.plan("rename-column", table, column, quote(to)),
                )
            case _:
                return
