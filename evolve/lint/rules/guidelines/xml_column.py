"""EV730: an `xml` column."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step

_TYPE = re.compile(r"(?:xml)(?:\[\])*")


class XmlColumn(Rule):
    id = "EV730"
    name = "xml-column"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "there is no equality for xml: DISTINCT, GROUP BY and unique indexes fail, and each read parses it"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if _TYPE.fullmatch(column.type):
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" ({column.type}) cannot be compared or indexed',
                    fix="text, or jsonb, or columns",
                )
