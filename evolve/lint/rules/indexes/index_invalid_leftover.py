"""EV629: a concurrent build that cannot be run again after it failed."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.leftover import cleared, without_leftover
from evolve.sql import operations as op
from evolve.sql.steps import Step


class IndexInvalidLeftover(Rule):
    id = "EV629"
    name = "index-invalid-leftover"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = (
        "a build that fails leaves an invalid index behind, and the next attempt fails on its name until somebody "
        "drops it by hand; meanwhile every write keeps it up"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            # With IF NOT EXISTS it is worse: EV628.
            case op.CreateIndex(index, concurrently=True, if_not_exists=False) if step.transaction is None:
                pass
            case _:
                return
        if history.in_use(index.table) and index.name is not None and not cleared(index, history):
            yield self.finding(
                step,
                f'the revision cannot be run again where an invalid "{index.name}" is left from a failed attempt',
                safe=(without_leftover(index, index.name),),
            )
