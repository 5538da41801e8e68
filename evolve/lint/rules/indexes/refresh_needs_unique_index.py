"""EV684: `REFRESH MATERIALIZED VIEW CONCURRENTLY` without a unique index over all rows."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.operations import IndexDefinition
from evolve.sql.steps import Step


class RefreshNeedsUniqueIndex(Rule):
    id = "EV684"
    name = "refresh-needs-unique-index"
    severity = Severity.ERROR
    looks_at = (op.RefreshMaterializedView,)
    fails = True
    why = "CONCURRENTLY compares old and new rows, and tells them apart by a unique index on columns, without a WHERE"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.RefreshMaterializedView(view=view, concurrently=True):
                known = history.schema.views.get(view)
            case _:
                return
        if known is None or not known.materialized:
            return
        whole = any(_tells_apart(index.definition) for index in history.schema.indexes_of(view))
        if not whole and certain(step, history):
            yield self.finding(
                step,
                f'"{view.plain}" has no unique index over all its rows, so it cannot be refreshed concurrently',
                fix="make one over the columns that identify a row",
            )


def _tells_apart(index: IndexDefinition) -> bool:
    return index.unique and index.where is None and all(index.columns)
