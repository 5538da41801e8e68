"""Partitions that are cut once more, by a second method, each from its first day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from evolve.errors import Misuse, Refused
from evolve.plugin_api import DefaultBound, Partition, Partitioner, Profile
from evolve.sql.names import QualifiedName, quote

_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)  # sets of values and remainders do not depend on it


class BadSub(Misuse):
    def __init__(self, table: QualifiedName, what: str) -> None:
        super().__init__(
            f'how the partitions of "{table.plain}" are cut once more cannot be used: {what}',
            fix=f'[tool.evolve.partition."{table.plain}".sub] with method = "hash", key and modulus, or '
            'method = "list", key and values',
        )


class SubKeyMissing(Refused):
    """A unique key of a partitioned table holds what its partitions are cut by, on both levels."""

    def __init__(self, table: QualifiedName, unique: str, missing: Iterable[str]) -> None:
        super().__init__(
            f'the partitions of "{table.plain}" cannot be cut by {", ".join(missing)}: "{unique}" does not hold it',
            why="PostgreSQL keeps a key unique across partitions only if it holds what they are cut by",
            fix="cut them by a column that every unique key holds, or leave [tool.evolve.partition.….sub] out",
        )


def check(sub: Partitioner, table: QualifiedName, uniques: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """
    Args:
        uniques: names and columns of the keys that are unique across partitions.

    Raises:
        BadSub, SubKeyMissing.
    """
    if sub.method == "range":
        raise BadSub(table, "ranges would need upkeep of their own within each partition")
    for name, columns in uniques:
        missing = [column for column in sub.key if column not in columns]
        if missing:
            raise SubKeyMissing(table, name, missing)


def below(sub: Partitioner | None, partition: Partition) -> tuple[Partition, ...]:
    """What `partition` is cut into; nothing where it holds rows itself, as each default partition does."""
    if sub is None or isinstance(partition.bound, DefaultBound):
        return ()
    return sub.initial(partition.name, Profile(), _ANY_DAY)


def method_and_key(partitioner: Partitioner) -> str:
    """What follows PARTITION BY."""
    method, key = partitioner.partition_by
    return f"{method} ({', '.join(quote(name) for name in key)})"
