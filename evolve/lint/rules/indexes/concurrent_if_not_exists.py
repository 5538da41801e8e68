"""EV628: `CREATE INDEX CONCURRENTLY IF NOT EXISTS`."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.leftover import cleared, without_leftover
from evolve.sql import operations as op
from evolve.sql.steps import Step


class ConcurrentIfNotExists(Rule):
    id = "EV628"
    name = "concurrent-if-not-exists"
    severity = Severity.WARNING
    looks_at = (op.CreateIndex,)
    why = (
        "a build that fails leaves an invalid index behind, which no query uses and every write keeps up; at the next "
        "attempt IF NOT EXISTS takes it for the finished one and says nothing"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateIndex(index, concurrently=True, if_not_exists=True) if step.transaction is None:
                pass
            case _:
                return
        if history.in_use(index.table) and index.name is not None and not cleared(index, history):
            yield self.finding(
                step,
                f'IF NOT EXISTS keeps an invalid "{index.name}" that an earlier attempt left behind',
                safe=(without_leftover(index, index.name),),
            )
