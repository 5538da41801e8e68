"""EV102: `CREATE INDEX` without CONCURRENTLY on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
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
            case op.CreateIndex(index, concurrently=False, only=False) as create if history.in_use(
                index.table
            ):
                pass
            case _:
                return
        if create.if_not_exists and index.name and _known(history, index):
            return
        if index.table in history.schema.views:
            return  # nobody writes to a materialized view but its refresh
        table = history.schema.table(index.table)
        name = index.name or shorten(index.table.name, *(c or "expr" for c in index.columns), "idx")
        partitioned = table is not None and table.partition_by is not None
        partitions = (
            tuple(part.name for part in history.schema.partitions_of(index.table)) if partitioned else ()
        )
        yield self.finding(
            step,
            f'building index "{name}" blocks every write to "{index.table.plain}" until it is done',
            table=index.table,
            safe=_safe_partitioned(index, name, partitions)
            if partitioned
            else (code.create_index_concurrently(index, name),),
        )


def _known(history: History, index: op.IndexDefinition) -> bool:
    return QualifiedName(index.name or "", index.table.schema) in history.schema.indexes


def _safe_partitioned(
    index: op.IndexDefinition, name: str, partitions: tuple[QualifiedName, ...]
) -> tuple[str, ...]:
    """An index on the parent only, then one on each partition concurrently, then attach: CONCURRENTLY cannot
    span them.
    """
    parent = code.create_index_only(index, name)
    children = [(part, shorten(part.name, name)) for part in partitions]
    builds = [code.create_index_concurrently(code.moved_to(index, part), child) for part, child in children]
    attach = [
        code.execute(
            f"ALTER INDEX {_qualified(index, name)} ATTACH PARTITION {QualifiedName(child, part.schema)}"
        )
        for part, child in children
    ]
    return tuple("\n".join(block) for block in ([parent], builds, attach) if block)


def _qualified(index: op.IndexDefinition, name: str) -> str:
    return quote(name) if index.table.schema == "public" else f"{quote(index.table.schema)}.{quote(name)}"
