"""EV401: `DROP TABLE` of a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropTable(Rule):
    id = "EV401"
    name = "drop-table"
    severity = Severity.ERROR
    peers = ("squawk:ban-drop-table", "zdm:R019")
    looks_at = (op.DropTable,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    why = (
        "its rows are gone and code that still uses it fails; every table that it refers to is locked as "
        "well. Drop it one release after the last code that used it, and say so in an allow comment"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropTable(if_exists=True, table=table) if history.schema.lacks(table):
                return
            case op.DropTable(table) if history.in_use(table):
                found = history.schema.table(table)
                targets = (
                    sorted({key.target.plain for key in found.foreign_keys} - {table.plain}) if found else []
                )
                names = ", ".join(f'"{target}"' for target in targets)
                also = f" and locks {names} as well" if targets else ""
                gone = history.unmapped(table)
                yield self.finding(
                    step,
                    f'"{table.plain}" is dropped with its rows{also}',
                    table=table,
                    breaks_old_code=not gone,
                    fix=None if gone else command.plan_table("drop-table", table),
                    severity=Severity.WARNING if gone else None,
                    why="its rows are gone: a downgrade brings the table back empty" if gone else None,
                )
            case _:
                return
