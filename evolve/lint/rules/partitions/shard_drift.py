"""EV512: a statement that may do different things on different shards, and hides that it did."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Mark, Recording, Remark, Step


class ShardDrift(Rule):
    id = "EV512"
    name = "shard-drift"
    severity = Severity.WARNING
    looks_at = (
        op.CreateTable,
        op.CreateIndex,
        op.AddColumn,
        op.DropTable,
        op.DropColumn,
        op.DropIndex,
        op.DropConstraint,
    )
    opt_in = True
    why = "where one shard differs from the others, the revision succeeds on each of them and leaves them different"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case (
                op.CreateTable(if_not_exists=True)
                | op.CreateIndex(if_not_exists=True)
                | op.AddColumn(if_not_exists=True)
            ):
                yield self.finding(step, "IF NOT EXISTS keeps whatever a shard has under that name")
            case (
                op.DropTable(if_exists=True)
                | op.DropColumn(if_exists=True)
                | op.DropIndex(if_exists=True)
                | op.DropConstraint(if_exists=True)
            ):
                yield self.finding(step, "IF EXISTS passes over a shard that lacks it")
            case _:
                return

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark in (Mark.READ_ROWS, Mark.READ_CATALOG):
            yield self.finding_at(
                remark.place,
                recording.revision,
                "what it does depends on what it reads, and each shard answers for itself",
            )
