"""EV430: a table is dropped and made anew under its name in one rollout."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.one_transaction import where
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class CreateTableForce(Rule):
    id = "EV430"
    name = "create-table-force"
    severity = Severity.ERROR
    looks_at = (op.CreateTable,)
    breaks_old_code = True
    peers = ("strong_migrations:create_table",)
    why = (
        "the new table is empty, and grants, triggers and foreign keys of the old one are gone; alter the table, or "
        "make the new one under another name, copy the rows and swap the names"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTable(table=table, temporary=False):
                dropped = _dropped(history, table)
                if dropped is not None:
                    yield self.finding(
                        step,
                        f'"{table.plain}" was dropped {where(dropped, step)} and is made anew, without its rows',
                    )
            case _:
                return


def _dropped(history: History, table: QualifiedName) -> Step | None:
    """The step that dropped the table while it was in use, where nothing has taken its name since."""
    dropped = history.steps.places(op.DropTable, table)
    made = history.steps.places(op.CreateTable, table)
    return history.steps[dropped[-1]] if dropped and not made else None
