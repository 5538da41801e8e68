"""EV175: revisions that run one after the other stop the same table again and again."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

MANY = 3  # transactions


class HotTableMultiTouch(Rule):
    id = "EV175"
    name = "hot-table-multi-touch"
    severity = Severity.WARNING
    opt_in = True
    why = "each waits for the table's longest query with everybody else behind it: one rollout, several standstills"

    def finish(self, history: History) -> Iterator[Finding]:
        touched: dict[QualifiedName, dict[object, Step]] = {}
        for step in history.steps:
            table = getattr(step.operation, "table", None)
            if not isinstance(table, QualifiedName) or not history.in_use(table):
                continue
            found = effect(step.operation, history.schema, history.postgres_version)
            if found.locks.get(table) is LockMode.ACCESS_EXCLUSIVE:
                # Without a transaction each statement stands for itself.
                key = step.statement if step.transaction is None else step.transaction
                touched.setdefault(table, {}).setdefault(key, step)
        for table, steps in touched.items():
            if len(steps) >= MANY:
                yield self.finding(
                    list(steps.values())[-1],
                    f'"{table.plain}" is locked by {len(steps)} transactions of this rollout',
                    fix="put what takes no time into one transaction, or roll out in steps",
                )
