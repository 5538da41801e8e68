"""EV287: a column that a class of the running release writes is computed by the database from now on."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.compat.check import Cause
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.compat.broken import broken
from evolve.sql import operations as op
from evolve.sql.steps import Step


class CompatGenerated(Rule):
    id = "EV287"
    name = "compat-generated"
    severity = Severity.ERROR
    looks_at = (op.AddColumn,)
    breaks_old_code = True
    answered_by_gate = True
    needs_models = True
    why = (
        "the running release names the column in every INSERT, with a value or with NULL, and PostgreSQL takes neither "
        "for a generated column. First deploy a model that says Computed(…), or one without the column"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table=table, column=column) if column.generated and history.in_use(table):
                for failure in broken(step, history, table, Cause.GENERATED):
                    yield self.finding(
                        step,
                        f'{failure.class_} writes "{table.plain}.{column.name}", which is computed from now on',
                    )
            case _:
                return
