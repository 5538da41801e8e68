"""EV852: a new index on a table whose updates touch no index so far."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

SHARE = 0.5  # of the updates


class HotUpdateLoss(Rule):
    id = "EV852"
    name = "hot-update-loss"
    severity = Severity.WARNING
    looks_at = (op.CreateIndex,)
    opt_in = True
    why = (
        "an update that changes no indexed column stays on its page and touches no index (HOT); from here on each "
        "update of this column writes to every index of the table"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateIndex(index=op.IndexDefinition(table=table) as index) if history.in_use(table):
                pass
            case _:
                return
        # What an index reads counts, its WHERE and INCLUDE too; a BRIN index does not.
        known = {c for other in history.schema.indexes_of(table) for c in other.definition.columns}
        added = [c for c in (*index.columns, *index.include) if c is not None and c not in known]
        share = _hot_share(table, history)
        if added and index.method != "brin" and share is not None and share >= SHARE:
            yield self.finding(
                step,
                f'{share:.0%} of the updates of "{table.plain}" touch no index now; those of {", ".join(added)} will',
                fix="leave out columns that are updated often, or give the table a fillfactor and measure",
            )


def _hot_share(table: QualifiedName, history: History) -> float | None:
    """The share of the updates that touched no index, where there are enough of them to matter."""
    if history.facts is None or history.facts.statistics_since is None:
        return None
    writes = [relation.writes for relation in history.facts.tree(table) if relation.writes is not None]
    updates = sum(each.updates for each in writes)
    seconds = (history.facts.taken - history.facts.statistics_since).total_seconds()
    if seconds <= 0 or updates / seconds < history.thresholds.hot_writes:
        return None
    return sum(each.hot_updates for each in writes) / updates
