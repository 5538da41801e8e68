"""EV204: `DROP COLUMN` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.dropped_column import dependents, is_there
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropColumn(Rule):
    id = "EV204"
    name = "drop-column"
    severity = Severity.ERROR
    looks_at = (op.DropColumn,)
    peers = ("squawk:ban-drop-column", "strong_migrations:remove_column", "zdm:R005")
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    why = (
        "code that still maps the column fails at its next SELECT or INSERT, and the data are gone: first "
        "deploy a release that does not map it, drop it one release later and say so in an allow comment"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropColumn(table, column) as drop if history.column_in_use(table, column):
                pass
            case _:
                return
        if is_there(drop, history) and not dependents(drop, history).fails(drop):
            # What the models of the running release leave out only takes its data along.
            gone = history.unmapped(table, column)
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is dropped with its data'
                + (", and the running release no longer maps it" if gone else " while code may still use it"),
                table=table,
                breaks_old_code=not gone,
                fix=None if gone else command.plan("drop-column", table, column),
                severity=Severity.WARNING if gone else None,
                why="the data are gone: a downgrade brings the column back empty" if gone else None,
            )
