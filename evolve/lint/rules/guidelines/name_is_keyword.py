"""EV736: a name that is a reserved word of SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_names import LOOKS_AT, new_names
from evolve.sql.names import quote
from evolve.sql.steps import Step

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


class NameIsKeyword(Rule):
    id = "EV736"
    name = "name-is-keyword"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "it works only in quotes, and the error without them points anywhere but to the name"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for name in new_names(step.operation):
            if _PLAIN.fullmatch(name) and quote(name) != name:
                yield self.finding(
                    step, f'"{name}" is a reserved word', fix="another name, such as its plural"
                )
