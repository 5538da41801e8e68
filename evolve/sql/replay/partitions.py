"""Partitions: what a table takes over from its partitioned parent, when it joins and when it leaves."""

from __future__ import annotations

from dataclasses import replace

from evolve.sql.names import QualifiedName
from evolve.sql.replay import constraints, indexes
from evolve.sql.replay.edit import put
from evolve.sql.schema import Schema


def attach(schema: Schema, parent: QualifiedName, partition: QualifiedName, bound: str) -> None:
    if parent not in schema.tables or partition not in schema.tables:
        return
    found = schema.tables[partition]
    inherited = tuple(replace(column, local=False) for column in found.columns)
    put(schema, replace(found, partition_of=parent, bound=bound, columns=inherited))
    take_over(schema, parent, partition)


def take_over(schema: Schema, parent: QualifiedName, partition: QualifiedName) -> None:
    """Give `partition` the indexes, row triggers and foreign keys of `parent`."""
    for index in list(schema.indexes_of(parent)):
        indexes.give(schema, partition, index, indexes.constraint_behind(schema, index))
    above = schema.tables[parent]
    add_triggers(schema, parent, partition)
    own = list(schema.tables[partition].foreign_keys)
    for key in above.foreign_keys:
        constraints.clone_foreign_key(schema, partition, key, own)


def add_triggers(schema: Schema, parent: QualifiedName, partition: QualifiedName) -> None:
    found = schema.tables[partition]
    cloned = tuple(
        trigger
        for trigger in schema.tables[parent].trigger_list
        if trigger.row and trigger.name not in found.triggers
    )
    put(schema, replace(found, trigger_list=(*found.trigger_list, *cloned)))
    for below in list(schema.partitions_of(partition)):
        add_triggers(schema, partition, below.name)


def detach(schema: Schema, parent: QualifiedName, partition: QualifiedName) -> None:
    """A detached partition keeps columns, constraints and indexes; the parent's row triggers leave it."""
    found = schema.tables.get(partition)
    above = schema.tables.get(parent)
    if found is None or above is None or found.partition_of != parent:
        return
    for index in list(schema.indexes_of(partition)):
        schema.indexes[index.name] = replace(index, partition_of=None)
    # An identity that came from the parent (PostgreSQL 17) stays with it.
    lent = {column.name for column in above.columns if column.identity is not None}
    own = tuple(
        replace(column, local=True, identity=None if column.name in lent else column.identity)
        for column in found.columns
    )
    put(schema, replace(found, partition_of=None, bound=None, columns=own))
    leaving = frozenset(trigger.name for trigger in above.trigger_list if trigger.row)
    for member in list(schema.family(partition)):
        kept = tuple(trigger for trigger in member.trigger_list if trigger.name not in leaving)
        put(schema, replace(schema.tables[member.name], trigger_list=kept))
