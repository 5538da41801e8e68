"""EV724: a `varchar` with a length."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:character varying\(\d+\))(?:\[\])*")


class VarcharLimit(Rule):
    id = "EV724"
    name = "varchar-limit"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    peers = ("squawk:prefer-text-field",)
    why = "to shrink a limit is a rewrite; a CHECK can be added and dropped without one"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) has a length limit',
                    fix="text, with a CHECK where a limit is meant",
                )
