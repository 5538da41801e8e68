"""EV178: a statement that needs gigabytes of disk beside what is there."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.predicted import predicted
from evolve.lint.rule import Rule
from evolve.lint.thresholds import MB
from evolve.sql import operations as op
from evolve.sql.steps import Step

MANY = 5_000 * MB  # bytes


class DiskHeadroom(Rule):
    id = "EV178"
    name = "disk-headroom"
    severity = Severity.WARNING
    opt_in = True
    why = "the old file is kept until the new one is committed; where the disk is full, the server stops for all"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if history.facts is None:
            return
        needed = 0
        for table in sorted(predicted(step, history).rewrites):
            size = history.facts.size(table)
            needed += size.bytes if size is not None and not isinstance(step.operation, op.Truncate) else 0
        match step.operation:
            case op.CreateIndex(table=table):
                size = history.facts.size(table)
                # The index, and the sorted runs that it is made from.
                needed += 2 * size.heap_bytes // 5 if size is not None else 0
            case op.Update(table=table, where=False):
                size = history.facts.size(table)
                needed += size.bytes if size is not None else 0
            case _:
                pass
        if needed >= MANY:
            yield self.finding(
                step,
                f"about {needed / MB / 1000:,.0f} GB of disk are needed, and as much again for WAL at worst",
                fix="look at the free space first; change rows in small transactions with vacuum in between",
            )
