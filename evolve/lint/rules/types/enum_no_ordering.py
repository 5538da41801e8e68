"""EV703: a value is added to an enum without a place in its order."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class EnumNoOrdering(Rule):
    id = "EV703"
    name = "enum-no-ordering"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.AddEnumValue,)
    peers = ("squawk:require-enum-value-ordering",)
    why = "ORDER BY, < and > go by the order of the values, which cannot be changed later; say BEFORE or AFTER which"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        del history
        match step.operation:
            case op.AddEnumValue(type=name, value=value, before=None, after=None):
                yield self.finding(step, f'"{value}" is put behind all other values of "{name.plain}"')
            case _:
                return
