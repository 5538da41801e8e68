"""EV821: an index that keeps a column twice."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import made, name_of
from evolve.sql import operations as op
from evolve.sql.steps import Step


class IndexDuplicateColumn(Rule):
    id = "EV821"
    name = "index-duplicate-column"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = "the second copy answers no query, and is written and kept all the same"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None:
            return
        kept = [column for column in (*index.columns, *index.include) if column is not None]
        # Two operator classes over one column are two different keys.
        classes = {(key.column, key.opclass) for key in index.keys if key.column}
        distinct = len(classes) + len(set(index.include) - {column for column, _ in classes})
        if distinct < len(kept):
            twice = next(column for column in kept if kept.count(column) > 1)
            yield self.finding(
                step,
                f'index "{name_of(index)}" keeps "{twice}" of "{index.table.plain}" twice',
                fix="name it once",
            )
