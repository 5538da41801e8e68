"""EV513: a revision that cannot be run again on a shard where it failed halfway."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class ShardOrder(Rule):
    id = "EV513"
    name = "shard-order"
    severity = Severity.WARNING
    opt_in = True
    why = (
        "what ran without a transaction stays when a later statement fails; run again, the revision fails at its first "
        "statement, on that shard alone"
    )

    def finish(self, history: History) -> Iterator[Finding]:
        lasting: dict[str, Step] = {}
        told: set[str] = set()
        for step in history.steps:
            earlier = lasting.get(step.revision)
            if earlier is not None and step.statement is not earlier.statement and step.revision not in told:
                told.add(step.revision)
                yield self.finding(
                    earlier,
                    "this stays where a later statement of the revision fails, and the revision cannot be run again",
                    fix="one statement to a revision where there is no transaction",
                )
            if step.transaction is None and not isinstance(step.operation, op.SetParameter | op.Query):
                lasting.setdefault(step.revision, step)
