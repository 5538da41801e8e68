"""EV731: an `hstore` column."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:(?:\w+\.)?hstore)(?:\[\])*")


class HstoreColumn(Rule):
    id = "EV731"
    name = "hstore-column"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "jsonb has types and nesting, and needs no extension"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) holds texts only, by an extension',
                    fix="jsonb",
                )
