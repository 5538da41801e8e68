"""EV702: a new enum type."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class CreateEnum(Rule):
    id = "EV702"
    name = "create-enum"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateEnum,)
    peers = ("eugene:W13",)
    why = (
        "no value can be taken out of an enum, values cannot be put in another order, and a release that does not know "
        "a value cannot read it; text with a CHECK, or a table to look it up in, can be changed step by step"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        del history
        match step.operation:
            case op.CreateEnum(type=name):
                yield self.finding(step, f'"{name.plain}" is an enum, of which no value can ever be removed')
            case _:
                return
