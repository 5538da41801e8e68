"""Indexes: building them, on partitioned tables as well, and what makes one whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.sql import default_names
from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    Constraint,
    CreateIndex,
    Exclude,
    Expression,
    IndexDefinition,
    IndexKey,
    PrimaryKey,
    Reindex,
    Unique,
)
from evolve.sql.replay.edit import add_constraint, change_column, change_constraints, know
from evolve.sql.schema import Index, Schema

Backed = PrimaryKey | Unique | Exclude


def create(schema: Schema, operation: CreateIndex) -> None:
    table = know(schema, operation.table)
    definition = replace(operation.index, table=table)
    if definition.name is not None and default_names.relation_taken(schema, table.schema, definition.name):
        return
    build(schema, definition, only=operation.only)


def build(
    schema: Schema, definition: IndexDefinition, *, constraint: Backed | None = None, only: bool = False
) -> Index:
    """Make the index and, on a partitioned table, one for each partition that has none that serves."""
    table = definition.table
    if definition.name is None:
        definition = replace(definition, name=_made_up(schema, definition, constraint))
    partitions = list(schema.partitions_of(table))
    index = Index(
        definition,
        valid=not (only and partitions),
        constraint=definition.name if constraint is not None else None,
    )
    schema.indexes[index.name] = index
    if constraint is not None and table in schema.tables:
        add_constraint(schema, table, _named(constraint, definition.name or ""))
    if not only:
        for partition in partitions:
            give(schema, partition.name, index, constraint)
    return index


def _made_up(schema: Schema, definition: IndexDefinition, constraint: Backed | None) -> str:
    match constraint:
        case None:
            label = "idx"
        case PrimaryKey():
            label = "pkey"
        case Unique():
            label = "key"
        case Exclude():
            label = "excl"
    return default_names.index_name(schema, definition, label)


def _named(constraint: Backed, name: str) -> Constraint:
    if isinstance(constraint, Exclude):
        return replace(constraint, name=name)
    return replace(constraint, name=name, using_index=None)


def give(schema: Schema, partition: QualifiedName, parent: Index, constraint: Backed | None) -> None:
    """Attach an index of `partition` to `parent`: one that is there and serves, or a new one."""
    serving = next(
        (i for i in schema.indexes_of(partition) if i.partition_of is None and serves(i, parent)), None
    )
    if serving is not None:
        schema.indexes[serving.name] = replace(serving, partition_of=parent.name)
        return
    if isinstance(constraint, PrimaryKey):
        for column in constraint.columns:
            change_column(schema, partition, column, lambda c: replace(c, not_null=True))
    _make_part(schema, partition, parent, constraint)


def _make_part(schema: Schema, partition: QualifiedName, parent: Index, constraint: Backed | None) -> None:
    definition = replace(parent.definition, name=None, table=partition)
    made = build(schema, definition, constraint=constraint)
    schema.indexes[made.name] = replace(schema.indexes[made.name], partition_of=parent.name)


def serves(index: Index, parent: Index) -> bool:
    """True where `index`, of a partition, can be the part of `parent` there."""
    if (index.constraint is None) != (parent.constraint is None) and parent.constraint is not None:
        return False
    # The server compares columns, expressions and operators, not the direction they are sorted in.
    one, other = (replace(d, name=None, keys=_unsorted(d)) for d in (index.definition, parent.definition))
    return replace(one, table=other.table) == other and index.valid


def _unsorted(definition: IndexDefinition) -> tuple[IndexKey, ...]:
    return tuple(replace(key, descending=False) for key in definition.keys)


def constraint_behind(schema: Schema, index: Index) -> Backed | None:
    """The constraint of the index's table that it backs."""
    table = schema.tables.get(index.definition.table)
    found = table.constraint(index.constraint) if table and index.constraint else None
    return found if isinstance(found, (PrimaryKey, Unique, Exclude)) else None


def attach(schema: Schema, parent: QualifiedName, partition_index: QualifiedName) -> None:
    above, below = schema.indexes.get(parent), schema.indexes.get(partition_index)
    if above is None or below is None:
        return
    schema.indexes[partition_index] = replace(below, partition_of=parent)
    settle(schema, parent)


def settle(schema: Schema, parent: QualifiedName) -> None:
    """An index of a partitioned table turns valid once each partition has a valid part of it."""
    above = schema.indexes.get(parent)
    if above is None or above.valid:
        return
    parts = {i.definition.table for i in schema.parts_of_index(parent) if i.valid}
    if all(partition.name in parts for partition in schema.partitions_of(above.definition.table)):
        schema.indexes[parent] = replace(above, valid=True)
        if above.partition_of is not None:
            settle(schema, above.partition_of)


def rebuild(schema: Schema, operation: Reindex) -> None:
    """REINDEX makes a broken index of a plain table valid."""
    if operation.name is None:
        return
    for name, index in list(schema.indexes.items()):
        named = operation.kind == "index" and name == operation.name
        of_table = operation.kind == "table" and index.definition.table == operation.name
        found = schema.tables.get(index.definition.table)
        if (named or of_table) and not (found and found.partition_by):
            schema.indexes[name] = replace(index, valid=True)


def remake(schema: Schema, table: QualifiedName, column: str) -> None:
    """A change of type makes the indexes over the column anew, those behind constraints first.

    They know their columns by today's names then. The parts of an index of a partitioned table are made from it, under
    made-up names, on every partition: so one that was made ON ONLY turns whole.
    """
    own = [i for i in schema.indexes_of(table) if i.partition_of is None]
    touched = [i for i in own if column in index_columns(i.definition)]
    for index in sorted(touched, key=lambda i: i.constraint is None):
        keys = tuple(replace(key, label=None) if key.column else key for key in index.definition.keys)
        definition = replace(index.definition, keys=keys, include_labels=())
        partitions = list(schema.partitions_of(table))
        for part in list(_parts(schema, index.name)):
            _forget(schema, part)
        del schema.indexes[index.name]
        schema.indexes[index.name] = replace(index, definition=definition, valid=True)
        for partition in partitions:
            _make_part(schema, partition.name, schema.indexes[index.name], constraint_behind(schema, index))


def _parts(schema: Schema, name: QualifiedName) -> Iterator[Index]:
    for part in list(schema.parts_of_index(name)):
        yield part
        yield from _parts(schema, part.name)


def _forget(schema: Schema, index: Index) -> None:
    del schema.indexes[index.name]
    if index.constraint is not None:
        change_constraints(
            schema, index.definition.table, lambda c: None if c.name == index.constraint else c
        )


def index_columns(definition: IndexDefinition) -> tuple[str, ...]:
    """Every column that an index keeps, computes from or filters by."""
    keys = (
        name
        for key in definition.keys
        for name in ((key.column,) if key.column is not None else _read(key.expression))
    )
    return (*keys, *definition.include, *_read(definition.where))


def _read(expression: Expression | None) -> tuple[str, ...]:
    return expression.columns if expression is not None else ()
