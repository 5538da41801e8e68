"""EV721: a primary key of four bytes or fewer."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class IntegerKey(Rule):
    id = "EV721"
    name = "integer-key"
    severity = Severity.INFO
    looks_at = (op.CreateTable,)
    opt_in = True
    peers = (
        "squawk:prefer-bigint-over-int",
        "squawk:adding-serial-primary-key-field",
    )
    why = (
        "an integer key ends at 2,147,483,647, rolled back inserts included, and to widen it under traffic is a "
        "project of its own, for every table that refers to it as well"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTable(table=table, columns=columns, constraints=constraints, temporary=False):
                pass
            case _:
                return
        keys = {name for c in constraints if isinstance(c, op.PrimaryKey) for name in c.columns}
        for column in columns:
            inline = any(isinstance(c, op.PrimaryKey) for c in column.constraints)
            if column.type in ("integer", "smallint") and (inline or {column.name} == keys):
                yield self.finding(
                    step,
                    f'the primary key "{table.plain}.{column.name}" ({column.type}) runs out of numbers',
                    fix="bigint: sa.BigInteger()",
                )
