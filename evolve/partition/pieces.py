"""Partitions that give way and partitions that take their place: names, conditions, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from evolve.partition.inventory import Index, Inventory, Key
from evolve.partition.naming import Names
from evolve.partition.obstacles import Obstacle, of_constraints, of_publications, of_triggers
from evolve.partition.shell import Shell, as_index, leaf_index
from evolve.plugin_api import DefaultBound, ListBound, Partition, Partitioner, RangeBound, check_sql
from evolve.sql.names import QualifiedName, literal, quote, shorten


@dataclass(frozen=True, slots=True)
class Source:
    """A partition that gives way.

    Args:
        condition: what the server has as its bound, as SQL.
    """

    partition: Partition
    inventory: Inventory
    condition: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A partition that takes over.

    Args:
        name: in the end.
        born: until the swap; another one where a source has the name.
        checks: conditions that spare ATTACH PARTITION its scan, as SQL.
    """

    partition: Partition
    born: str
    checks: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.partition.name


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a move is made of.

    Args:
        parent: the partitioned table as it was.
        siblings: its other partitions, which stay.
    """

    parent: Inventory
    partitioner: Partitioner
    sources: tuple[Source, ...]
    siblings: tuple[Partition, ...]
    wanted: tuple[Partition, ...]

    @property
    def names(self) -> Names:
        return Names(self.parent.table, self.parent.oid)

    @property
    def bystander(self) -> Partition | None:
        """A default partition that stays: attaching any other reads it, unless a CHECK says that it need not."""
        return next((p for p in self.siblings if isinstance(p.bound, DefaultBound)), None)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """In the order in which they are attached: the default partition last."""
        taken = {source.partition.name: source.inventory.oid for source in self.sources}
        ordered = sorted(self.wanted, key=lambda partition: isinstance(partition.bound, DefaultBound))
        return tuple(
            Piece(
                partition,
                shorten(partition.name, f"evolve_{taken[partition.name]}")
                if partition.name in taken
                else partition.name,
                self._checks(partition, self.default_condition()),
            )
            for partition in ordered
        )

    def source_checks(self, source: Source) -> tuple[str, ...]:
        return self._checks(source.partition, source.condition)

    def aside(self, source: Source) -> str:
        """What a source is called once it has given way."""
        if any(piece.born != piece.name and piece.name == source.partition.name for piece in self.pieces):
            return shorten(source.partition.name, "evolve_old")
        return source.partition.name

    def qualified(self, name: str) -> QualifiedName:
        return QualifiedName(name, self.parent.schema)

    def bystander_condition(self) -> str | None:
        """That the default partition which stays holds no row of the sources; None where there is none."""
        if self.bystander is None:
            return None
        if self.partitioner.method == "list":  # only the very condition that is asked for is believed
            bounds = [*self.wanted, *(source.partition for source in self.sources)]
        else:
            bounds = list(self.wanted) if len(self.wanted) == 1 else [s.partition for s in self.sources]
        return " AND ".join(f"NOT ({check})" for partition in bounds if (check := self._check(partition)))

    def default_condition(self) -> str:
        """What holds for a new default partition, worded as the server words it, or it would not be believed."""
        column = self.partitioner.key[0]
        others = [p for p in (*self.siblings, *self.wanted) if not isinstance(p.bound, DefaultBound)]
        if any(isinstance(partition.bound, ListBound) for partition in others):
            values = tuple(v for p in others if isinstance(p.bound, ListBound) for v in p.bound.values)
            return f"NOT ({check_sql(ListBound(values), self.partitioner.key, self.parent.table)})"
        terms = [check_sql(p.bound, self.partitioner.key, self.parent.table) for p in others]
        start = f"{check_sql(RangeBound(None, None), (column,), self.parent.table)}"
        arms = [f"({term.removeprefix(f'{start} AND ')})" for term in terms if term and term != start]
        return f"NOT ({start} AND ({' OR '.join(arms)}))" if arms else "true"

    def shell(self) -> Shell:
        """A new partition has what the table passes on, and beyond that what the sources have."""
        first = self.sources[0].inventory
        own = _own_indexes(self)
        made = replace(
            self.parent,
            options=first.options,
            tablespace=first.tablespace,
            replica_identity=first.replica_identity,
            owner=first.owner,
            grants=first.grants,
            columns=tuple(
                replace(column, statistics=found.statistics, options=found.options)
                if (found := first.column(column.name)) is not None
                else column
                for column in self.parent.columns
            ),
            indexes=(*self.parent.indexes, *own),
        )
        return Shell(
            self.names,
            made,
            self.partitioner,
            {index.name: "per-partition" for index in own if index.unique},
        )

    def _checks(self, partition: Partition, default: str) -> tuple[str, ...]:
        check = default if isinstance(partition.bound, DefaultBound) else self._check(partition)
        if check is None:
            return ()
        if self.partitioner.method != "hash":
            return (check,)
        # The condition of a hash names the table that is partitioned, and there are two: this one and its shadow.
        beside = check_sql(partition.bound, self.partitioner.key, self.names.shadow)
        return (check,) if beside is None else (check, beside)

    def _check(self, partition: Partition) -> str | None:
        check = check_sql(partition.bound, self.partitioner.key, self.parent.table)
        # By its number: a CHECK that names the table would depend on it.
        named = f"{literal(self.parent.table.full)}::regclass::oid"
        return None if check is None else check.replace(named, f"{self.parent.oid}::oid")


def in_the_way(exchange: Exchange, server: int) -> tuple[Obstacle, ...]:
    """Everything at once; nothing was touched.

    Args:
        server: major version.
    """
    parent = exchange.parent
    return (
        *_of_parent(exchange),
        *of_constraints(parent),
        *of_triggers(parent),
        *of_publications(parent, server),
        *(item for source in exchange.sources for item in _of_source(exchange, source)),
    )


def taken(exchange: Exchange) -> tuple[str, ...]:
    """Names of relations that the move will make in the table's schema."""
    names = [exchange.names.shadow.name, *(piece.born for piece in exchange.pieces)]
    names += [aside for s in exchange.sources if (aside := exchange.aside(s)) != s.partition.name]
    indexes = exchange.shell().late_indexes
    names += [leaf_index(piece.born, index.name) for piece in exchange.pieces for index in indexes]
    return tuple(names)


def _own_indexes(exchange: Exchange) -> tuple[Index, ...]:
    """Those that a source has and the table has not, under the name that the table's own would have."""
    passed_on = _passed_on(exchange.parent)
    found: dict[tuple[bool, str], Index] = {}
    for source in exchange.sources:
        for index in source.inventory.indexes:
            if (index.unique, index.definition) not in passed_on:
                name = index.name.removeprefix(f"{source.partition.name}_")
                found.setdefault((index.unique, index.definition), replace(index, name=name))
        for key in _own_keys(exchange, source):
            name = key.name.removeprefix(f"{source.partition.name}_")
            index = Index(name, True, True, key.columns, as_index(key), False, None)
            found.setdefault((True, index.definition), index)
    return tuple(found.values())


def _own_keys(exchange: Exchange, source: Source) -> tuple[Key, ...]:
    passed_on = {key.definition for key in exchange.parent.keys}
    return tuple(key for key in source.inventory.keys if not key.primary and key.definition not in passed_on)


def _of_parent(exchange: Exchange) -> Iterator[Obstacle]:
    parent = exchange.parent
    primary = parent.primary_key
    if parent.partition:
        yield Obstacle(
            "it is a partition of another table", "name a table whose parent is no partition itself"
        )
    if primary is None:
        yield Obstacle(
            "it has no primary key, so rows cannot be told apart while they are copied",
            f"ALTER TABLE {parent.table.full} ADD PRIMARY KEY over a unique key that holds "
            f"{', '.join(exchange.partitioner.key)}",
        )
    elif not primary.plain:
        yield Obstacle(
            f'its primary key "{primary.name}" is deferrable or includes further columns',
            "replace it by a plain one",
        )
    if exchange.partitioner.method == "hash" and any(
        column.type in _SORTED_BY_COLLATION or column.type.startswith("character")
        for column in parent.columns
        if column.name in exchange.partitioner.key
    ):
        yield Obstacle(
            "its hash is over a text, for which the server believes no CHECK: it would read every row under "
            "ACCESS EXCLUSIVE",
            "leave its partitions as they are, or convert a copy of the table that is hashed by another column",
        )


def _of_source(exchange: Exchange, source: Source) -> Iterator[Obstacle]:
    parent, found, name = exchange.parent, source.inventory, source.inventory.table.full
    if found.kind != "r":
        kind = "partitioned itself" if found.kind == "p" else "a foreign table"
        yield Obstacle(f"{source.partition.name} is {kind}", "leave it, and move the rows of others")
        return
    if found.persistence != "p":
        yield Obstacle(f"{source.partition.name} is unlogged", f"ALTER TABLE {name} SET LOGGED (rewrites it)")
    if found.access_method != "heap":
        yield Obstacle(
            f"{source.partition.name} is stored by the access method {found.access_method}",
            f"ALTER TABLE {name} SET ACCESS METHOD heap (rewrites it under ACCESS EXCLUSIVE)",
        )
    if found.replica_identity == "i":
        yield Obstacle(
            f"the replica identity of {source.partition.name} is an index",
            f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT",
        )
    columns = found.primary_key.columns if found.primary_key is not None else ()
    if parent.primary_key is not None and columns != parent.primary_key.columns:
        yield Obstacle(
            f"the primary key of {source.partition.name} is ({', '.join(columns)}) and not that of the table",
            "give it the same, with CREATE UNIQUE INDEX CONCURRENTLY and ADD PRIMARY KEY USING INDEX",
        )
    passed_on = {*(check.name for check in parent.checks), *(trigger.name for trigger in parent.triggers)}
    own = [
        *(f"the CHECK {item.name}" for item in found.checks if item.name not in passed_on),
        *(f"the trigger {item.name}" for item in found.triggers if item.name not in passed_on),
        *(f"the foreign key {item.name}" for item in found.foreign_keys),
        *(f"the policy {item.name}" for item in found.policies),
        *(["row level security"] if found.row_security else []),
        *(f"the view {item.name}" for item in found.views),
        *(f"the statistics {item}" for item in found.statistics),
        *(f"the foreign key {item.name} of {item.source}" for item in found.inbound),
        *found.others,
    ]
    for publication in found.publications:
        yield Obstacle(
            f"the publication {publication.name} sends changes under the name of {source.partition.name}, and would "
            "send copies under others",
            f"publish {parent.table.full} by its own name, with publish_via_partition_root = true",
        )
    for thing in own:
        yield Obstacle(
            f"{source.partition.name} has {thing}, which hangs on this partition alone and would stay behind with it",
            "drop it, and create it again afterwards where it is still wanted",
        )
    if len(exchange.sources) > 1:
        drop = [
            *(
                (index.name, f"DROP INDEX CONCURRENTLY {exchange.qualified(index.name).full}")
                for index in found.indexes
                if index.unique and (True, index.definition) not in _passed_on(parent)
            ),
            *(
                (key.name, f"ALTER TABLE {name} DROP CONSTRAINT {quote(key.name)}")
                for key in _own_keys(exchange, source)
            ),
        ]
        for unique, fix in drop:
            yield Obstacle(
                f'"{unique}" is unique within {source.partition.name} only, and could not hold in a partition that '
                "takes the rows of several",
                f"{fix}, if the application can do without",
            )


def _passed_on(parent: Inventory) -> set[tuple[bool, str]]:
    return {(index.unique, index.definition) for index in parent.indexes}


_SORTED_BY_COLLATION = ("text", "name", "citext", "bpchar")
