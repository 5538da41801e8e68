"""Which index lets PostgreSQL find the rows that point at a row which goes."""

from __future__ import annotations

from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import conjuncts
from evolve.sql.schema import Index, Schema


def serving_index(schema: Schema, table: QualifiedName, key: op.ForeignKey) -> Index | None:
    """An index over all rows that leads with the columns of `key`, in any order.

    One that leaves out nulls counts: no null points at a row.
    """
    return next(
        (i for i in schema.indexes_of(table) if _leads(i.definition, key) and _is_whole(i.definition, key)),
        None,
    )


def partial_index(schema: Schema, table: QualifiedName, key: op.ForeignKey) -> Index | None:
    """An index that leads with the columns of `key` and leaves out rows that may point at one."""
    return next(
        (
            i
            for i in schema.indexes_of(table)
            if _leads(i.definition, key) and not _is_whole(i.definition, key)
        ),
        None,
    )


def _leads(index: op.IndexDefinition, key: op.ForeignKey) -> bool:
    leading = index.columns[: len(key.columns)]
    if index.method == "hash":
        return index.columns == key.columns
    return index.method == "btree" and set(leading) == set(key.columns)


def _is_whole(index: op.IndexDefinition, key: op.ForeignKey) -> bool:
    if index.where is None:
        return True
    not_null = {conjunct for column in key.columns for conjunct in conjuncts(f'"{column}" IS NOT NULL')}
    return set(conjuncts(index.where.sql)) <= not_null
