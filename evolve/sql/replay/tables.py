"""Creating tables, views and triggers, and the ALTER TABLE clauses that change little."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from evolve.sql.names import QualifiedName, parse_name
from evolve.sql.operations import (
    AlterTableOther,
    Check,
    Constraint,
    CreateTable,
    CreateTrigger,
    CreateView,
    Exclude,
    PrimaryKey,
    RefreshMaterializedView,
    Unique,
)
from evolve.sql.replay import columns, constraints, indexes, partitions
from evolve.sql.replay.edit import change_column, know, put, resolve
from evolve.sql.schema import Column, Index, Schema, Table, Trigger, View


def create(schema: Schema, operation: CreateTable) -> None:
    name = operation.table
    existing = schema.tables.get(name)
    if existing is not None and (not existing.implied or operation.if_not_exists):
        return
    if operation.as_query:
        put(schema, Table(name, implied=True, unlogged=operation.unlogged))
        return
    # The name is taken from the start: made-up names of sequences must not collide with it.
    put(schema, Table(name))
    made = _columns(schema, operation)
    inherits = tuple(know(schema, parent) for parent in operation.inherits)
    parent = know(schema, operation.partition_of) if operation.partition_of is not None else None
    put(
        schema,
        Table(
            name,
            columns=tuple(made.values()),
            partition_by=operation.partition_by,
            partition_of=parent,
            bound=operation.bound,
            inherits=inherits,
            unlogged=operation.unlogged,
            tablespace=operation.tablespace or "pg_default",
            access_method=operation.access_method or "heap",
        ),
    )
    for above in (*inherits, *((parent,) if parent is not None else ())):
        _inherit_checks(schema, name, above)
    if "constraints" in operation.like_options:
        for source in operation.like:
            _inherit_checks(schema, name, resolve(schema, source), like=True)
    inline = (c for column in operation.columns for c in column.constraints)
    own: list[Constraint] = [*inline, *operation.constraints]
    if parent is not None:
        constraints.add_all(schema, name, [c for c in own if isinstance(c, Check)])
        partitions.take_over(schema, parent, name)
        own = [c for c in own if not isinstance(c, Check)]
    constraints.add_all(schema, name, own)
    if "indexes" in operation.like_options:
        for source in operation.like:
            _copy_indexes(schema, name, resolve(schema, source))


def _columns(schema: Schema, operation: CreateTable) -> dict[str, Column]:
    """The columns in attribute order: inherited ones first, those of LIKE where LIKE stands."""
    made: dict[str, Column] = {}
    parents = (*operation.inherits, *((operation.partition_of,) if operation.partition_of else ()))
    for parent in parents:
        above = schema.tables.get(know(schema, parent))
        for column in above.columns if above is not None else ():
            # Identity is not inherited before PostgreSQL 17.
            made.setdefault(column.name, replace(column, identity=None, local=False))
    sources = dict[int, list[QualifiedName]]()
    for position, source in zip(operation.like_after, operation.like, strict=True):
        sources.setdefault(position, []).append(resolve(schema, source))
    for position, definition in enumerate(operation.columns):
        _copy_columns(schema, operation, made, sources.get(position, ()))
        column = columns.make(schema, operation.table, definition)
        above_column = made.get(definition.name)
        if above_column is not None:
            column = replace(
                above_column,
                not_null=above_column.not_null or column.not_null,
                default=column.default or above_column.default,
                identity=column.identity or above_column.identity,
                local=operation.partition_of is None,
            )
        made[definition.name] = column
    _copy_columns(schema, operation, made, sources.get(len(operation.columns), ()))
    return made


def _copy_columns(
    schema: Schema, operation: CreateTable, made: dict[str, Column], sources: Iterable[QualifiedName]
) -> None:
    options = operation.like_options
    for source in sources:
        found = schema.tables.get(source)
        for column in found.columns if found is not None else ():
            copied = column
            if "defaults" not in options:
                copied = replace(copied, default=None)
            if "generated" not in options:
                copied = replace(copied, generated=None, generation=None)
            if column.identity is not None and "identity" in options:
                # Its type is not copied: a sequence without one is of bigint.
                columns.own_sequence(schema, operation.table, column.name, "bigint")
            else:
                copied = replace(copied, identity=None)
            made.setdefault(column.name, replace(copied, local=True))


def _inherit_checks(
    schema: Schema, table: QualifiedName, above: QualifiedName, *, like: bool = False
) -> None:
    found = schema.tables.get(above)
    for constraint in found.constraints if found is not None else ():
        if isinstance(constraint, Check) and (like or not constraint.no_inherit):
            # A copied or inherited CHECK holds for the rows of a new table: there are none.
            constraints.add(schema, table, replace(constraint, not_valid=False))


def _copy_indexes(schema: Schema, table: QualifiedName, source: QualifiedName) -> None:
    """LIKE … INCLUDING INDEXES: the same indexes under made-up names, primary key first."""

    def order(index: Index) -> bool:
        return not isinstance(indexes.constraint_behind(schema, index), PrimaryKey)

    for index in sorted(schema.indexes_of(source), key=order):
        constraint = indexes.constraint_behind(schema, index)
        definition = replace(index.definition, name=None, table=table)
        match constraint:
            case PrimaryKey() | Unique() | Exclude():
                indexes.build(schema, definition, constraint=replace(constraint, name=None))
            case None:
                indexes.build(schema, definition)


def alter_other(schema: Schema, operation: AlterTableOther) -> None:
    """Change what INHERIT, and SET of GENERATED, LOGGED, ACCESS METHOD and TABLESPACE change; other clauses leave the
    model alone.
    """
    table = know(schema, operation.table)
    found = schema.tables.get(table)
    if found is not None and operation.clause in ("set logged", "set unlogged"):
        put(schema, replace(found, unlogged=operation.clause == "set unlogged"))
    if found is not None and operation.clause == "set access method":
        put(schema, replace(found, access_method=operation.detail or "heap"))
    if found is None or operation.detail is None:
        return
    match operation.clause:
        case "set tablespace":
            put(schema, replace(found, tablespace=operation.detail))
        case "inherit":
            parent = know(schema, parse_name(operation.detail))
            if parent not in found.inherits:
                put(schema, replace(found, inherits=(*found.inherits, parent)))
        case "no inherit":
            parent = resolve(schema, parse_name(operation.detail))
            left = tuple(p for p in found.inherits if p != parent)
            known = tuple(c if left else replace(c, local=True) for c in found.columns)
            put(schema, replace(found, inherits=left, columns=known))
        case "alter constraint deferrable" | "alter constraint not deferrable":
            deferrable = operation.clause == "alter constraint deferrable"
            constraints.set_deferrable(schema, table, operation.detail, deferrable=deferrable)
        case "set generated always":
            change_column(schema, table, operation.detail, lambda c: replace(c, identity="always"))
        case "set generated by default":
            change_column(schema, table, operation.detail, lambda c: replace(c, identity="by default"))
        case _:
            pass


def create_view(schema: Schema, operation: CreateView) -> None:
    name = operation.view
    taken = name in schema.tables or name in schema.indexes or name in schema.sequences
    if taken or (name in schema.views and not operation.replace):
        return
    reads = tuple(dict.fromkeys(resolve(schema, relation) for relation in operation.reads))
    uses: set[tuple[QualifiedName, str]] = set()
    for relation, column in operation.mentions:
        for source in reads if relation is None else (resolve(schema, relation),):
            known = columns_of(schema, source)
            if column == "*":
                uses.update((source, each) for each in known)
            elif column in known:
                uses.add((source, column))
    output = operation.columns
    if output is None:
        output = _starred(schema, operation, reads)
    schema.views[name] = View(
        name, operation.materialized, reads, frozenset(uses), output, populated=operation.with_data
    )


def refresh_view(schema: Schema, operation: RefreshMaterializedView) -> None:
    found = schema.views.get(operation.view)
    if found is not None:
        schema.views[operation.view] = replace(found, populated=operation.with_data)


def columns_of(schema: Schema, relation: QualifiedName) -> tuple[str, ...]:
    """The columns of a table or view as far as they are known."""
    if (table := schema.tables.get(relation)) is not None:
        return tuple(column.name for column in table.columns)
    view = schema.views.get(relation)
    return (view.columns or ()) if view is not None else ()


def _starred(
    schema: Schema, operation: CreateView, reads: tuple[QualifiedName, ...]
) -> tuple[str, ...] | None:
    """What `SELECT * FROM one_table` yields; other stars are left unknown."""
    if operation.mentions == ((None, "*"),) and len(reads) == 1:
        return columns_of(schema, reads[0]) or None
    return None


def create_trigger(schema: Schema, operation: CreateTrigger) -> None:
    table = know(schema, operation.table)
    found = schema.tables.get(table)
    if found is None or (operation.name in found.triggers and not operation.replace):
        return
    others = tuple(trigger for trigger in found.trigger_list if trigger.name != operation.name)
    trigger = Trigger(operation.name, operation.function, operation.row)
    put(schema, replace(found, trigger_list=(*others, trigger)))
    if operation.row:
        for partition in list(schema.partitions_of(table)):
            partitions.add_triggers(schema, table, partition.name)


def drop_trigger(schema: Schema, table: QualifiedName, name: str) -> None:
    found = schema.tables.get(table)
    trigger = next((t for t in found.trigger_list if t.name == name), None) if found is not None else None
    if found is None or trigger is None:
        return
    kept = tuple(t for t in found.trigger_list if t is not trigger)
    put(schema, replace(found, trigger_list=kept))
    if trigger.row:
        for partition in list(schema.partitions_of(table)):
            drop_trigger(schema, partition.name, name)


def rename_trigger(schema: Schema, table: QualifiedName, name: str, to: str) -> None:
    """On a partitioned table the twins on its partitions are renamed too (PostgreSQL 15)."""
    found = schema.tables.get(table)
    if found is None or to in found.triggers:
        return
    renamed = tuple(replace(t, name=to) if t.name == name else t for t in found.trigger_list)
    put(schema, replace(found, trigger_list=renamed))
    for partition in list(schema.partitions_of(table)):
        rename_trigger(schema, partition.name, name, to)
