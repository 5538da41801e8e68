"""EV285: a column gets a type that values sent by a class of the running release cannot be stored in."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.compat.check import Cause
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.compat.broken import broken
from evolve.sql import operations as op
from evolve.sql.steps import Step


class CompatBindCast(Rule):
    id = "EV285"
    name = "compat-bind-cast"
    severity = Severity.ERROR
    looks_at = (op.AlterColumnType,)
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "with psycopg 3 and asyncpg SQLAlchemy sends every value as the type of its model ($1::VARCHAR), and "
        "PostgreSQL does not convert that unasked: reading goes on, writing fails. Add a column of the new type "
        "beside the old one, and move releases over one by one"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterColumnType(table=table, column=column, type=type_) if history.column_in_use(
                table, column
            ):
                for failure in broken(step, history, table, Cause.BIND_CAST):
                    yield self.finding(
                        step,
                        f'{failure.class_} sends "{table.plain}.{column}" as {failure.detail}, which a column of type '
                        f"{type_} does not take",
                    )
            case _:
                return
