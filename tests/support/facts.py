"""Facts of made-up databases."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType

from evolve.lint.facts import Facts, IndexFacts, Kind, RelationFacts, Writes
from evolve.sql.names import QualifiedName

TAKEN = datetime(2026, 11, 20, 3, tzinfo=UTC)


def relation(
    name: str,
    *,
    rows: int | None = 1_000,
    heap: int = 80_000,
    index: int = 20_000,
    writes: int | None = 0,
    kind: Kind = "table",
    partition_of: str | None = None,
) -> RelationFacts:
    return RelationFacts(
        name=QualifiedName(name),
        kind=kind,
        partition_of=QualifiedName(partition_of) if partition_of else None,
        rows=rows,
        dead_rows=0,
        heap_bytes=heap,
        index_bytes=index,
        toast_bytes=0,
        writes=None if writes is None else Writes(writes, 0, 0, 0),
        sequential_scans=3,
        index_scans=4,
        last_vacuum=None,
        last_analyze=TAKEN,
        references=(QualifiedName("users"),),
        indexes=(IndexFacts(QualifiedName(f"{name}_pkey"), index, 4, valid=True),) if index else (),
    )


def facts(*relations: RelationFacts, since: datetime | None = None, taken: datetime = TAKEN) -> Facts:
    return Facts(
        taken=taken,
        server_version=15,
        standby=False,
        statistics_since=since,
        schemas=None,
        approximate=False,
        relations=MappingProxyType({each.name: each for each in relations}),
    )
