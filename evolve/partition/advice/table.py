"""All advice on one table: its partition key, its shard key, its indexes."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.lint.facts import Facts, Size
from evolve.partition.advice.indexes import LONG_ENOUGH, Hint, index_hints
from evolve.partition.advice.keys import PARTS, Key, Verdict, partition_key, shard_key
from evolve.partition.advice.usage import uses
from evolve.partition.advice.workload import Table, Workload
from evolve.sql.names import QualifiedName

LEAST_BYTES = 10 * 10**9  # of a table with its indexes; below it partitions cost more than they give
SHARDS_FROM = 10  # times as much, before one server does not suffice
_WIDTHS = (
    (2, "hour"),
    (90, "day"),
    (730, "1 week"),
    (3_650, "1 month"),
)  # days that rows span, and an interval


@dataclass(frozen=True, slots=True)
class TableAdvice:
    """
    Args:
        command: that carries the advice on partitions out; None where there is none.
        statements: how many of those that were counted use the table.
    """

    table: QualifiedName
    partitioned_by: str | None
    size: Size | None
    statements: int
    partition: Verdict
    shard: Verdict
    indexes: tuple[Hint, ...]
    command: str | None
    notes: tuple[str, ...]


def advise_table(
    facts: Facts, workload: Workload, table: Table, least_bytes: int = LEAST_BYTES
) -> TableAdvice:
    """
    Args:
        least_bytes: a table with its indexes must have before partitions are worth their price.
    """
    found = uses(workload, table.name)
    partition = partition_key(facts, workload, table, found, least_bytes)
    notes = []
    if facts.statistics_since is None or facts.taken - facts.statistics_since < LONG_ENOUGH:
        notes.append("scans are counted for less than 7 days, so no index is called unused")
    if all(column.distinct is None for column in table.columns):
        notes.append(f"no statistics of its columns: ANALYZE {table.name}")
    return TableAdvice(
        table.name,
        table.partitioned_by,
        facts.size(table.name),
        len(found),
        partition,
        shard_key(facts, workload, table, found, least_bytes * SHARDS_FROM),
        index_hints(facts, table, found),
        _command(table, partition.best)
        if partition.best is not None and table.partitioned_by is None
        else None,
        tuple(notes),
    )


def _command(table: Table, key: Key) -> str:
    start = f"evolve partition convert {table.name.shell} --method {key.method} --key {key.column}"
    column = table.column(key.column)
    match key.method:
        case "hash":
            return f"{start} --set modulus={PARTS}"
        case "range" if column is not None and column.span_days is not None:
            span = column.span_days
            width = next((interval for days, interval in _WIDTHS if span <= days), "1 year")
            return f'{start} --interval "{width}"'
        case "range" if column is not None and column.type == "uuid":
            return f'{start} --set codec=uuidv7 --interval "1 month"'
        case "range":
            return f"{start} --interval KEYS"
        case _:
            return f'{start} --set "values=NAME=VALUE,VALUE; NAME=VALUE"'
