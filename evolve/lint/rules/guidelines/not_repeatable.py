"""EV740: a statement outside a transaction that fails when it is run again."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class NotRepeatable(Rule):
    id = "EV740"
    name = "not-repeatable"
    severity = Severity.INFO
    looks_at = (
        op.CreateTable,
        op.AddColumn,
        op.DropTable,
        op.DropColumn,
        op.DropConstraint,
        op.DropIndex,
        op.DropView,
        op.DropType,
    )
    opt_in = True
    peers = ("squawk:prefer-robust-stmts",)
    why = (
        "outside a transaction a revision that fails half way keeps its first half, and running it again fails on "
        "what is there; inside one there is nothing to repeat"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if step.transaction is not None:
            return
        match step.operation:
            case op.CreateTable(if_not_exists=False) | op.AddColumn(if_not_exists=False):
                word = "IF NOT EXISTS"
            case (
                op.DropTable(if_exists=False)
                | op.DropColumn(if_exists=False)
                | op.DropConstraint(if_exists=False)
            ):
                word = "IF EXISTS"
            case op.DropIndex(if_exists=False) | op.DropView(if_exists=False) | op.DropType(if_exists=False):
                word = "IF EXISTS"
            case _:
                return
        yield self.finding(step, f"run again after a failure it fails: it lacks {word}", fix=f"add {word}")
