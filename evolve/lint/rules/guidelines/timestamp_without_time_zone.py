"""EV726: a `timestamp` without time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:timestamp(\(\d\))? without time zone)(?:\[\])*")


class TimestampWithoutTimeZone(Rule):
    id = "EV726"
    name = "timestamp-without-time-zone"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    peers = ("squawk:prefer-timestamp-tz",)
    why = "the value has no zone: what it means depends on who wrote it, and an hour exists twice when clocks go back"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) does not say which moment it means',
                    fix="timestamp with time zone",
                )
