"""EV102: `CREATE INDEX` without CONCURRENTLY on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes import partitioned_index
from evolve.lint.rules.indexes.made import made, name_of
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class CreateIndexBlocking(Rule):
    id = "EV102"
    name = "create-index-blocking"
    severity = Severity.ERROR
    looks_at = (op.CreateIndex,)
    lock = LockMode.SHARE
    scan = True
    peers = (
        "squawk:require-concurrent-index-creation",
        "eugene:E6",
        "strong_migrations:add_index",
        "zdm:R001",
        "zdm:R003",
    )
    why = "writers wait until the whole index is built, and everything that queues behind them waits as well"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateIndex(index, concurrently=False, only=False) if history.in_use(index.table):
                pass
            case _:
                return
        if made(step, history) is None:
            return
        if index.table in history.schema.views:
            return  # nobody writes to a materialized view but its refresh
        table = history.schema.table(index.table)
        name = name_of(index)
        partitioned = table is not None and table.partition_by is not None
        further = " and to all its partitions" if partitioned else ""
        yield self.finding(
            step,
            f'building index "{name}" blocks every write to "{index.table.plain}"{further} until it is done',
            table=index.table,
            scan=not partitioned,  # the lock told of is the parent's, and the rows are in the partitions
            safe=partitioned_index.revisions(history.schema, index, name)
            if partitioned
            else (code.create_index_concurrently(index, name),),
        )
