"""EV205: a new NOT NULL column with a default that only Python knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint import alembic_code as code
from evolve.lint import command
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.required_column import client_default, is_required
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.parse import expression
from evolve.sql.steps import Step


class AddColumnClientDefault(Rule):
    id = "EV205"
    name = "add-column-client-default"
    severity = Severity.ERROR
    looks_at = (op.AddColumn,)
    lock = LockMode.ACCESS_EXCLUSIVE
    fails = True
    breaks_old_code = True
    why = (
        "default= is what SQLAlchemy sends in an INSERT of its own; the database never hears of it: the statement "
        "fails on a table that holds rows, and inserts of code that does not know the column fail. "
        "server_default= fills both"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table, column) as add if history.in_use(table) and is_required(add, history):
                pass
            case _:
                return
        told = client_default(step, add, history)
        if told is None:
            return
        value = told.detail.partition(" = ")[2]
        usable = bool(value) and (column.type != "boolean" or value in ("true", "false"))
        filled = replace(column, default=expression(value)) if usable else column
        yield self.finding(
            step,
            f'"{table.plain}.{column.name}" is NOT NULL, and its default is known to Python alone',
            table=table,
            safe=(code.add_column_with_default(table, filled) if usable else code.add_column(table, column),),
            fix=command.plan(
                "add-required-column",
                table,
                column.name,
                column.type,
                "--up",
                value if usable else "EXPRESSION",
            ),
        )
