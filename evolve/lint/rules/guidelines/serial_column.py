"""EV723: a `serial` column."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.guidelines.new_columns import LOOKS_AT, new_columns
from evolve.sql.steps import Step


class SerialColumn(Rule):
    id = "EV723"
    name = "serial-column"
    severity = Severity.INFO
    looks_at = LOOKS_AT
    opt_in = True
    peers = ("squawk:prefer-identity",)
    why = (
        "a serial is a sequence that belongs to the column in part only: its privileges are apart, its default can "
        "be dropped, and LIKE copies a default that draws from the old table's sequence"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, column in new_columns(step.operation):
            if column.serial:
                yield self.finding(
                    step,
                    f'"{table.plain}.{column.name}" is a serial',
                    fix='an identity column: sa.Column("id", sa.BigInteger(), sa.Identity(), …)',
                )
