"""EV712: two ALTER TABLE of one table, one behind the other, that could be one."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

# VALIDATE is not among them: it would read the rows under the others' lock. Nor is DROP CONSTRAINT: together with SET
# NOT NULL it takes the proof away.
_MERGEABLE = (
    op.AddColumn,
    op.DropColumn,
    op.AlterColumnType,
    op.SetNotNull,
    op.DropNotNull,
    op.SetDefault,
    op.DropDefault,
    op.AddConstraint,
)


class MergeAlters(Rule):
    id = "EV712"
    name = "merge-alters"
    severity = Severity.INFO
    looks_at = _MERGEABLE
    opt_in = True
    peers = ("eugene:W12",)
    why = "several clauses in one ALTER TABLE wait for the lock once, and read or rewrite the table once"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table = getattr(step.operation, "table", None)
        if table is None or not history.in_use(table) or history.position == 0:
            return
        before = history.revision[history.position - 1]
        same_table = isinstance(before.operation, _MERGEABLE) and before.operation.table == table
        if same_table and before.statement is not step.statement and before.transaction == step.transaction:
            yield self.finding(
                step,
                f'"{table.plain}" was altered by the statement before: one ALTER TABLE can do both',
                fix="with op.batch_alter_table(…) there is one statement for each clause; write it as SQL",
            )
