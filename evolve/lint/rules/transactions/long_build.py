"""EV179: an index that takes long to build, even though nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.thresholds import MB
from evolve.sql import operations as op
from evolve.sql.steps import Step

LONG = 600  # seconds


class LongBuild(Rule):
    id = "EV179"
    name = "long-build"
    severity = Severity.WARNING
    looks_at = (op.CreateIndex,)
    why = (
        "it blocks nobody, but vacuum cleans up nothing in the whole database while it runs, a rollout waits, and "
        "a connection that breaks leaves an invalid index"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateIndex(table=table, concurrently=True) if history.facts is not None:
                size = history.facts.size(table)
            case _:
                return
        # Concurrently the table is read twice.
        seconds = 0.0 if size is None else 2 * size.heap_bytes / MB / history.thresholds.index_mb_s
        if seconds >= LONG:
            yield self.finding(
                step,
                f'the index takes about {seconds / 60:,.0f} minutes: "{table.plain}" is large',
                fix="build it apart from the rollout, with a larger maintenance_work_mem, on a connection that lasts",
            )
