"""What keeps a table from being converted: found before anything is touched, each with the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from evolve.errors import Refused
from evolve.partition.inventory import Inventory
from evolve.partition.naming import SYNC_TRIGGER
from evolve.plugin_api import Partitioner
from evolve.sql.names import quote

UniqueAnswer = Literal["widen", "per-partition"]
"""What becomes of a unique key that lacks the partition key: widened by it, or kept within each partition only."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    what: str
    fix: str


class CannotConvert(Refused):
    """All that stands in the way, at once; nothing was touched."""

    def __init__(self, table: str, obstacles: tuple[Obstacle, ...]) -> None:
        listed = "".join(f"\n  - {obstacle.what}\n    fix: {obstacle.fix}" for obstacle in obstacles)
        things = "one thing stands" if len(obstacles) == 1 else f"{len(obstacles)} things stand"
        super().__init__(f'"{table}" cannot be partitioned yet; {things} in the way:{listed}')
        self.obstacles = obstacles


def obstacles(
    inventory: Inventory, partitioner: Partitioner, unique: Mapping[str, UniqueAnswer], server: int
) -> tuple[Obstacle, ...]:
    """
    Args:
        unique: answers given for unique keys, by the name of the constraint or index.
        server: major version.
    """
    found = [
        *_of_the_table(inventory),
        *_of_the_key(inventory, partitioner.key),
        *_of_unique_keys(inventory, partitioner.key, unique),
        *_of_constraints(inventory),
        *_of_inbound_keys(inventory, partitioner.key, unique, server),
        *of_triggers(inventory),
        *_of_dependents(inventory),
        *of_publications(inventory, server),
    ]
    return tuple(found)


def before_parsing(inventory: Inventory) -> tuple[Obstacle, ...]:
    """What rules a table out whatever the method: it is none, or partitioned already."""
    return tuple(_of_the_table(inventory)) if inventory.kind != "r" else ()


def _of_the_table(inventory: Inventory) -> Iterator[Obstacle]:
    name = inventory.table.full
    if inventory.kind == "p":
        yield Obstacle("it is partitioned already", "evolve partition premake keeps its partitions up")
    elif inventory.kind != "r":
        yield Obstacle("it is not an ordinary table", "name the table itself")
    if inventory.partition:
        yield Obstacle("it is a partition of another table", "convert that one, or detach this one first")
    elif inventory.kind != "p" and (inventory.parents or inventory.children):
        others = ", ".join((*inventory.parents, *inventory.children))
        yield Obstacle(f"it has inheritance ties to {others}", f"ALTER TABLE … NO INHERIT … for {others}")
    if inventory.persistence == "u":
        yield Obstacle(
            "it is unlogged", f"ALTER TABLE {name} SET LOGGED (rewrites it under ACCESS EXCLUSIVE)"
        )
    elif inventory.persistence == "t":
        yield Obstacle("it is temporary", "partition it where it is created")
    if inventory.extension is not None:
        yield Obstacle(
            f"it belongs to the extension {inventory.extension}, which could not be dumped and restored with it",
            f"ALTER EXTENSION {inventory.extension} DROP TABLE {name}, if the extension can do without",
        )
    if inventory.typed:
        yield Obstacle("it was created OF a type", f"ALTER TABLE {name} NOT OF")
    if inventory.access_method != "heap":
        yield Obstacle(
            f"it is stored by the access method {inventory.access_method}",
            f"ALTER TABLE {name} SET ACCESS METHOD heap (rewrites it under ACCESS EXCLUSIVE)",
        )
    if inventory.replica_identity == "i":
        yield Obstacle(
            "its replica identity is an index, which its partitions cannot share",
            f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT",
        )


def _of_the_key(inventory: Inventory, key: tuple[str, ...]) -> Iterator[Obstacle]:
    name = inventory.table.full
    primary = inventory.primary_key
    if primary is None:
        yield Obstacle(
            "it has no primary key, so rows cannot be told apart while they are copied",
            f"CREATE UNIQUE INDEX CONCURRENTLY … ON {name} (…), then ALTER TABLE {name} ADD PRIMARY KEY USING INDEX …",
        )
    elif not primary.plain:
        yield Obstacle(
            f'its primary key "{primary.name}" is deferrable or includes further columns',
            "replace it by a plain one",
        )
    for column_name in key:
        column = inventory.column(column_name)
        if column is None:
            yield Obstacle(f'there is no column "{column_name}"', "name an existing column")
        elif column.generated is not None:
            yield Obstacle(
                f'"{column_name}" is a generated column, and PostgreSQL takes none as partition key',
                f"ALTER TABLE {name} ALTER COLUMN {column_name} DROP EXPRESSION, and let a trigger keep it",
            )
        elif not column.not_null:
            yield Obstacle(
                f'"{column_name}" may be null, and a primary key must hold it',
                f"evolve plan set-not-null {inventory.table.plain}.{column_name}",
            )


def _of_unique_keys(
    inventory: Inventory, key: tuple[str, ...], unique: Mapping[str, UniqueAnswer]
) -> Iterator[Obstacle]:
    known: dict[str, tuple[str, ...] | None] = {
        item.name: item.columns for item in inventory.keys if not item.primary
    }
    known |= {index.name: index.columns for index in inventory.indexes if index.unique}
    for name in unique:
        if name not in known:
            names = ", ".join(known) or "none"
            yield Obstacle(
                f'--unique names "{name}", which is no unique key of it', f"its unique keys: {names}"
            )
    for item in inventory.keys:
        if not item.primary and item.deferrable:
            yield Obstacle(f'the unique constraint "{item.name}" is deferrable', "replace it by a plain one")
        elif not item.primary and unique.get(item.name) == "widen" and not item.plain:
            yield Obstacle(
                f'"{item.name}" is no plain unique key over columns and cannot be widened',
                f"--unique {item.name}=per-partition",
            )
    for index in inventory.indexes:
        widened = index.unique and unique.get(index.name) == "widen"
        if widened and (index.columns is None or index.partial):
            yield Obstacle(
                f'"{index.name}" is no plain unique key over columns and cannot be widened',
                f"--unique {index.name}=per-partition",
            )
    for name, columns in known.items():
        if (columns is None or not set(key) <= set(columns)) and name not in unique:
            yield Obstacle(
                f'the unique key "{name}" does not hold {", ".join(key)}, so it can hold within one partition only',
                f"say what it becomes: --unique {name}=per-partition (unique within each partition), "
                f"or --unique {name}=widen (unique together with {', '.join(key)})",
            )


def of_constraints(inventory: Inventory) -> Iterator[Obstacle]:
    """Where partitions change places, foreign keys that point at them are in the way as well."""
    yield from _of_constraints(inventory)
    for foreign in inventory.inbound:
        yield Obstacle(
            f'the foreign key "{foreign.name}" of {foreign.source} points at it',
            "its target would lose its unique key, or must be moved by hand: "
            f"ALTER TABLE {foreign.source} DROP CONSTRAINT {foreign.name}, and let the application keep the rule",
        )


def _of_inbound_keys(
    inventory: Inventory, key: tuple[str, ...], unique: Mapping[str, UniqueAnswer], server: int
) -> Iterator[Obstacle]:
    """Foreign keys that cannot be pointed at the partitioned table: what they name is not unique there."""
    kept = _kept_unique(inventory, key, unique)
    for foreign in inventory.inbound:
        drop = f"ALTER TABLE {foreign.source} DROP CONSTRAINT {quote(foreign.name)}"
        what = f'the foreign key "{foreign.name}" of {foreign.source} points at it'
        if foreign.source == foreign.target:
            yield Obstacle(f"{what}: at itself", f"{drop}, and add it again after the conversion")
        elif foreign.partitioned:
            yield Obstacle(
                f"{what}, and comes from a partitioned table, which takes none that is not validated at once",
                f"{drop}, and add it again after the conversion, partition by partition",
            )
        elif frozenset(foreign.keys) not in kept:
            columns = ", ".join(foreign.keys)
            yield Obstacle(
                f"{what}, and ({columns}) is not kept unique across partitions by {', '.join(key)}",
                f"partition by {columns} (range or hash), which carries it; "
                f"or {drop}, and let the application keep the rule",
            )
        elif server < 15 and re.search(r" ON (DELETE|UPDATE) (CASCADE|SET )", foreign.definition):
            yield Obstacle(
                f"{what}, and PostgreSQL {server} takes a row that only moves to another partition for deleted: its ON "
                "DELETE would be carried out, its ON UPDATE would fail",
                f"upgrade to PostgreSQL 15; or make it one without ON DELETE and ON UPDATE; or {drop}",
            )


def _kept_unique(
    inventory: Inventory, key: tuple[str, ...], unique: Mapping[str, UniqueAnswer]
) -> frozenset[frozenset[str]]:
    """What is as unique in the partitioned table as it was: keys that hold the partition key."""
    found = [item.columns for item in inventory.keys if unique.get(item.name) != "per-partition"]
    found += [
        index.columns
        for index in inventory.indexes
        if index.unique and not index.partial and index.columns is not None
        if unique.get(index.name) != "per-partition"
    ]
    return frozenset(frozenset(columns) for columns in found if set(key) <= set(columns))


def _of_constraints(inventory: Inventory) -> Iterator[Obstacle]:
    name = inventory.table.full
    for exclusion in inventory.exclusions:
        yield Obstacle(
            f'the exclusion constraint "{exclusion}" cannot hold across partitions',
            f"ALTER TABLE {name} DROP CONSTRAINT {exclusion}, if the application can do without",
        )
    for check in inventory.checks:
        if not check.validated:
            yield Obstacle(
                f'the CHECK "{check.name}" is not valid: rows may break it, and copies of them would be refused',
                f"ALTER TABLE {name} VALIDATE CONSTRAINT {check.name}",
            )
        if not check.inherited:
            yield Obstacle(
                f'the CHECK "{check.name}" is NO INHERIT, which a partitioned table cannot have',
                "replace it by one without NO INHERIT",
            )
    for foreign in inventory.foreign_keys:
        if not foreign.validated:
            yield Obstacle(
                f'the foreign key "{foreign.name}" is not valid, and a partitioned table cannot have it so',
                f"ALTER TABLE {name} VALIDATE CONSTRAINT {foreign.name}",
            )
    for index in inventory.indexes:
        if not index.valid:
            yield Obstacle(f'the index "{index.name}" is invalid', f"DROP INDEX CONCURRENTLY {index.name}")


def of_triggers(inventory: Inventory) -> Iterator[Obstacle]:
    for trigger in inventory.triggers:
        if trigger.row and trigger.transition:
            yield Obstacle(
                f'the row trigger "{trigger.name}" reads a transition table, which partitioned tables do not offer',
                "make it a statement trigger",
            )
        if not trigger.before and trigger.row and trigger.name < SYNC_TRIGGER:
            yield Obstacle(
                f'the trigger "{trigger.name}" would fire before ours',
                f'ALTER TRIGGER "{trigger.name}" ON {inventory.table.full} RENAME TO …',
            )


def _of_dependents(inventory: Inventory) -> Iterator[Obstacle]:
    for view in inventory.views:
        if view.needs_key:
            yield Obstacle(
                f"the view {view.name} groups by the primary key, which becomes wider",
                "name all its columns in GROUP BY",
            )
    for statistics in inventory.statistics:
        yield Obstacle(
            f"the extended statistics {statistics} would be lost",
            f"DROP STATISTICS {statistics}, and create them again afterwards",
        )
    for other in inventory.others:
        yield Obstacle(
            f"{other} depends on it and would go on looking at the old table",
            "drop it, and create it again afterwards",
        )


def of_publications(inventory: Inventory, server: int) -> Iterator[Obstacle]:
    for publication in inventory.publications:
        if publication.scope != "table":
            held = "all tables" if publication.scope == "all" else f"all tables of schema {inventory.schema}"
            yield Obstacle(
                f"the publication {publication.name} holds {held}: subscribers would be sent the shadow table's rows",
                "publish the tables by name while the conversion runs",
            )
        elif not publication.via_root:
            yield Obstacle(
                f"the publication {publication.name} would send changes under the names of the partitions",
                f"ALTER PUBLICATION {publication.name} SET (publish_via_partition_root = true)",
            )
        elif server < 15 and publication.condition is not None:
            yield Obstacle(f"the publication {publication.name} has a row filter", "drop the filter")
