"""EV727: a `time with time zone` column."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:time(\(\d\))? with time zone)(?:\[\])*")


class TimetzColumn(Rule):
    id = "EV727"
    name = "timetz-column"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "without a date the offset of a zone is not known; PostgreSQL's own manual advises against the type"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) has an offset and no date to apply it on',
                    fix="time, with the zone's name beside it, or timestamptz",
                )
