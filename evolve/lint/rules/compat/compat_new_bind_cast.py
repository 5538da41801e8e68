"""EV321: values that a class of the next release sends cannot be stored before a column has its new type."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.compat.check import Cause, failures
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class CompatNewBindCast(Rule):
    id = "EV321"
    name = "compat-new-bind-cast"
    severity = Severity.WARNING
    looks_at = (op.AlterColumnType,)
    breaks_new_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "with psycopg 3 and asyncpg SQLAlchemy sends every value as the type of its model ($1::INTEGER), so the new "
        "release cannot write as long as the column has its old type, nor after a downgrade: deploy it afterwards"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterColumnType(table=table, column=column) if history.column_in_use(table, column):
                pass
            case _:
                return
        known = history.schema.column(table, column)
        if history.new_models is None or known is None:
            return
        for mapped in history.new_models.of(table):
            for failure in failures(mapped, history.schema):
                if failure.cause is Cause.BIND_CAST and failure.column == column:
                    yield self.finding(
                        step,
                        f'{mapped.class_} of the next release sends "{table.plain}.{column}" as {failure.detail}, '
                        f"which {known.type} does not take",
                    )
