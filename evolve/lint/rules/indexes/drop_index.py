"""EV820: an index goes that queries may be planned with."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.covers import covers
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DropIndex(Rule):
    id = "EV820"
    name = "drop-index"
    severity = Severity.INFO
    peers = ("squawk:ban-drop-index",)
    opt_in = True
    looks_at = (op.DropIndex,)
    why = (
        "a query that is planned with it reads the whole table from now on, and building it again takes long"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropIndex(name):
                index = history.schema.indexes.get(name)
            case _:
                return
        if index is None or index.constraint is not None or not history.in_use(index.definition.table):
            return
        others = (
            i for i in history.schema.indexes_of(index.definition.table) if i.name != index.name and i.valid
        )
        if not any(covers(other.definition, index.definition) for other in others):
            yield self.finding(
                step,
                f'queries of "{index.definition.table.plain}" may be planned with index "{name.plain}"',
                fix="look at idx_scan and last_idx_scan in pg_stat_user_indexes first, on the replicas as well",
            )
