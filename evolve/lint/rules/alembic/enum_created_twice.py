"""EV665: an enum type is created that is there already."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class EnumCreatedTwice(Rule):
    id = "EV665"
    name = "enum-created-twice"
    severity = Severity.ERROR
    looks_at = (op.CreateEnum,)
    fails = True
    why = "op.create_table() creates the enum types of its columns, also those that an earlier revision has made"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateEnum(name) if name in history.schema.enums and len(history.clauses) <= 1:
                yield self.finding(
                    step,
                    f'type "{name.plain}" exists already',
                    fix=f'use postgresql.ENUM(…, name="{name.name}", create_type=False) for the column',
                )
            case _:
                return
