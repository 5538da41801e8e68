"""EV135: `CLUSTER`."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class Cluster(Rule):
    id = "EV135"
    name = "cluster"
    severity = Severity.ERROR
    looks_at = (op.Other,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    peers = ("squawk:prefer-repack",)
    why = (
        "the table and all its indexes are written anew under a lock that stops all reads and writes, and the order it "
        "gives the rows is lost again with the next writes"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other("CLUSTER", target):
                pass
            case _:
                return
        if target is None:
            if step.transaction is None:  # in a transaction it fails: EV623
                yield self.finding(step, "CLUSTER writes every table anew that was ever clustered")
        elif history.in_use(target):
            yield self.finding(
                step,
                f'CLUSTER writes "{target.plain}" anew under {self.lock}',
                table=target,
                fix="pg_repack does it beside the traffic; from PostgreSQL 19 on, REPACK (CONCURRENTLY)",
            )
