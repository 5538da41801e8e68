"""EV675: DETACH PARTITION CONCURRENTLY beside a DEFAULT partition."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DetachConcurrentlyDefault(Rule):
    id = "EV675"
    name = "detach-concurrently-default"
    severity = Severity.ERROR
    looks_at = (op.DetachPartition,)
    fails = True
    why = "PostgreSQL cannot detach a partition concurrently from a table that has a DEFAULT partition, and refuses"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DetachPartition(table, partition, concurrently=True):
                default = history.schema.default_partition(table)
            case _:
                return
        if default is not None and certain(step, history):
            yield self.finding(
                step,
                f'"{partition.plain}" cannot be detached concurrently while "{table.plain}" has the DEFAULT '
                f'partition "{default.name.plain}"',
                fix="detach it without CONCURRENTLY, with a short lock_timeout and retries, as evolve upgrade does",
            )
