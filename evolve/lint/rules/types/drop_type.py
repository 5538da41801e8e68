"""EV432: `DROP TYPE` or `DROP DOMAIN` of one that columns in use have."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.made import columns_in_use, new_type
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropType(Rule):
    id = "EV432"
    name = "drop-type"
    severity = Severity.ERROR
    looks_at = (op.DropType,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    peers = ("squawk:ban-drop-domain", "squawk:ban-drop-type")
    why = (
        "CASCADE drops every column of the type, with all that it holds; without it PostgreSQL refuses. Drop the "
        "columns by name, when no code uses them any more, and then the type"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropType(type=name, cascade=cascade) if not new_type(history, name):
                columns = columns_in_use(history, name)
                if columns:
                    names = listed([f"{table.plain}.{column}" for table, column in columns])
                    lost = f"and with it {names}" if cascade else f"which is refused: {names} needs it"
                    yield self.finding(
                        step,
                        f'the type "{name.plain}" is dropped, {lost}',
                        table=columns[0][0] if cascade else None,
                        fails=not cascade,
                    )
                elif cascade:
                    yield self.finding(
                        step,
                        f'CASCADE drops with "{name.plain}" every column that has the type',
                        severity=Severity.WARNING,
                    )
            case _:
                return
