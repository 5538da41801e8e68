"""EV280: null is refused from now on, and a class of the running release writes it unasked."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.compat.check import Cause
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.compat.broken import broken
from evolve.sql import operations as op
from evolve.sql.steps import Step


class CompatOrmExplicitNull(Rule):
    id = "EV280"
    name = "compat-orm-explicit-null"
    severity = Severity.WARNING
    looks_at = (op.SetNotNull, op.AddConstraint)
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "SQLAlchemy names a nullable column that has no default in the model in every INSERT, with NULL where the "
        "application gives no value, so that a DEFAULT in the database is not used. First deploy a model that always "
        "gives one (default=…), or that knows of the database's (server_default=…)"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case (
                op.SetNotNull(table=table)
                | op.AddConstraint(table=table, constraint=op.NotNull() | op.Check())
            ):
                pass
            case _:
                return
        for failure in broken(step, history, table, Cause.EXPLICIT_NULL):
            if failure.column is not None and history.column_in_use(table, failure.column):
                yield self.finding(
                    step,
                    f'{failure.class_} writes null to "{table.plain}.{failure.column}" where the application gives no '
                    "value, which is refused from now on",
                )
