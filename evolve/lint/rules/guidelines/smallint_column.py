"""EV722: a `smallint` column."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:smallint)(?:\[\])*")


class SmallintColumn(Rule):
    id = "EV722"
    name = "smallint-column"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    peers = ("squawk:prefer-bigint-over-smallint",)
    why = "it saves bytes only beside another small column, and to widen it later is a rewrite"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) holds numbers to 32,767 only',
                    fix="integer or bigint",
                )
