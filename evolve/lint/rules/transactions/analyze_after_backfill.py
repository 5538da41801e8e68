"""EV850: a table is filled or changed as a whole, and not analyzed."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class AnalyzeAfterBackfill(Rule):
    id = "EV850"
    name = "analyze-after-backfill"
    severity = Severity.INFO
    opt_in = True
    why = "until autovacuum has been there the planner knows the old rows: a new column looks as if it were all null"

    def finish(self, history: History) -> Iterator[Finding]:
        changed: dict[QualifiedName, Step] = {}
        for step in history.steps:
            match step.operation:
                case op.Update(table=table, where=False) | op.Insert(table=table, from_query=True):
                    changed.setdefault(table, step)
                case op.Other("ANALYZE", None):
                    changed.clear()
                case op.Other("ANALYZE", table) if table is not None:
                    changed.pop(table, None)
                case _:
                    pass
        for table, step in changed.items():
            yield self.finding(
                step,
                f'"{table.plain}" is changed as a whole, and no ANALYZE follows',
                fix="ANALYZE in a revision of its own",
            )
