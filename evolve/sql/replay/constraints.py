"""Constraints: adding them under the names PostgreSQL would choose, and validating them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evolve.sql import default_names
from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    Check,
    Constraint,
    Exclude,
    ForeignKey,
    IndexDefinition,
    IndexKey,
    NotNull,
    PrimaryKey,
    Unique,
)
from evolve.sql.replay import indexes
from evolve.sql.replay.edit import (
    add_constraint,
    change_column,
    change_constraints,
    change_family_column,
    resolve,
)
from evolve.sql.schema import Schema, Table


def add(schema: Schema, table: QualifiedName, constraint: Constraint, *, only: bool = False) -> None:
    """Add `constraint` to a known table, and to the partitions and children that get it too."""
    found = schema.tables.get(table)
    if found is None or _name_taken(found, constraint):
        return
    match constraint:
        case Check():
            _add_check(schema, table, constraint, only=only)
        case ForeignKey():
            _add_foreign_key(schema, table, constraint)
        case NotNull():
            _add_not_null(schema, table, constraint)
        case PrimaryKey() | Unique() | Exclude():
            _add_indexed(schema, table, constraint, only=only)


def add_all(schema: Schema, table: QualifiedName, constraints: Sequence[Constraint]) -> None:
    """Add the constraints of one CREATE TABLE or ADD COLUMN in the order in which the server makes them.

    First CHECKs, then what an index backs (the primary key before all), then foreign keys: an order that shows
    in the numbers of made-up names.
    """
    for constraint in constraints:
        if isinstance(constraint, (Check, NotNull)):
            add(schema, table, constraint)
    keys = [c for c in constraints if isinstance(c, PrimaryKey)]
    keys_and_others: list[Constraint] = [*keys, *(c for c in constraints if isinstance(c, (Unique, Exclude)))]
    for constraint in _without_twins(keys_and_others):
        add(schema, table, constraint)
    for constraint in constraints:
        if isinstance(constraint, ForeignKey):
            add(schema, table, constraint)


def _without_twins(constraints: Sequence[Constraint]) -> list[Constraint]:
    """UNIQUE over the columns of an earlier key of the same statement makes no second index."""
    kept: list[Constraint] = []
    for constraint in constraints:
        twin = next((k for k in kept if isinstance(constraint, Unique) and _same_index(k, constraint)), None)
        if twin is None:
            kept.append(constraint)
        elif twin.name is None and constraint.name is not None:
            kept[kept.index(twin)] = replace(twin, name=constraint.name)
    return kept


def _same_index(one: Constraint, other: Unique) -> bool:
    return (
        isinstance(one, (PrimaryKey, Unique))
        and one.columns == other.columns
        and one.include == other.include
        and (one.nulls_not_distinct if isinstance(one, Unique) else False) == other.nulls_not_distinct
    )


def _name_taken(table: Table, constraint: Constraint) -> bool:
    return constraint.name is not None and table.constraint(constraint.name) is not None


def _add_check(schema: Schema, table: QualifiedName, check: Check, *, only: bool) -> None:
    if check.name is None:
        columns = check.expression.columns
        one = columns if len(columns) == 1 else None
        check = replace(check, name=default_names.constraint_name(schema, table, one, "check"))
    reach = [schema.tables[table]] if only or check.no_inherit else list(schema.family(table))
    for member in reach:
        if member.constraint(check.name or "") is None:
            add_constraint(schema, member.name, check)


def _add_not_null(schema: Schema, table: QualifiedName, constraint: NotNull) -> None:
    if not constraint.not_valid:
        change_family_column(schema, table, constraint.column, lambda column: replace(column, not_null=True))
    if constraint.not_valid or constraint.name is not None:
        name = constraint.name or default_names.object_name(table.name, constraint.column, "not_null")
        for member in list(schema.family(table)):
            add_constraint(schema, member.name, replace(constraint, name=name))


def _add_foreign_key(schema: Schema, table: QualifiedName, key: ForeignKey) -> None:
    target = resolve(schema, key.target)
    if target not in schema.tables:
        schema.tables[target] = Table(target, implied=True)
    columns = key.target_columns
    primary = schema.tables[target].primary_key
    if not columns and primary is not None:
        columns = primary.columns
    name = key.name or default_names.constraint_name(schema, table, key.columns, "fkey")
    key = replace(key, target=target, target_columns=columns, name=name)
    inherited = schema.tables[table].foreign_keys
    add_constraint(schema, table, key)
    for partition in list(schema.partitions_of(table)):
        own = [k for k in partition.foreign_keys if not any(same_key(k, above) for above in inherited)]
        clone_foreign_key(schema, partition.name, key, own)


def clone_foreign_key(
    schema: Schema, partition: QualifiedName, key: ForeignKey, own: list[ForeignKey] | None = None
) -> None:
    """Give `partition` the foreign key of its parent, unless one of `own`, which it had before, serves.

    Each of its own keys serves once and is taken off the list then.
    """
    twin = next((k for k in own or () if same_key(k, key) and not k.not_valid), None)
    if twin is not None and own is not None:
        own.remove(twin)
    else:
        name = key.name
        if name is None or schema.tables[partition].constraint(name) is not None:
            name = default_names.constraint_name(schema, partition, key.columns, "fkey")
        twin = replace(key, name=name)
        add_constraint(schema, partition, twin)
    for below in list(schema.partitions_of(partition)):
        clone_foreign_key(schema, below.name, twin, list(below.foreign_keys))


def twin_key(partition: Table, key: ForeignKey) -> ForeignKey | None:
    """The foreign key of a partition that came from that of its parent: by its name if it kept that."""
    alike = [own for own in partition.foreign_keys if same_key(own, key)]
    return next((own for own in alike if own.name == key.name), alike[0] if alike else None)


def same_key(one: ForeignKey, other: ForeignKey) -> bool:
    return replace(one, name=None, not_valid=False) == replace(other, name=None, not_valid=False)


def _add_indexed(
    schema: Schema, table: QualifiedName, constraint: PrimaryKey | Unique | Exclude, *, only: bool
) -> None:
    using = None if isinstance(constraint, Exclude) else constraint.using_index
    if isinstance(constraint, PrimaryKey) and schema.tables[table].primary_key is not None:
        return
    if using is not None:
        _add_using_index(schema, table, constraint, QualifiedName(using, table.schema))
        return
    definition = index_behind(table, constraint)
    if isinstance(constraint, PrimaryKey):
        for column in constraint.columns:
            change_family_column(schema, table, column, lambda c: replace(c, not_null=True))
    indexes.build(schema, definition, constraint=constraint, only=only)


def index_behind(table: QualifiedName, constraint: PrimaryKey | Unique | Exclude) -> IndexDefinition:
    """The index that PostgreSQL makes for a constraint."""
    match constraint:
        case PrimaryKey(columns=columns, include=include):
            keys = tuple(IndexKey(column) for column in columns)
            return IndexDefinition(constraint.name, table, keys, unique=True, include=include)
        case Unique(columns=columns, include=include, nulls_not_distinct=together):
            keys = tuple(IndexKey(column) for column in columns)
            return IndexDefinition(
                constraint.name, table, keys, unique=True, include=include, nulls_not_distinct=together
            )
        case Exclude(method=method, keys=keys, where=where):
            return IndexDefinition(constraint.name, table, keys, method=method, where=where)


def _add_using_index(
    schema: Schema, table: QualifiedName, constraint: Constraint, name: QualifiedName
) -> None:
    """The index takes the constraint's name; without one the constraint takes the index's."""
    index = schema.indexes.get(name)
    if index is None:
        if constraint.name is not None:
            add_constraint(schema, table, constraint)
        return
    final = constraint.name or index.definition.name or ""
    columns = tuple(column for column in index.definition.columns if column is not None)
    named: PrimaryKey | Unique
    if isinstance(constraint, PrimaryKey):
        named = PrimaryKey(columns, final, include=index.definition.include)
        for column in columns:
            change_family_column(schema, table, column, lambda c: replace(c, not_null=True))
    else:
        together = index.definition.nulls_not_distinct
        named = Unique(columns, final, nulls_not_distinct=together, include=index.definition.include)
    renamed = replace(index, definition=replace(index.definition, name=final), constraint=final)
    schema.indexes.rekey(name, renamed.name, renamed)
    add_constraint(schema, table, named)


def validate(schema: Schema, table: QualifiedName, name: str) -> None:
    for member in list(schema.family(table)):
        proven = [
            constraint.column
            for constraint in member.constraints
            if isinstance(constraint, NotNull) and constraint.name == name
        ]
        change_constraints(schema, member.name, lambda c: _validated(c) if c.name == name else c)
        for column in proven:
            change_column(schema, member.name, column, lambda c: replace(c, not_null=True))


def _validated(constraint: Constraint) -> Constraint:
    match constraint:
        case Check() | ForeignKey() | NotNull():
            return replace(constraint, not_valid=False)
        case PrimaryKey() | Unique() | Exclude():
            return constraint


def hand_down(schema: Schema, table: QualifiedName, column: str) -> None:
    """A change of type makes the CHECKs over the column anew; children get them as the parent has them."""
    found = schema.tables.get(table)
    for check in found.constraints if found is not None else ():
        if not isinstance(check, Check) or check.no_inherit or column not in check.expression.columns:
            continue
        for child in list(schema.children_of(table)):
            twin = child.constraint(check.name or "")
            if isinstance(twin, Check):
                _put_validity(schema, child.name, twin, not_valid=check.not_valid)
    for child in list(schema.children_of(table)):
        hand_down(schema, child.name, column)


def _put_validity(schema: Schema, table: QualifiedName, check: Check, *, not_valid: bool) -> None:
    change_constraints(schema, table, lambda c: replace(check, not_valid=not_valid) if c == check else c)


def set_deferrable(schema: Schema, table: QualifiedName, name: str, *, deferrable: bool) -> None:
    """Only a foreign key can change; the same key of the partitions changes with it."""
    found = schema.tables.get(table)
    key = found.constraint(name) if found is not None else None
    if not isinstance(key, ForeignKey):
        return

    change_constraints(schema, table, lambda c: replace(key, deferrable=deferrable) if c == key else c)
    for partition in list(schema.partitions_of(table)):
        twin = twin_key(partition, key)
        if twin is not None and twin.name is not None:
            set_deferrable(schema, partition.name, twin.name, deferrable=deferrable)
