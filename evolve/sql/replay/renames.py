"""Renames and moves: whatever names the renamed thing follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

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
    MoveToSchema,
    NotNull,
    PartitionBy,
    PrimaryKey,
    Unique,
)
from evolve.sql.parse import ExpressionNotRead, expression, rename_in_expression
from evolve.sql.replay.edit import change_constraints, know, put, resolve
from evolve.sql.schema import Column, Domain, Published, Schema, Table

Rewrite = Callable[[Expression], Expression]


# -- relations ----------------------------------------------------------------------------------------------
def relation(schema: Schema, name: QualifiedName, to: str) -> None:
    """Rename a table, view, index or sequence, whichever `name` is: ALTER TABLE renames them all."""
    name = resolve(schema, name)
    if default_names.relation_taken(schema, name.schema, to):
        return
    if name in schema.indexes:
        _index(schema, name, to)
        return
    if name not in schema.views and name not in schema.sequences:
        know(schema, name)
    _substitute(schema, {name: QualifiedName(to, name.schema)})


def _index(schema: Schema, name: QualifiedName, to: str) -> None:
    """An index and the constraint it backs always share one name."""
    found = schema.indexes[name]
    new = QualifiedName(to, name.schema)
    backs = found.constraint is not None
    renamed = replace(found, definition=replace(found.definition, name=to), constraint=to if backs else None)
    schema.indexes.rekey(name, new, renamed)
    for part in list(schema.parts_of_index(name)):
        schema.indexes[part.name] = replace(part, partition_of=new)
    if backs:
        change_constraints(
            schema,
            found.definition.table,
            lambda c: replace(c, name=to) if c.name == found.constraint else c,
        )


def _substitute(schema: Schema, names: Mapping[QualifiedName, QualifiedName]) -> None:
    """Put new names of tables, views and sequences in the place of old ones, everywhere."""

    def new(name: QualifiedName) -> QualifiedName:
        return names.get(name, name)

    def follow(text: Expression) -> Expression:
        for old, renamed in names.items():
            if old in schema.sequences and "nextval" in text.functions:
                text = rename_in_expression(text, relation=(old, renamed))
        return text

    for table in _naming(schema, names):
        put_as = replace(
            table,
            name=new(table.name),
            columns=tuple(_map_column(column, follow) for column in table.columns),
            constraints=tuple(_retarget(constraint, new) for constraint in table.constraints),
            partition_of=new(table.partition_of) if table.partition_of is not None else None,
            inherits=tuple(new(parent) for parent in table.inherits),
        )
        if put_as != table:
            schema.tables.rekey(table.name, put_as.name, put_as)
    for index in [index for name in names for index in schema.indexes_of(name)]:
        kept_index = replace(index, definition=replace(index.definition, table=new(index.definition.table)))
        schema.indexes.rekey(index.name, kept_index.name, kept_index)
        if kept_index.name != index.name:
            for part in list(schema.parts_of_index(index.name)):
                schema.indexes[part.name] = replace(part, partition_of=kept_index.name)
    for view in list(schema.views.values()):
        seen = replace(
            view,
            name=new(view.name),
            reads=tuple(new(read) for read in view.reads),
            uses=frozenset((new(used), column) for used, column in view.uses),
        )
        if seen != view:
            schema.views.rekey(view.name, seen.name, seen)
    owned = [sequence for name in names for sequence in schema.sequences_of(name)]
    named = [schema.sequences[name] for name in names if name in schema.sequences]
    for sequence in {found.name: found for found in (*owned, *named)}.values():
        owner_of = sequence.owned_by
        kept = replace(
            sequence,
            name=new(sequence.name),
            owned_by=(new(owner_of[0]), owner_of[1]) if owner_of is not None else None,
        )
        if kept != sequence:
            schema.sequences.rekey(sequence.name, kept.name, kept)


def _naming(schema: Schema, names: Iterable[QualifiedName]) -> list[Table]:
    """The tables of those names and all that name one of them: children, referrers, drawers from a sequence."""
    found: dict[QualifiedName, Table] = {}
    for name in names:
        own = schema.tables.get(name)
        referrers = (table for table, _ in schema.foreign_keys_to(name))
        for table in (
            *((own,) if own is not None else ()),
            *schema.children_of(name),
            *referrers,
            *schema.tables_drawing_from(name),
        ):
            found[table.name] = table
    return list(found.values())


def _map_column(column: Column, rewrite: Rewrite) -> Column:
    default = rewrite(column.default) if column.default is not None else None
    generation = rewrite(column.generation) if column.generation is not None else None
    if default == column.default and generation == column.generation:
        return column
    return replace(column, default=default, generation=generation)


def _retarget(constraint: Constraint, new: Callable[[QualifiedName], QualifiedName]) -> Constraint:
    if isinstance(constraint, ForeignKey) and new(constraint.target) != constraint.target:
        return replace(constraint, target=new(constraint.target))
    return constraint


def move(schema: Schema, operation: MoveToSchema) -> None:
    """SET SCHEMA: a table takes its indexes, constraints and owned sequences along."""
    name = resolve(schema, operation.name)
    to = QualifiedName(name.name, operation.to_schema)
    if operation.kind in ("type", "domain"):
        _retype(schema, name, to)
        return
    if name not in schema.views and name not in schema.sequences and name not in schema.tables:
        if operation.kind != "table":
            return
        know(schema, name)
    names = {name: to}
    for sequence in schema.sequences_of(name):
        names[sequence.name] = QualifiedName(sequence.name.name, operation.to_schema)
    _substitute(schema, names)


def namespace(schema: Schema, name: str, to: str) -> None:
    """Rename a schema."""
    relations = (*schema.tables, *schema.views, *schema.sequences)
    _substitute(schema, {r: QualifiedName(r.name, to) for r in relations if r.schema == name})
    for kind in [t for t in (*schema.enums, *schema.domains) if t.schema == name]:
        _retype(schema, kind, QualifiedName(kind.name, to))
    prefix, new_prefix = f"{quote(name)}.", f"{quote(to)}."
    for table in list(schema.tables.values()):
        columns = tuple(
            replace(c, type=new_prefix + c.type.removeprefix(prefix)) if c.type.startswith(prefix) else c
            for c in table.columns
        )
        put(schema, replace(table, columns=columns))
    if name in schema.schemas:
        schema.schemas.discard(name)
        schema.schemas.add(to)


# -- columns and constraints --------------------------------------------------------------------------------
def column(schema: Schema, table: QualifiedName, name: str, to: str) -> None:
    """Rename a column of a table, its partitions and children, and in all that names it."""
    found = schema.tables.get(table)
    if found is None or found.column(to) is not None:
        return
    for member in [relative.name for relative in schema.family(table)]:
        _column(schema, schema.tables[member], name, to)


def view_column(schema: Schema, view: QualifiedName, name: str, to: str) -> None:
    """Rename a column of a view, also in the views that read it."""
    found = schema.views.get(view)
    if found is not None and found.columns is not None:
        columns = tuple(to if column == name else column for column in found.columns)
        schema.views[view] = replace(found, columns=columns)
    for above in list(schema.views_reading(view)):
        uses = frozenset((view, to) if used == (view, name) else used for used in above.uses)
        schema.views[above.name] = replace(above, uses=uses)


def _column(schema: Schema, member: Table, name: str, to: str) -> None:
    def one(column_name: str) -> str:
        return to if column_name == name else column_name

    def rewrite(text: Expression) -> Expression:
        return rename_in_expression(text, column=(name, to)) if name in text.columns else text

    if member.column(name) is None and member.implied:
        member = replace(member, columns=(*member.columns, Column(name, "")))
    columns = tuple(replace(_map_column(c, rewrite), name=one(c.name)) for c in member.columns)
    put(
        schema,
        replace(
            member,
            columns=columns,
            constraints=tuple(_map_constraint(c, one, rewrite) for c in member.constraints),
            partition_by=_map_partition_by(
                member.partition_by, frozenset(c.name for c in member.columns), one, rewrite
            ),
            published=tuple(_map_published(p, one, rewrite) for p in member.published),
        ),
    )
    for other in {referrer.name: None for referrer, _ in schema.foreign_keys_to(member.name)}:
        change_constraints(schema, other, lambda c: _retarget_columns(c, member.name, one))
    for index in list(schema.indexes_of(member.name)):
        definition = _map_index(index.definition, one, rewrite)
        schema.indexes[index.name] = replace(index, definition=definition)
    for view in list(schema.views_using(member.name, name)):
        uses = frozenset((t, one(c)) if t == member.name else (t, c) for t, c in view.uses)
        schema.views[view.name] = replace(view, uses=uses)
    for sequence in list(schema.sequences_of(member.name, name)):
        schema.sequences[sequence.name] = replace(sequence, owned_by=(member.name, to))


def _map_constraint(constraint: Constraint, one: Callable[[str], str], rewrite: Rewrite) -> Constraint:
    match constraint:
        case PrimaryKey() | Unique():
            columns = tuple(map(one, constraint.columns))
            return replace(constraint, columns=columns, include=tuple(map(one, constraint.include)))
        case ForeignKey():
            return replace(constraint, columns=tuple(map(one, constraint.columns)))
        case Check():
            return replace(constraint, expression=rewrite(constraint.expression))
        case NotNull():
            return replace(constraint, column=one(constraint.column))
        case Exclude():
            where = rewrite(constraint.where) if constraint.where is not None else None
            keys = tuple(_map_key(key, one, rewrite) for key in constraint.keys)
            return replace(constraint, keys=keys, where=where)


def _map_key(key: IndexKey, one: Callable[[str], str], rewrite: Rewrite) -> IndexKey:
    if key.expression is not None:
        return replace(key, expression=rewrite(key.expression))
    # An index keeps the names that its columns had when it was made, and hands them to copies of itself.
    return replace(key, column=one(key.column), label=key.label or key.column) if key.column else key


def _map_index(definition: IndexDefinition, one: Callable[[str], str], rewrite: Rewrite) -> IndexDefinition:
    return replace(
        definition,
        keys=tuple(_map_key(key, one, rewrite) for key in definition.keys),
        include=tuple(map(one, definition.include)),
        include_labels=definition.include_labels or definition.include,
        where=rewrite(definition.where) if definition.where is not None else None,
    )


def _map_partition_by(
    partition_by: PartitionBy | None,
    columns: frozenset[str],
    one: Callable[[str], str],
    rewrite: Rewrite,
) -> PartitionBy | None:
    if partition_by is None:
        return None
    return replace(
        partition_by, keys=tuple(one(k) if k in columns else _map_text(k, rewrite) for k in partition_by.keys)
    )


def _map_published(published: Published, one: Callable[[str], str], rewrite: Rewrite) -> Published:
    return replace(
        published,
        columns=tuple(map(one, published.columns)) if published.columns is not None else None,
        row_filter=rewrite(published.row_filter) if published.row_filter is not None else None,
    )


def _map_text(key: str, rewrite: Rewrite) -> str:
    """A partition key that is an expression; one that names no known column may still be a bare name."""
    try:
        return rewrite(expression(key)).sql
    except ExpressionNotRead:
        return key


def _retarget_columns(constraint: Constraint, target: QualifiedName, one: Callable[[str], str]) -> Constraint:
    if isinstance(constraint, ForeignKey) and constraint.target == target:
        return replace(constraint, target_columns=tuple(map(one, constraint.target_columns)))
    return constraint


def constraint(schema: Schema, table: QualifiedName, name: str, to: str) -> None:
    """Rename a constraint: an index behind it and an inherited CHECK follow."""
    found = schema.tables.get(table)
    target = found.constraint(name) if found is not None else None
    if found is None or target is None or found.constraint(to) is not None:
        return
    index = schema.indexes.get(QualifiedName(name, table.schema))
    if index is not None and index.constraint == name and index.definition.table == table:
        if not default_names.relation_taken(schema, table.schema, to):
            _index(schema, index.name, to)
        return
    change_constraints(schema, table, lambda c: replace(c, name=to) if c.name == name else c)
    if isinstance(target, (Check, NotNull)):
        for child in list(schema.children_of(table)):
            constraint(schema, child.name, name, to)


# -- types --------------------------------------------------------------------------------------------------
def type_(schema: Schema, name: QualifiedName, to: str) -> None:
    _retype(schema, name, QualifiedName(to, name.schema))


def _retype(schema: Schema, name: QualifiedName, to: QualifiedName) -> None:
    if to in schema.enums or to in schema.domains:
        return
    spelled = {str(name): str(to), f"{name}[]": f"{to}[]"}

    def rewrite(text: Expression) -> Expression:
        return rename_in_expression(text, type_name=(name, to)) if name.name in text.sql else text

    if name in schema.enums:
        enum = replace(schema.enums[name], name=to)
        schema.enums.rekey(name, to, enum)
    if name in schema.domains:
        schema.domains.rekey(name, to, replace(schema.domains[name], name=to))
    for domain in list(schema.domains.values()):
        schema.domains[domain.name] = _map_domain(domain, spelled, rewrite)
    for table in list(schema.tables.values()):
        columns = tuple(
            replace(_map_column(c, rewrite), type=spelled.get(c.type, c.type)) for c in table.columns
        )
        checks = tuple(_map_constraint(c, lambda n: n, rewrite) for c in table.constraints)
        put(schema, replace(table, columns=columns, constraints=checks))
    for index in list(schema.indexes.values()):
        definition = _map_index(index.definition, lambda n: n, rewrite)
        schema.indexes[index.name] = replace(index, definition=definition)


def _map_domain(domain: Domain, spelled: Mapping[str, str], rewrite: Rewrite) -> Domain:
    return replace(
        domain,
        base=spelled.get(domain.base, domain.base),
        default=rewrite(domain.default) if domain.default is not None else None,
        checks=tuple(replace(c, expression=rewrite(c.expression)) for c in domain.checks),
    )
