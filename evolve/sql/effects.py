"""What an operation will do to a live server: the locks it takes, and what it rewrites and reads under them.

Predicted from the operation and from the schema as it is before. Each prediction is held against real servers by
tests/integration/test_effects.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import assert_never

from evolve.sql import operations as op
from evolve.sql.bound_proof import excludes_bound, implies_bound
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, parse_name
from evolve.sql.parse import sequences_in
from evolve.sql.replay.constraints import same_key, twin_key
from evolve.sql.replay.drops import constraint_columns, foreign_keys_on
from evolve.sql.replay.edit import resolve
from evolve.sql.replay.indexes import index_columns, serves
from evolve.sql.schema import Index, Schema, Table
from evolve.sql.type_changes import Cost, TypeChange, plain_cast, type_change
from evolve.sql.types import base, modifiers
from evolve.sql.volatility import volatile_functions
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Effect:
    """What an operation does to relations that are there before it.

    Args:
        locks: strongest lock per table, view and sequence; ACCESS SHARE is left out. An index stands here only
            where its lock is stronger than that of its table. What an INSERT meets on its way (the sequence of a
            default, the partition that takes the row, the target of a foreign key) is left out.
        rewrites: tables and materialized views that get a new file, with all their indexes.
        scans: tables of which every row is read. For INSERT, UPDATE, DELETE and SELECT the server's plan decides:
            of these only UPDATE and DELETE without WHERE count. Nor is the target of a foreign key among them:
            it is read through its key or as a whole, as the planner likes.
        rebuilds: indexes built anew although their table is not rewritten.
        only_if_not_utc: the rewrite does not happen where the session's TimeZone is UTC.
        refused: why the server will refuse the statement, where that is known.
        opaque: the statement may do anything: a DO block, a call, text that was not read.
    """

    locks: Mapping[QualifiedName, LockMode] = field(default_factory=dict)
    rewrites: frozenset[QualifiedName] = frozenset()
    scans: frozenset[QualifiedName] = frozenset()
    rebuilds: frozenset[QualifiedName] = frozenset()
    only_if_not_utc: bool = False
    refused: str | None = None
    opaque: bool = False

    @property
    def rewrite(self) -> bool:
        return bool(self.rewrites)

    @property
    def scan(self) -> bool:
        return bool(self.scans)

    @property
    def strongest(self) -> LockMode | None:
        return max(self.locks.values(), default=None)


def effect(
    operation: op.Operation, schema: Schema, version: int = 15, *, timezone: str | None = None
) -> Effect:
    """Predict what `operation` does on a server of major `version`.

    Args:
        schema: as it is before the operation; what it does not know is judged by its worst case.
        timezone: the session's TimeZone; None is unknown, and then a change between timestamp with and without
            time zone counts as a rewrite with `only_if_not_utc`.
    """
    draft = _Draft(schema, version, timezone)
    _predict(operation, draft)
    return draft.effect()


@dataclass(slots=True)
class _Draft:
    """An effect in the making."""

    schema: Schema
    version: int
    timezone: str | None
    locks: dict[QualifiedName, LockMode] = field(default_factory=dict)
    rewrites: set[QualifiedName] = field(default_factory=set)
    scans: set[QualifiedName] = field(default_factory=set)
    rebuilds: set[QualifiedName] = field(default_factory=set)
    only_if_not_utc: bool = False
    refused: str | None = None
    opaque: bool = False

    def effect(self) -> Effect:
        return Effect(
            dict(self.locks),
            frozenset(self.rewrites),
            frozenset(self.scans),
            frozenset(self.rebuilds),
            self.only_if_not_utc,
            self.refused,
            self.opaque,
        )

    def known(self, name: QualifiedName) -> QualifiedName:
        return resolve(self.schema, name)

    def lock(self, names: Iterable[QualifiedName], mode: LockMode) -> None:
        for name in names:
            self.locks[name] = max(mode, self.locks.get(name, mode))

    def family(self, name: QualifiedName) -> list[QualifiedName]:
        """The table with its partitions and children; a table that nobody knows stands alone."""
        return [table.name for table in self.schema.family(name)] or [name]

    def stored(self, name: QualifiedName) -> list[QualifiedName]:
        """Those of the family that hold rows: a partitioned table itself has none."""
        members = (self.schema.table(member) for member in self.family(name))
        return [t.name for t in members if t and t.partition_by is None] or [
            member for member in self.family(name) if member not in self.schema.tables
        ]

    def with_key_triggers(self, name: QualifiedName) -> list[QualifiedName]:
        """Those that the triggers of a foreign key to it are on; in 14 partitioned tables have none."""
        stored = self.stored(name)
        tree = _partition_tree(self.schema, name)
        return tree if self.version >= 15 else [member for member in tree if member in stored]

    def rewrite(self, name: QualifiedName) -> None:
        self.rewrites.update(self.stored(name))
        self.scan(name)

    def scan(self, name: QualifiedName) -> None:
        self.scans.update(self.stored(name))

    def scan_alone(self, name: QualifiedName) -> None:
        """Without what is below it."""
        self.scans.update(member for member in self.stored(name) if member == name)


_AE = LockMode.ACCESS_EXCLUSIVE
_SRE = LockMode.SHARE_ROW_EXCLUSIVE
_SUE = LockMode.SHARE_UPDATE_EXCLUSIVE


def _predict(operation: op.Operation, draft: _Draft) -> None:
    match operation:
        case op.CreateTable():
            _create_table(operation, draft)
        case op.DropTable(table=name):
            _drop_table(draft, draft.known(name))
        case op.RenameTable(table=name) | op.RenameView(view=name) | op.RenameSequence(sequence=name):
            _rename(draft, draft.known(name))
        case op.RenameIndex(index=name):
            draft.lock([name], _SUE)
        case op.MoveToSchema():
            _move(operation, draft)
        case op.AlterTableOther():
            _alter_other(operation, draft)
        case op.AddColumn():
            _add_column(operation, draft)
        case op.DropColumn(table=name, column=column, only=only):
            _drop_column(draft, draft.known(name), column, only=only)
        case op.AlterColumnType():
            _alter_type(operation, draft)
        case op.SetNotNull(table=name, column=column, only=only):
            _set_not_null(draft, draft.known(name), column, only=only)
        case op.RenameTrigger(table=name) if draft.version < 15:
            draft.lock([draft.known(name)], _AE)
        case op.RenameTrigger(table=name):
            draft.lock(_partition_tree(draft.schema, draft.known(name)), _AE)
        case op.DropTrigger(table=name, name=trigger):
            _drop_trigger(draft, draft.known(name), trigger)
        case op.SetExpression(table=name, column=column):
            _set_expression(draft, draft.known(name), column)
        case op.SetDefault(table=name, only=True) | op.DropDefault(table=name, only=True):
            draft.lock([draft.known(name)], _AE)
        case op.DropNotNull(table=name, column=column, only=only) if (
            only if draft.version < 18 else _is_nullable(draft, draft.known(name), column)
        ):
            draft.lock([draft.known(name)], _AE)
        case (
            op.RenameColumn(table=name)
            | op.DropNotNull(table=name)
            | op.SetDefault(table=name)
            | op.DropDefault(table=name)
            | op.DropExpression(table=name)
        ):
            draft.lock(draft.family(draft.known(name)), _AE)
        case op.AddIdentity(table=name, column=column) | op.DropIdentity(table=name, column=column):
            # From 17 the identity of a partitioned table is that of its partitions.
            tree = _partition_tree(draft.schema, draft.known(name))
            known = draft.schema.column(tree[0], column)
            none = isinstance(operation, op.DropIdentity) and known is not None and known.identity is None
            draft.lock(tree if draft.version >= 17 and not none else tree[:1], _AE)
            draft.lock(_owned_sequences(draft.schema, draft.known(name), column), _AE)
        case op.AddConstraint(table=name, constraint=constraint, only=only):
            _add_constraint(draft, draft.known(name), constraint, only=only)
        case op.DropConstraint(table=name, name=constraint_name):
            _drop_constraint(draft, draft.known(name), constraint_name)
        case op.ValidateConstraint(table=name, name=constraint_name):
            _validate(draft, draft.known(name), constraint_name)
        case op.RenameConstraint(table=name, name=constraint_name):
            _rename_constraint(draft, draft.known(name), constraint_name)
        case op.AttachPartition():
            _attach_partition(operation, draft)
        case op.DetachPartition():
            _detach_partition(operation, draft)
        case op.CreateIndex():
            _create_index(operation, draft)
        case op.DropIndex():
            _drop_index(operation, draft)
        case op.AttachIndex(index=parent, partition_index=part):
            _attach_index(draft, parent, part)
        case op.Reindex():
            _reindex(operation, draft)
        case op.DropType(type=name):
            for table, column in _columns_of_type(draft.schema, name):
                _drop_column(draft, table, column)
        case op.AlterDomain():
            _alter_domain(operation, draft)
        case op.AlterSequence(sequence=name):
            draft.lock([name], _SRE)
        case op.DropSequence(sequence=name):
            _drop_sequences(draft, [name])
        case op.CreateView(view=name, reads=reads, replace=replace):
            if replace and name in draft.schema.views:
                draft.lock([name], _AE)
            if operation.materialized and operation.with_data:
                draft.scans.update(_tables_behind(draft, reads))
        case op.DropView(view=name):
            _drop_view(draft, name)
        case op.RenameViewColumn(view=name):
            draft.lock([name], _AE)
        case op.CreatePolicy(table=name) | op.AlterPolicy(table=name) | op.DropPolicy(table=name):
            draft.lock([draft.known(name)], _AE)
        case op.RefreshMaterializedView(view=name, with_data=False):
            draft.lock([name], _AE)
            draft.rewrites.add(name)
            if any(draft.schema.indexes_of(name)):
                draft.scans.add(name)  # the empty file is read for each
        case op.RefreshMaterializedView(view=name, concurrently=concurrently):
            _refresh(draft, name, concurrently=concurrently)
        case op.DropFunction(function=name, cascade=cascade):
            if cascade:
                draft.lock(_tables_with_trigger(draft.schema, name), _AE)
        case op.CreateTrigger(table=name, row=row):
            table = draft.known(name)
            draft.lock(_partition_tree(draft.schema, table) if row else [table], _SRE)
        case op.DropSchema(schema=namespace):
            _drop_schema(draft, namespace)
        case op.Insert(table=name):
            draft.lock([draft.known(name)], LockMode.ROW_EXCLUSIVE)
        case op.Update(table=name, where=where):
            _change_rows(draft, draft.known(name), whole=not where)
        case op.Delete(table=name, where=where):
            _change_rows(draft, draft.known(name), whole=not where)
        case op.Truncate(tables=names, cascade=cascade):
            _truncate(draft, [draft.known(name) for name in names], cascade=cascade)
        case op.Query():
            _query(operation, draft)
        case op.Copy(table=target, into=into):
            if target is not None and into:
                draft.lock([draft.known(target)], LockMode.ROW_EXCLUSIVE)
        case op.ChangePublication(tables=published):
            draft.lock((m for part in published for m in _published(draft, part.table)), _SUE)
        case op.LockTable(tables=names, mode=mode):
            if mode is not LockMode.ACCESS_SHARE:
                draft.lock((m for n in names for m in _locked_with(draft, draft.known(n))), mode)
        case op.Other():
            _other(operation, draft)
        case op.DoBlock(gaps=gaps):
            draft.opaque = bool(gaps)
        case op.Unread():
            draft.opaque = True
        case (
            op.CreateEnum()
            | op.AddEnumValue()
            | op.RenameEnumValue()
            | op.RenameType()
            | op.CreateDomain()
            | op.CreateSequence()
            | op.CreateFunction()
            | op.AlterFunction()
            | op.CreateSchema()
            | op.RenameSchema()
            | op.SetParameter()
            | op.TransactionControl()
        ):
            pass
        case _:
            assert_never(operation)


# -- tables -------------------------------------------------------------------------------------------------
def _create_table(operation: op.CreateTable, draft: _Draft) -> None:
    if operation.if_not_exists and operation.table in draft.schema.tables:
        return
    inline = (c for column in operation.columns for c in column.constraints)
    for constraint in (*inline, *operation.constraints):
        if isinstance(constraint, op.ForeignKey) and constraint.target != operation.table:
            draft.lock(_partition_tree(draft.schema, draft.known(constraint.target)), _SRE)
    draft.lock((draft.known(parent) for parent in operation.inherits), _SUE)
    if operation.partition_of is not None:
        parent = draft.known(operation.partition_of)
        draft.lock([parent], _AE)
        _squeeze_default(draft, parent, operation.bound or "")
        _join_foreign_keys(draft, parent)
    if operation.as_query:
        draft.scans.update(_tables_behind(draft, operation.reads))


def _squeeze_default(draft: _Draft, parent: QualifiedName, bound: str) -> None:
    """A new partition shrinks what the DEFAULT partition may hold: its rows are checked."""
    default, above = draft.schema.default_partition(parent), draft.schema.table(parent)
    if default is not None and above is not None and bound != "DEFAULT":
        draft.lock([default.name], _AE)
        if not excludes_bound(default, above, bound):
            draft.scan(default.name)


def _join_foreign_keys(draft: _Draft, parent: QualifiedName) -> None:
    """A table that becomes a partition gets the foreign keys of its parent, in both directions."""
    for target in _targets(draft.schema, parent):
        draft.lock(_partition_tree(draft.schema, target), _SRE)
    # In 14 a key that points to a partitioned table has its triggers on the partitions alone.
    if draft.version >= 15:
        draft.lock(_referencing(draft.schema, parent), _SRE)


def _targets(schema: Schema, table: QualifiedName) -> set[QualifiedName]:
    found = schema.table(table)
    return {key.target for key in found.foreign_keys if key.target != table} if found else set()


def _referencing(schema: Schema, table: QualifiedName) -> set[QualifiedName]:
    """Tables with a foreign key to `table` or to a partitioned table above it."""
    names = set[QualifiedName]()
    at: QualifiedName | None = table
    while at is not None:
        names.update(other.name for other, _ in schema.foreign_keys_to(at) if other.partition_of is None)
        above = schema.table(at)
        at = above.partition_of if above is not None else None
    return names


def _drop_table(draft: _Draft, name: QualifiedName) -> None:
    schema = draft.schema
    if name not in schema.tables:
        draft.lock([name], _AE)
        return
    members = draft.family(name)
    draft.lock(members, _AE)
    found = schema.tables[name]
    if found.partition_of is not None:
        draft.lock([found.partition_of], _AE)
        default = schema.default_partition(found.partition_of)
        if default is not None:
            draft.lock([default.name], _AE)
        draft.lock(_referencing(schema, found.partition_of), _AE)
    for member in members:
        for target in _own_targets(schema, member):
            draft.lock(draft.with_key_triggers(target), _AE)
        for other, _ in schema.foreign_keys_to(member):
            draft.lock([other.name], _AE)
        for view in list(schema.views_reading(member)):
            _drop_view(draft, view.name)
        _drop_sequences(draft, _owned_sequences(schema, member))


def _own_targets(schema: Schema, table: QualifiedName) -> set[QualifiedName]:
    """What its foreign keys point to, without those that it has from its partitioned table: they have no triggers
    of their own there.
    """
    found = schema.tables[table]
    above = schema.table(found.partition_of) if found.partition_of is not None else None
    inherited = {twin_key(found, key) for key in above.foreign_keys} if above is not None else set()
    return {key.target for key in found.foreign_keys if key.target != table and key not in inherited}


def _drop_sequences(draft: _Draft, sequences: Iterable[QualifiedName]) -> None:
    for sequence in list(sequences):
        draft.lock([sequence], _AE)
        draft.lock(_tables_drawing_from(draft.schema, sequence), _AE)


def _owned_sequences(
    schema: Schema, table: QualifiedName, column: str | None = None
) -> Iterator[QualifiedName]:
    return (sequence.name for sequence in schema.sequences_of(table, column))


def _drop_view(draft: _Draft, name: QualifiedName) -> None:
    draft.lock([name], _AE)
    for above in list(draft.schema.views_reading(name)):
        _drop_view(draft, above.name)


def _rename(draft: _Draft, name: QualifiedName) -> None:
    draft.lock([name], _AE)


def _move(operation: op.MoveToSchema, draft: _Draft) -> None:
    name = draft.known(operation.name)
    if operation.kind in ("type", "domain", "function", "extension"):
        return
    draft.lock([name], _AE)
    draft.lock(_owned_sequences(draft.schema, name), _AE)


# ALTER TABLE clauses that are not ACCESS EXCLUSIVE.
_WEAKER = {
    "set statistics": _SUE,
    "set column parameters": _SUE,
    "reset column parameters": _SUE,
    "set parameters": _SUE,
    "reset parameters": _SUE,
    "cluster on": _SUE,
    "set without cluster": _SUE,
    "enable trigger": _SRE,
    "enable always trigger": _SRE,
    "enable replica trigger": _SRE,
    "disable trigger": _SRE,
}
# Clauses that reach partitions and children; the others touch only the table they name.
_REACHING = frozenset(
    {
        "set statistics",
        "set storage",
        "set compression",
        "enable trigger",
        "enable always trigger",
        "enable replica trigger",
        "disable trigger",
    }
)
_REWRITING = frozenset({"set logged", "set unlogged", "set access method"})


def _alter_other(operation: op.AlterTableOther, draft: _Draft) -> None:
    table = draft.known(operation.table)
    clause = operation.clause
    mode = _WEAKER.get(clause, _AE)
    if clause in ("set parameters", "reset parameters") and "user_catalog_table" in (operation.detail or ""):
        mode = _AE
    if clause.startswith("alter constraint"):
        draft.lock(_partition_tree(draft.schema, table), mode)
    else:
        draft.lock(draft.family(table) if clause in _REACHING and not operation.only else [table], mode)
    if clause in _REWRITING and not _is_so_already(draft.schema.table(table), operation):
        # It does not reach what is below the table.
        own = [member for member in draft.stored(table) if member == table]
        draft.rewrites.update(own)
        draft.scans.update(own)
    elif clause == "set tablespace" and not _is_there_already(draft.schema.table(table), operation.detail):
        draft.rewrites.update(member for member in draft.stored(table) if member == table)  # copied, not read
    elif clause == "inherit" and operation.detail is not None:
        draft.lock([draft.known(parse_name(operation.detail))], _SUE)
    elif clause.startswith("set generated") or clause == "set sequence options":
        draft.lock(_owned_sequences(draft.schema, table, operation.detail), _SRE)


def _is_there_already(table: Table | None, tablespace: str | None) -> bool:
    return table is not None and not table.implied and table.tablespace == tablespace


def _is_so_already(table: Table | None, operation: op.AlterTableOther) -> bool:
    if table is None:
        return False
    if operation.clause == "set access method":
        return not table.implied and table.access_method == (operation.detail or "heap")
    return operation.clause == ("set unlogged" if table.unlogged else "set logged")


# -- columns ------------------------------------------------------------------------------------------------
def _add_column(operation: op.AddColumn, draft: _Draft) -> None:
    table = draft.known(operation.table)
    column = operation.column
    if operation.if_not_exists and draft.schema.column(table, column.name) is not None:
        draft.lock([table], _AE)
        return
    draft.lock(draft.family(table), _AE)
    domain = draft.schema.domain(column.type)
    rewritten = (
        column.serial
        or column.identity is not None
        or column.generated == "stored"
        or (domain is not None and domain.constrained)
        or bool(volatile_functions(column.default, draft.schema.functions))
        or (
            column.default is None
            and domain is not None
            and bool(volatile_functions(domain.default, draft.schema.functions))
        )
    )
    if rewritten:
        draft.rewrite(table)
    if column.default is not None:
        draft.lock(_drawn_from(draft.schema, column.default), LockMode.ROW_EXCLUSIVE)
    valued = column.default is not None and column.default.sql.upper() != "NULL"
    if column.not_null and not valued and not rewritten and column.generated is None:
        draft.scan(table)
    # Children by INHERITS get the column without its keys.
    own = frozenset(draft.stored(table)).intersection(_partition_tree(draft.schema, table))
    for constraint in column.constraints:
        match constraint:
            case op.Check():
                draft.scan(table)
            case op.ForeignKey(target=target):
                draft.lock(_partition_tree(draft.schema, draft.known(target)), _SRE)
                if valued:  # else every row has a null there, which no foreign key minds
                    draft.scans.update(own)
            case op.PrimaryKey() | op.Unique() | op.Exclude():
                draft.scans.update(own)
            case op.NotNull():
                pass


def _drawn_from(schema: Schema, default: op.Expression) -> Iterator[QualifiedName]:
    """Sequences whose next value a statement takes at once."""
    return (name for name in sequences_in(default) if name in schema.sequences)


def _drop_column(draft: _Draft, table: QualifiedName, column: str, *, only: bool = False) -> None:
    schema = draft.schema
    members = [table] if only else draft.family(table)
    draft.lock(draft.family(table), _AE)
    for member in members:
        found = schema.table(member)
        for constraint in found.constraints if found is not None else ():
            if column in constraint_columns(constraint):
                _lock_other_side(draft, member, constraint)
        for view in [v for v in schema.views.values() if (member, column) in v.uses]:
            _drop_view(draft, view.name)
        _drop_sequences(draft, _owned_sequences(schema, member, column))


def _lock_other_side(draft: _Draft, table: QualifiedName, constraint: op.Constraint) -> None:
    """What else is locked when a constraint goes: foreign keys have triggers on both of their tables."""
    match constraint:
        case op.ForeignKey(target=target):
            draft.lock([target, *draft.with_key_triggers(target)], _AE)
        case op.PrimaryKey(name=name) | op.Unique(name=name):
            index = draft.schema.indexes.get(QualifiedName(name or "", table.schema))
            if index is not None:
                draft.lock((other.name for other, _ in foreign_keys_on(draft.schema, index)), _AE)
        case op.Check() | op.NotNull() | op.Exclude():
            pass


def _is_nullable(draft: _Draft, table: QualifiedName, column: str) -> bool:
    known = draft.schema.column(table, column)
    return known is not None and bool(known.type) and not known.not_null


def _drop_trigger(draft: _Draft, table: QualifiedName, name: str) -> None:
    """Those of rows go from partitions as well."""
    found = draft.schema.table(table)
    known = next((t for t in found.trigger_list if t.name == name), None) if found is not None else None
    alone = known is not None and not known.row
    draft.lock([table] if alone else _partition_tree(draft.schema, table), _AE)


def _set_not_null(draft: _Draft, table: QualifiedName, column: str, *, only: bool) -> None:
    known, found = draft.schema.column(table, column), draft.schema.table(table)
    partitioned = found is not None and found.partition_by is not None
    if known is not None and known.not_null and (partitioned or draft.version >= 18):
        draft.lock([table], _AE)  # there is nothing left to do below it
        return
    # Partitions have to be NOT NULL already then, and are locked to see it.
    draft.lock([table] if only and not partitioned else draft.family(table), _AE)
    _prove_not_null(draft, table, column, only=only)


def _prove_not_null(draft: _Draft, table: QualifiedName, column: str, *, only: bool = False) -> None:
    """Rows are read wherever neither the catalog nor a validated CHECK shows that no null is there."""
    for member in draft.stored(table):
        if not (only and member != table) and not draft.schema.proves_not_null(member, column):
            draft.scans.add(member)


def _set_expression(draft: _Draft, table: QualifiedName, column: str) -> None:
    draft.lock(draft.family(table), _AE)
    known = draft.schema.column(table, column)
    if known is None or known.generated != "virtual":
        draft.rewrite(table)


def _alter_type(operation: op.AlterColumnType, draft: _Draft) -> None:
    schema = draft.schema
    table, name = draft.known(operation.table), operation.column
    draft.lock(draft.family(table), _AE)
    for member in draft.family(table):
        if any((member, name) in view.uses for view in schema.views.values()):
            draft.refused = f'"{table.plain}.{name}" is used by a view'
    change = _judge(operation, draft, table)
    rewritten = change.cost is Cost.REWRITE
    if change.cost is Cost.REWRITE_UNLESS_UTC and not _is_utc(draft.timezone):
        rewritten = True
        draft.only_if_not_utc = draft.timezone is None
    if rewritten:
        draft.rewrite(table)
    known = schema.column(table, name)
    alike = known is not None and _compared_alike(known.type, operation.type, schema)
    recheck = change.rebuilds_indexes and (rewritten or not alike)
    for member in draft.family(table):
        _check_anew(draft, member, name, rebuild=change.rebuilds_indexes, recheck=recheck)
    if known is not None and known.identity is not None:
        draft.lock(_owned_sequences(schema, table, name), _SRE)


def _judge(operation: op.AlterColumnType, draft: _Draft, table: QualifiedName) -> TypeChange:
    known = draft.schema.column(table, operation.column)
    if known is None or not known.type or not plain_cast(operation.using, operation.column, operation.type):
        return TypeChange(Cost.REWRITE, rebuilds_indexes=True, narrows=True)
    old = draft.schema.domain(known.type)
    new = draft.schema.domain(operation.type)
    target = new.base if new is not None else operation.type
    change = type_change(
        old.base if old is not None else known.type,
        target,
        old_collation=known.collation,
        new_collation=operation.collation,
        constrained_domain=new is not None and new.constrained and known.type != operation.type,
    )
    if old is not None and known.type != operation.type and modifiers(target) and change.cost is Cost.NOTHING:
        # A value of a domain is not known to keep its limit, and is cut to the new one.
        return replace(change, cost=Cost.REWRITE, rebuilds_indexes=True)
    return change


def _compared_alike(old: str, new: str, schema: Schema) -> bool:
    """True where the same operator compares values of both types: a change of collation checks no foreign key anew."""
    bases = {
        base(domain.base if (domain := schema.domain(each)) is not None else each) for each in (old, new)
    }
    return old.endswith("[]") == new.endswith("[]") and (
        len(bases) == 1 or bases == {"text", "character varying"}
    )


def _is_utc(timezone: str | None) -> bool:
    return timezone is not None and timezone.upper() in (
        "UTC",
        "ETC/UTC",
        "GMT",
        "ETC/GMT",
        "UCT",
        "ZULU",
        "GMT0",
    )


def _check_anew(draft: _Draft, table: QualifiedName, column: str, *, rebuild: bool, recheck: bool) -> None:
    """A change of type makes constraints and indexes over the column anew, each in its own way.

    `rebuild`: the column's order may be another one; `recheck`: it has other values, or other operators compare them.
    """
    schema = draft.schema
    found = schema.table(table)
    for constraint in found.constraints if found is not None else ():
        if column not in constraint_columns(constraint):
            continue
        match constraint:
            case op.Check(not_valid=False):
                draft.scan_alone(table)
            case op.ForeignKey(target=target, not_valid=not_valid):
                draft.lock(_partition_tree(schema, target), _SRE)
                draft.lock(draft.with_key_triggers(target), _AE)
                if recheck and not not_valid:
                    draft.scan_alone(table)
            case op.Check() | op.PrimaryKey() | op.Unique() | op.Exclude() | op.NotNull():
                pass
    for other, key in schema.foreign_keys_to(table):
        if column in key.target_columns:
            draft.lock([other.name], _AE)
            if recheck and not key.not_valid:
                draft.scan(other.name)
    for index in schema.indexes_of(table):
        if column not in index_columns(index.definition):
            continue
        # The server compares no expressions: an index that has one is always built anew.
        computed = index.definition.where is not None or any(k.expression for k in index.definition.keys)
        plain = column in (*index.definition.columns, *index.definition.include)
        # Those of partitions are made from the index of the partitioned table, and keep no file.
        if computed or (plain and (rebuild or index.partition_of is not None)):
            if table not in draft.rewrites and not (found and found.partition_by):
                draft.rebuilds.add(index.name)
            draft.scan_alone(table)


# -- constraints --------------------------------------------------------------------------------------------
def _add_constraint(draft: _Draft, table: QualifiedName, constraint: op.Constraint, *, only: bool) -> None:
    match constraint:
        case op.Check(no_inherit=no_inherit, not_valid=not_valid):
            alone = only or no_inherit
            # From 18 the children are locked even where nothing reaches them.
            draft.lock([table] if only or (alone and draft.version < 18) else draft.family(table), _AE)
            if not not_valid:
                draft.scans.update(m for m in draft.stored(table) if m == table or not alone)
        case op.ForeignKey(target=target, not_valid=not_valid):
            tree = _partition_tree(draft.schema, table)
            # From 18 the children are locked even where nothing reaches them.
            draft.lock(tree if only or draft.version < 18 else draft.family(table), _SRE)
            draft.lock(_partition_tree(draft.schema, draft.known(target)), _SRE)
            if not not_valid:
                draft.scans.update(member for member in draft.stored(table) if member in tree)
        case op.NotNull(column=column, not_valid=not_valid):
            draft.lock(draft.family(table), _AE)
            if not not_valid:
                _prove_not_null(draft, table, column)
        case op.PrimaryKey() | op.Unique() | op.Exclude():
            _add_indexed(draft, table, constraint, only=only)


def _add_indexed(
    draft: _Draft, table: QualifiedName, constraint: op.PrimaryKey | op.Unique | op.Exclude, *, only: bool
) -> None:
    draft.lock([table], _AE)
    using = None if isinstance(constraint, op.Exclude) else constraint.using_index
    columns: tuple[str, ...] = () if isinstance(constraint, op.Exclude) else constraint.columns
    if using is None:
        partitions = [] if only else [m for m in draft.family(table) if m != table]
        tree = set(_partition_tree(draft.schema, table))
        below = LockMode.SHARE if draft.version < 18 else _AE
        draft.lock((m for m in partitions if m in tree or draft.version >= 18), below)
        draft.scans.update(m for m in draft.stored(table) if m in tree and (m == table or not only))
        if table not in draft.schema.tables:
            draft.scans.add(table)
    else:
        index = draft.schema.indexes.get(QualifiedName(using, table.schema))
        columns = tuple(c for c in index.definition.columns if c) if index is not None else ()
        if index is None and isinstance(constraint, op.PrimaryKey):
            draft.scan(table)
    if isinstance(constraint, op.PrimaryKey):
        for column in columns:
            for member in [table] if only else draft.family(table):
                known = draft.schema.column(member, column)
                if known is None or not known.not_null:
                    draft.lock([member], _AE)
            _prove_not_null(draft, table, column, only=only)


def _drop_constraint(draft: _Draft, table: QualifiedName, name: str) -> None:
    found = draft.schema.table(table)
    constraint = found.constraint(name) if found is not None else None
    reached = _with_constraint(draft, table, constraint)
    draft.lock(reached, _AE)
    if constraint is not None:
        for member in reached:
            _lock_other_side(draft, member, constraint)


def _with_constraint(
    draft: _Draft, table: QualifiedName, constraint: op.Constraint | None
) -> list[QualifiedName]:
    """The table and those below it that have the constraint from it: children by INHERITS get no keys."""
    match constraint:
        case op.Check(no_inherit=True):
            return [table]
        case op.Check() | op.NotNull() | None:
            return draft.family(table)
        case op.ForeignKey() | op.PrimaryKey() | op.Unique() | op.Exclude():
            return _partition_tree(draft.schema, table)


def _validate(draft: _Draft, table: QualifiedName, name: str) -> None:
    found = draft.schema.table(table)
    constraint = found.constraint(name) if found is not None else None
    match constraint:
        case op.ForeignKey(target=target, not_valid=not_valid):
            draft.lock([table], _SUE)
            if not_valid:
                draft.lock([target], LockMode.ROW_SHARE)
                draft.scan(table)
        case op.Check(not_valid=True) | op.NotNull(not_valid=True):
            draft.lock(draft.family(table), _SUE)
            draft.scan(table)
        case None:
            draft.lock(draft.family(table), _SUE)
            draft.scan(table)
        case op.Check() | op.NotNull() | op.PrimaryKey() | op.Unique() | op.Exclude():
            draft.lock([table], _SUE)


def _rename_constraint(draft: _Draft, table: QualifiedName, name: str) -> None:
    found = draft.schema.table(table)
    constraint = found.constraint(name) if found is not None else None
    inherited = isinstance(constraint, op.Check | op.NotNull)
    draft.lock(_with_constraint(draft, table, constraint) if inherited else [table], _AE)


# -- partitions ---------------------------------------------------------------------------------------------
def _partition_tree(schema: Schema, table: QualifiedName) -> list[QualifiedName]:
    """The table and its partitions, without children by INHERITS."""
    below = (name for child in schema.partitions_of(table) for name in _partition_tree(schema, child.name))
    return [table, *below]


def _attach_partition(operation: op.AttachPartition, draft: _Draft) -> None:
    parent, partition = draft.known(operation.table), draft.known(operation.partition)
    schema = draft.schema
    draft.lock([parent], _SUE)
    draft.lock(draft.family(partition), _AE)
    _squeeze_default(draft, parent, operation.bound)
    above, found = schema.table(parent), schema.table(partition)
    if above is None or found is None:
        draft.scan(partition)
        return
    _join_foreign_keys(draft, parent)
    for key in above.foreign_keys:
        twin = next((k for k in found.foreign_keys if same_key(k, key)), None)
        if twin is not None:
            # Its own triggers go, those of the parent's key stay.
            draft.lock(_partition_tree(schema, key.target), _AE)
        else:
            draft.scan(partition)
    missing = [i for i in schema.indexes_of(parent) if not _has_serving(schema, partition, i)]
    if missing or not implies_bound(found, above, operation.bound):
        draft.scan(partition)


def _has_serving(schema: Schema, partition: QualifiedName, parent: Index) -> bool:
    return any(i.partition_of is None and serves(i, parent) for i in schema.indexes_of(partition))


def _detach_partition(operation: op.DetachPartition, draft: _Draft) -> None:
    parent, partition = draft.known(operation.table), draft.known(operation.partition)
    schema = draft.schema
    if operation.concurrently or operation.finalize:
        draft.lock([parent], _SUE)
        draft.lock([partition], _AE if operation.finalize else _SUE)
    else:
        draft.lock([parent], _AE)
        draft.lock(draft.family(partition), _AE)
        default = schema.default_partition(parent)
        if default is not None:
            draft.lock([default.name], _AE)
    for target in _targets(schema, parent):
        draft.lock(_partition_tree(schema, target), _SRE)
    for other in _referencing(schema, parent):
        # Rows that point into the partition would be orphans: they are looked for.
        draft.lock([other], _AE)
        draft.scan(other)


# -- indexes ------------------------------------------------------------------------------------------------
def _create_index(operation: op.CreateIndex, draft: _Draft) -> None:
    table = draft.known(operation.table)
    name = operation.index.name
    draft.lock(
        [table] if operation.only else _partition_tree(draft.schema, table),
        _SUE if operation.concurrently else LockMode.SHARE,
    )
    exists = name is not None and QualifiedName(name, table.schema) in draft.schema.indexes
    if operation.if_not_exists and exists:
        return
    tree = set(_partition_tree(draft.schema, table))
    found = draft.schema.table(table)
    if not (operation.only and found is not None and found.partition_by):
        draft.scans.update(member for member in draft.stored(table) if member in tree)


def _drop_index(operation: op.DropIndex, draft: _Draft) -> None:
    index = draft.schema.indexes.get(operation.index)
    mode = _SUE if operation.concurrently else _AE
    if index is None:
        draft.lock([operation.index], mode)
        return
    draft.lock(_partition_tree(draft.schema, index.definition.table), mode)
    if operation.cascade:
        draft.lock((other.name for other, _ in foreign_keys_on(draft.schema, index)), _AE)


def _attach_index(draft: _Draft, parent: QualifiedName, part: QualifiedName) -> None:
    draft.lock([parent], _SUE)
    draft.lock([part], _AE)


def _reindex(operation: op.Reindex, draft: _Draft) -> None:
    schema, name = draft.schema, operation.name
    match operation.kind:
        case "index":
            found = schema.indexes.get(name) if name is not None else None
            indexes = [found] if found is not None else []
        case "table":
            tree = set(_partition_tree(schema, name)) if name is not None else set()
            indexes = [i for i in schema.indexes.values() if i.definition.table in tree]
        case "schema":
            wanted = name.name if name is not None else ""
            indexes = [i for i in schema.indexes.values() if i.definition.table.schema == wanted]
        case "database" | "system":
            indexes = list(schema.indexes.values())
    for index in indexes:
        table = schema.table(index.definition.table)
        if table is not None and table.partition_by is not None:
            continue
        draft.lock([index.definition.table], _SUE if operation.concurrently else LockMode.SHARE)
        if not operation.concurrently:
            # Weaker than it looks: planning any query takes ACCESS SHARE on every index of its tables.
            draft.lock([index.name], _AE)
        draft.rebuilds.add(index.name)
        draft.scans.add(index.definition.table)


# -- types, sequences, views, functions, schemas ------------------------------------------------------------
def _columns_of_type(schema: Schema, name: QualifiedName) -> Iterator[tuple[QualifiedName, str]]:
    spelled = (str(name), f"{name}[]")
    for table in list(schema.tables.values()):
        for column in table.columns:
            if column.type in spelled:
                yield table.name, column.name


def _alter_domain(operation: op.AlterDomain, draft: _Draft) -> None:
    added = operation.change == "add check" and operation.check is not None and not operation.check.not_valid
    if not (added or operation.change in ("set not null", "validate constraint")):
        return
    found = list(_columns_of_type(draft.schema, operation.domain))
    for table, _ in found:
        draft.lock([table], LockMode.SHARE)
        draft.scan(table)
    # A materialized view that takes such a column over by its name has one as well; of others nothing is known.
    for view in draft.schema.views.values():
        if view.materialized and any(
            column in (view.columns or ()) and (table, column) in view.uses for table, column in found
        ):
            draft.lock([view.name], LockMode.SHARE)
            draft.scan(view.name)


def _tables_drawing_from(schema: Schema, sequence: QualifiedName) -> Iterator[QualifiedName]:
    for table in schema.tables_drawing_from(sequence):
        for column in table.columns:
            if column.default is not None and sequence in sequences_in(column.default):
                yield table.name


def _tables_with_trigger(schema: Schema, function: QualifiedName) -> Iterator[QualifiedName]:
    for table in schema.tables.values():
        if any(trigger.function == function for trigger in table.trigger_list):
            yield table.name


def _tables_behind(draft: _Draft, relations: Iterable[QualifiedName]) -> Iterator[QualifiedName]:
    """The tables that a query over `relations` ends up reading, through views."""
    for relation in relations:
        name = draft.known(relation)
        view = draft.schema.views.get(name)
        if view is None or view.materialized:
            yield from draft.stored(name) if view is None else [name]
        else:
            yield from _tables_behind(draft, view.reads)


def _refresh(draft: _Draft, name: QualifiedName, *, concurrently: bool) -> None:
    draft.lock([name], LockMode.EXCLUSIVE if concurrently else _AE)
    view = draft.schema.views.get(name)
    if view is not None:
        draft.scans.update(_tables_behind(draft, view.reads))
    if not concurrently:
        draft.rewrites.add(name)
    if concurrently or any(draft.schema.indexes_of(name)):
        draft.scans.add(name)


def _drop_schema(draft: _Draft, namespace: str) -> None:
    schema = draft.schema
    for view in [v for v in schema.views if v.schema == namespace]:
        _drop_view(draft, view)
    for table in [t for t in schema.tables if t.schema == namespace]:
        _drop_table(draft, table)
    draft.lock((s for s in schema.sequences if s.schema == namespace), _AE)
    for kind in [t for t in (*schema.enums, *schema.domains) if t.schema == namespace]:
        for table, column in _columns_of_type(schema, kind):
            _drop_column(draft, table, column)


# -- data ---------------------------------------------------------------------------------------------------
def _change_rows(draft: _Draft, table: QualifiedName, *, whole: bool) -> None:
    draft.lock(draft.family(table), LockMode.ROW_EXCLUSIVE)
    if whole:
        draft.scan(table)


def _truncate(draft: _Draft, names: list[QualifiedName], *, cascade: bool) -> None:
    waiting, reached = list(names), set[QualifiedName]()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        waiting.extend(member for member in draft.family(name) if member != name)
        if cascade:
            waiting.extend(other.name for other, _ in draft.schema.foreign_keys_to(name))
    draft.lock(reached, _AE)
    for name in reached:
        found = draft.schema.table(name)
        if found is None or found.partition_by is None:
            draft.rewrites.add(name)


def _query(operation: op.Query, draft: _Draft) -> None:
    if operation.row_locks:
        draft.lock(_tables_behind(draft, operation.reads), LockMode.ROW_SHARE)
    if {"nextval", "setval"} & set(operation.functions):
        named = {str(name): name for name in draft.schema.sequences}
        draft.lock((named[text] for text in operation.literals if text in named), LockMode.ROW_EXCLUSIVE)


def _published(draft: _Draft, name: QualifiedName) -> list[QualifiedName]:
    """A publication takes children by INHERITS along; partitions it reaches without a lock."""
    table = draft.known(name)
    found = draft.schema.table(table)
    return [table] if found is not None and found.partition_by is not None else draft.family(table)


def _locked_with(draft: _Draft, name: QualifiedName) -> Iterator[QualifiedName]:
    """LOCK TABLE reaches partitions and children, and through views."""
    view = draft.schema.views.get(name)
    if view is None:
        yield from draft.family(name)
        return
    yield name
    for read in view.reads:
        yield from _locked_with(draft, read)


# -- the rest -----------------------------------------------------------------------------------------------
_OTHER_LOCKS = {
    "COMMENT": _SUE,
    "ANALYZE": _SUE,
    "VACUUM": _SUE,
    "CREATE STATISTICS": _SUE,
    "ALTER INDEX": _SUE,
    "MERGE": LockMode.ROW_EXCLUSIVE,
    "VACUUM FULL": _AE,
    "CLUSTER": _AE,
    "CREATE RULE": _AE,
    "DROP RULE": _AE,
    "RENAME RULE": _AE,
    "ALTER SEQUENCE": _AE,
    "ALTER SEQUENCE OWNER": _AE,
    "ALTER VIEW": _AE,
    "ALTER VIEW OWNER": _AE,
    "ALTER MATERIALIZED VIEW": _AE,
    "ALTER MATERIALIZED VIEW OWNER": _AE,
    "ALTER FOREIGN TABLE": _AE,
    "ALTER FOREIGN TABLE OWNER": _AE,
    "RENAME COLUMN": _AE,
    "DROP FOREIGN TABLE": _AE,
}
_OPAQUE = frozenset({"CALL", "EXECUTE"})
_WITH_PARTITIONS = frozenset({"ANALYZE", "VACUUM", "VACUUM FULL", "MERGE"})


def _other(operation: op.Other, draft: _Draft) -> None:
    draft.opaque = operation.kind in _OPAQUE
    mode = _OTHER_LOCKS.get(operation.kind)
    if mode is None or operation.target is None:
        return
    target = draft.known(operation.target)
    draft.lock(draft.family(target) if operation.kind in _WITH_PARTITIONS else [target], mode)
    if operation.kind in ("VACUUM FULL", "CLUSTER"):
        draft.rewrite(target)
