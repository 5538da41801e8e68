"""EV734: a boolean column that can be null."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step


class NullableBoolean(Rule):
    id = "EV734"
    name = "nullable-boolean"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "with null there are three answers, and `NOT flag` finds the rows of two of them only"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if column.type == "boolean" and not column.not_null:
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" can be null: it has three values',
                    fix="NOT NULL with a default, or an enum where three answers are meant",
                )
