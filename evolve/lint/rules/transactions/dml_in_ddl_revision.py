"""EV711: a revision that changes both tables and rows."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.whole_tables import under_ddl_lock
from evolve.sql import operations as op
from evolve.sql.steps import Step

_DDL = (
    op.AddColumn,
    op.DropColumn,
    op.AlterColumnType,
    op.SetNotNull,
    op.AddConstraint,
    op.DropConstraint,
    op.CreateIndex,
    op.DropTable,
)


class DmlInDdlRevision(Rule):
    id = "EV711"
    name = "dml-in-ddl-revision"
    severity = Severity.INFO
    looks_at = (op.Update, op.Delete, op.Insert)
    opt_in = True
    why = (
        "rows take minutes and tables milliseconds, the one can be repeated and the other cannot: when the half that "
        "changes rows fails, the other half has to be undone or waits for it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = getattr(step.operation, "table", None)
        if table is None or not history.in_use(table) or under_ddl_lock(history):
            return
        earlier = (before.operation for before in history.revision[: history.position])
        if any(isinstance(operation, op.Update | op.Delete | op.Insert) for operation in earlier):
            return
        if any(isinstance(other.operation, _DDL) for other in history.revision):
            yield self.finding(
                step,
                f'rows of "{table.plain}" are changed in a revision that changes tables as well',
                fix="a revision of its own, or evolve backfill",
            )
