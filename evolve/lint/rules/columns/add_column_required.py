"""EV201: a new NOT NULL column without a default."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.required_column import client_default, is_required
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AddColumnRequired(Rule):
    id = "EV201"
    name = "add-column-required"
    severity = Severity.ERROR
    looks_at = (op.AddColumn,)
    peers = ("squawk:adding-required-field", "eugene:E2", "zdm:R010")
    lock = LockMode.ACCESS_EXCLUSIVE
    fails = True
    breaks_old_code = True
    why = (
        "it fails on a table that holds rows; on an empty one it succeeds, and every insert of code that "
        "does not know the column fails"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table, column) as add if history.in_use(table) and is_required(add, history):
                pass
            case _:
                return
        if client_default(step, add, history) is not None:
            return  # add-column-client-default tells what to write instead
        yield self.finding(
            step,
            f'"{table.plain}.{column.name}" is NOT NULL and has no default in the database',
            table=table,
            safe=(code.add_column(table, column),),
            fix=command.plan("add-required-column", table, column.name, column.type, "--up", "EXPRESSION"),
        )
