"""EV136: `VACUUM FULL`."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class VacuumFull(Rule):
    id = "EV136"
    name = "vacuum-full"
    severity = Severity.ERROR
    looks_at = (op.Other,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    peers = ("squawk:prefer-repack",)
    why = (
        "the table and all its indexes are written anew under a lock that stops all reads and writes, and for that "
        "time both copies are on the disk; plain VACUUM makes the room usable again beside the traffic"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other("VACUUM FULL", target) if (
                step.transaction is None
            ):  # in a transaction it fails: EV623
                pass
            case _:
                return
        if target is None:
            yield self.finding(
                step, "VACUUM FULL writes every table of the database anew, one after the other"
            )
        elif history.in_use(target):
            yield self.finding(
                step,
                f'VACUUM FULL writes "{target.plain}" anew under {self.lock}',
                table=target,
                safe=(code.autocommit(code.execute(f"VACUUM (ANALYZE) {target}")),),
                fix="to give room back to the disk: pg_repack; from PostgreSQL 19 on, REPACK (CONCURRENTLY)",
            )
