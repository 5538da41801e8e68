"""EV733: a `numeric` without precision."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:numeric)(?:\[\])*")


class NumericWithoutPrecision(Rule):
    id = "EV733"
    name = "numeric-without-precision"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "it stores what it is given, a thousand digits of a division too; a scale rounds in one known place"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) takes a number of any length',
                    fix="numeric(p, s)",
                )
