"""EV732: a column of floating point."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:real|double precision)(?:\[\])*")


class FloatColumn(Rule):
    id = "EV732"
    name = "float-column"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "0.1 + 0.2 is not 0.3: sums differ with the order of the rows, and equality fails"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) rounds',
                    fix="numeric for amounts and quantities",
                )
