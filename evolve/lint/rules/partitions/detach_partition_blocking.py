"""EV505: `DETACH PARTITION` without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DetachPartitionBlocking(Rule):
    id = "EV505"
    name = "detach-partition-blocking"
    severity = Severity.ERROR
    looks_at = (op.DetachPartition,)
    lock = LockMode.ACCESS_EXCLUSIVE
    peers = ("squawk:require-concurrent-partition-detach",)
    why = (
        "it waits for every query on the partitioned table, and all others queue behind it; CONCURRENTLY waits without "
        "blocking anybody"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DetachPartition(table, partition, concurrently=False, finalize=False) if history.in_use(
                table
            ):
                pass
            case _:
                return
        default = history.schema.default_partition(table)
        yield self.finding(
            step,
            f'detaching "{partition.plain}" locks all of "{table.plain}"'
            + (f' and "{default.name.plain}"' if default is not None else ""),
            table=table,
            safe=(
                code.autocommit(
                    code.execute(f"ALTER TABLE {table} DETACH PARTITION {partition} CONCURRENTLY")
                ),
            )
            if default is None
            else (),
            # PostgreSQL: "cannot detach partitions concurrently when a default partition exists".
            fix=f'CONCURRENTLY is refused while there is a DEFAULT partition, "{default.name.plain}": set a short '
            "lock_timeout and try again, as evolve upgrade does"
            if default is not None
            else None,
        )
