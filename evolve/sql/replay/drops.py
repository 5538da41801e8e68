"""Dropping: what goes, and what goes with it.

A statement that leaves dependents standing is refused by the server, so a drop that was run took them along:
CASCADE need not be asked for.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from evolve.sql import default_names
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import (
    Check,
    Constraint,
    Exclude,
    Expression,
    ForeignKey,
    IndexDefinition,
    IndexKey,
    NotNull,
    PrimaryKey,
    Unique,
)
from evolve.sql.parse import sequences_in, types_in
from evolve.sql.replay.constraints import twin_key
from evolve.sql.replay.edit import change_column, change_constraints, change_family_column, put, resolve
from evolve.sql.replay.indexes import index_columns
from evolve.sql.schema import Column, Index, Schema, Table


def table(schema: Schema, name: QualifiedName) -> None:
    name = resolve(schema, name)
    if name not in schema.tables:
        return
    for child in list(schema.children_of(name)):
        table(schema, child.name)
    above = schema.tables[name].partition_of
    while above is not None:
        # A foreign key to a partitioned table leans on each of its partitions.
        for referrer, key in list(schema.foreign_keys_to(above)):
            _remove_constraint(schema, referrer.name, key)
        above = schema.tables[above].partition_of if above in schema.tables else None
    for view_ in list(schema.views_reading(name)):
        view(schema, view_.name)
    del schema.tables[name]
    for index_ in list(schema.indexes_of(name)):
        _remove_index(schema, index_)
    for other in {referrer.name: None for referrer, _ in schema.foreign_keys_to(name)}:
        change_constraints(
            schema,
            other,
            lambda c: None if isinstance(c, ForeignKey) and c.target == name else c,
        )
    for owned in [s.name for s in schema.sequences_of(name)]:
        sequence(schema, owned)


def view(schema: Schema, name: QualifiedName) -> None:
    if name not in schema.views:
        return
    for above in list(schema.views_reading(name)):
        view(schema, above.name)
    schema.views.pop(name, None)
    for index_ in list(schema.indexes_of(name)):
        del schema.indexes[index_.name]


def column(schema: Schema, name: QualifiedName, column_name: str, *, only: bool = False) -> None:
    """Drop the column from the table, its partitions and children, with all that hangs on it.

    With `only` the children keep it as their own.
    """
    found = schema.tables.get(name)
    if found is None:
        return
    children = list(schema.children_of(name))
    _column(schema, found, column_name)
    for child in children:
        known = child.column(column_name)
        if only:
            change_column(schema, child.name, column_name, lambda c: replace(c, local=True))
        elif known is not None and not known.local:
            column(schema, child.name, column_name)


def _column(schema: Schema, member: Table, name: str) -> None:
    if member.column(name) is None and not member.implied:
        return
    for constraint_ in member.constraints:
        if name in constraint_columns(constraint_):
            _remove_constraint(schema, member.name, constraint_)
    for index_ in list(schema.indexes_of(member.name)):
        if name in index_columns(index_.definition) and index_.name in schema.indexes:
            _remove_index(schema, index_)
    for view_ in list(schema.views_using(member.name, name)):
        view(schema, view_.name)
    for owned in [s.name for s in schema.sequences_of(member.name, name)]:
        sequence(schema, owned)
    left = schema.tables[member.name]
    put(schema, replace(left, columns=tuple(c for c in left.columns if c.name != name)))
    for other in left.columns:
        if other.name != name and other.generation is not None and name in other.generation.columns:
            _column(schema, schema.tables[member.name], other.name)


def constraint_columns(constraint_: Constraint) -> tuple[str, ...]:
    """The table's own columns that a constraint names."""
    match constraint_:
        case PrimaryKey() | Unique():
            return (*constraint_.columns, *constraint_.include)
        case ForeignKey():
            return constraint_.columns
        case Check(expression=expression):
            return expression.columns
        case NotNull():
            return (constraint_.column,)
        case Exclude():
            return (*_key_columns(constraint_.keys), *_read(constraint_.where))


def _key_columns(keys: tuple[IndexKey, ...]) -> tuple[str, ...]:
    return tuple(
        name for key in keys for name in ((key.column,) if key.column is not None else _read(key.expression))
    )


def _read(expression: Expression | None) -> tuple[str, ...]:
    return expression.columns if expression is not None else ()


# -- constraints and indexes --------------------------------------------------------------------------------
def constraint(schema: Schema, name: QualifiedName, constraint_name: str, *, only: bool = False) -> None:
    found = schema.tables.get(name)
    if found is None:
        return
    target = found.constraint(constraint_name)
    if target is None:
        _drop_not_null_by_name(schema, found, constraint_name)
        return
    if only and isinstance(target, Check):  # the children keep it as their own
        change_constraints(schema, name, lambda c: None if c == target else c)
        return
    _remove_constraint(schema, name, target)
    if isinstance(target, NotNull):
        change_family_column(schema, name, target.column, lambda c: replace(c, not_null=False))


def _drop_not_null_by_name(schema: Schema, found: Table, constraint_name: str) -> None:
    """From PostgreSQL 18 a NOT NULL is a constraint, named after table and column."""
    for known in found.columns:
        made_up = default_names.object_name(found.name.name, known.name, "not_null")
        if known.not_null and made_up == constraint_name:
            change_family_column(schema, found.name, known.name, lambda c: replace(c, not_null=False))


def _remove_constraint(schema: Schema, name: QualifiedName, target: Constraint) -> None:
    """Take `target` from the table; the same constraint of partitions and children goes with it."""
    change_constraints(schema, name, lambda c: None if c == target else c)
    match target:
        case PrimaryKey() | Unique() | Exclude():
            index_ = schema.indexes.get(QualifiedName(target.name or "", name.schema))
            if index_ is not None and index_.definition.table == name:
                _remove_index(schema, index_)
        case Check() | NotNull():
            for child in list(schema.children_of(name)):
                twin = child.constraint(target.name or "")
                if type(twin) is type(target) and not (isinstance(target, Check) and target.no_inherit):
                    _remove_constraint(schema, child.name, target if twin is None else twin)
        case ForeignKey():
            for partition in list(schema.partitions_of(name)):
                twin = twin_key(partition, target)
                if twin is not None:
                    _remove_constraint(schema, partition.name, twin)


def index(schema: Schema, name: QualifiedName) -> None:
    found = schema.indexes.get(name)
    if found is None or found.constraint is not None or found.partition_of is not None:
        return  # the server refuses to drop one that a constraint or a parent index needs
    _remove_index(schema, found)


def foreign_keys_on(schema: Schema, index: Index) -> list[tuple[Table, ForeignKey]]:
    """The foreign keys that lean on an index: on the oldest unique one of their target that fits."""
    definition = index.definition
    wanted = frozenset(definition.columns)
    older = takewhile(lambda other: other.name != index.name, schema.indexes_of(definition.table))
    if not _can_be_leaned_on(definition) or any(
        _can_be_leaned_on(other.definition) and frozenset(other.definition.columns) == wanted
        for other in older
    ):
        return []
    keys = schema.foreign_keys_to(definition.table)
    return [(other, key) for other, key in keys if frozenset(key.target_columns) == wanted]


def _can_be_leaned_on(definition: IndexDefinition) -> bool:
    return definition.unique and definition.where is None


def _remove_index(schema: Schema, found: Index) -> None:
    leaning = foreign_keys_on(schema, found)
    schema.indexes.pop(found.name, None)
    for part in list(schema.parts_of_index(found.name)):
        _remove_index(schema, part)
    owner = found.definition.table
    if found.constraint is not None and owner in schema.tables:
        change_constraints(schema, owner, lambda c: None if c.name == found.constraint else c)
    for other, key in leaning:
        _remove_constraint(schema, other.name, key)


# -- types, sequences, functions, schemas -------------------------------------------------------------------
def sequence(schema: Schema, name: QualifiedName) -> None:
    """Drop the sequence; defaults that draw from it go with it."""
    if schema.sequences.pop(name, None) is None:
        return
    for found in list(schema.tables_drawing_from(name)):
        for known in found.columns:
            if known.default is not None and name in sequences_in(known.default):
                _drop_default(schema, found.name, known.name)


def _drop_default(schema: Schema, table_: QualifiedName, column_name: str) -> None:
    found = schema.tables[table_]
    columns = tuple(replace(c, default=None) if c.name == column_name else c for c in found.columns)
    put(schema, replace(found, columns=columns))


def type_(schema: Schema, name: QualifiedName) -> None:
    """Drop the enum or domain, and the columns and domains of that type."""
    schema.enums.pop(name, None)
    schema.domains.pop(name, None)
    spelled = (str(name), f"{name}[]")
    for domain in [d.name for d in schema.domains.values() if d.base in spelled]:
        type_(schema, domain)
    for found in list(schema.tables.values()):
        for known in found.columns:
            if known.type in spelled:
                _column(schema, schema.tables[found.name], known.name)
            elif known.default is not None and set(types_in(known.default)) & set(spelled):
                _drop_default(schema, found.name, known.name)


def function(schema: Schema, name: QualifiedName, *, cascade: bool) -> None:
    if not cascade:
        return
    called = name.plain

    def uses(expression: Expression | None) -> bool:
        return expression is not None and called in expression.functions

    for found in list(schema.tables.values()):
        kept = tuple(trigger for trigger in found.trigger_list if trigger.function != name)
        columns = tuple(_without_default(c) if uses(c.default) else c for c in found.columns)
        put(schema, replace(found, trigger_list=kept, columns=columns))
        change_constraints(
            schema, found.name, lambda c: None if isinstance(c, Check) and uses(c.expression) else c
        )
    for index_ in list(schema.indexes.values()):
        definition = index_.definition
        if uses(definition.where) or any(uses(key.expression) for key in definition.keys):
            _remove_index(schema, index_)


def _without_default(known: Column) -> Column:
    return replace(known, default=None)


def namespace(schema: Schema, name: str) -> None:
    for view_ in [v for v in schema.views if v.schema == name]:
        view(schema, view_)
    for table_ in [t for t in schema.tables if t.schema == name]:
        table(schema, table_)
    for kind in [t for t in (*schema.enums, *schema.domains) if t.schema == name]:
        type_(schema, kind)
    for sequence_ in [s for s in schema.sequences if s.schema == name]:
        sequence(schema, sequence_)
    schema.schemas.discard(name)
    prefix = f"{quote(name)}."
    for found in list(schema.tables.values()):
        for known in found.columns:
            if known.type.startswith(prefix):
                _column(schema, schema.tables[found.name], known.name)
