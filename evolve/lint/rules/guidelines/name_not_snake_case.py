"""EV735: a name with capitals or other characters that need quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_names import LOOKS_AT, new_names
from evolve.sql.steps import Step

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


class NameNotSnakeCase(Rule):
    id = "EV735"
    name = "name-not-snake-case"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    why = "whoever writes SQL by hand has to quote it for ever, and without the quotes another name is meant"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for name in new_names(step.operation):
            if not _PLAIN.fullmatch(name):
                yield self.finding(
                    step, f'"{name}" has to be quoted', fix="small letters, digits and underscores"
                )
