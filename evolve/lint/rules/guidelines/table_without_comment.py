"""EV739: a new table that no comment explains."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op


class TableWithoutComment(Rule):
    id = "EV739"
    name = "table-without-comment"
    severity = Severity.INFO
    opt_in = True
    why = "who meets the table in a year, or reads it from elsewhere, has nothing but its name"

    def finish(self, history: History) -> Iterator[Finding]:
        commented = {
            step.operation.target
            for step in history.steps
            if isinstance(step.operation, op.Other) and step.operation.kind == "COMMENT"
        }
        for step in history.steps:
            match step.operation:
                case op.CreateTable(table=table, temporary=False, partition_of=None) if (
                    table not in commented
                ):
                    yield self.finding(
                        step, f'"{table.plain}" has no comment', fix='op.create_table(…, comment="…")'
                    )
                case _:
                    pass
