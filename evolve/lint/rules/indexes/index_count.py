"""EV823: one more index on a table that has many."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import made, name_of
from evolve.sql import operations as op
from evolve.sql.steps import Step

_MANY = 10


class IndexCount(Rule):
    id = "EV823"
    name = "index-count"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = "every insert writes to every index, and planning looks at each of them; past a dozen both are felt"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        there = sum(1 for _ in history.schema.indexes_of(index.table)) if index is not None else 0
        if index is not None and there >= _MANY:
            yield self.finding(
                step,
                f'index "{name_of(index)}" is number {there + 1} on "{index.table.plain}"',
                fix="drop those whose idx_scan in pg_stat_user_indexes stands still",
            )
