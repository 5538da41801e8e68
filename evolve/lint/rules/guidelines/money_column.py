"""EV728: a `money` column."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:money)(?:\[\])*")


class MoneyColumn(Rule):
    id = "EV728"
    name = "money-column"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "the decimals are a setting of the server: the same bytes mean another amount elsewhere"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) is read and printed as lc_monetary says',
                    fix="numeric, with the currency in a column of its own",
                )
