"""What a recipe has to know of the table it changes, and the refusals that every recipe shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from evolve.errors import Misuse, Refused
from evolve.plan.model import SYNC_TRIGGER
from evolve.sql.names import QualifiedName, quote
from evolve.sql.parse import ExpressionNotRead, expression
from evolve.sql.volatility import volatile_functions

ConstraintKind = Literal["check", "unique", "foreign key", "primary key", "exclude"]
DependentKind = Literal[
    "view",
    "generated column",
    "partition key",
    "publication",
    "policy",
    "trigger",
    "trigger function",
    "statistics",
    "function",
    "inbound foreign key",
    "sequence",
    "other",
]


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column.

    Args:
        type: as `format_type` writes it, without schema `public`.
        default: its SQL; `default_constant`: it is a literal, the same for every row.
        collation: SQL of a collation that is not the type's own.
        enum: its type is an enumeration.
        grants: (privilege, grantee, with grant option), of grants on this column alone.
        sequence: the one that its identity or its default takes numbers from.
        always: it is GENERATED ALWAYS AS IDENTITY.
        generation: SQL of the expression that computes it; `virtual`: on reading (PostgreSQL 18), not on writing.
    """

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    default_constant: bool = True
    collation: str | None = None
    enum: bool = False
    identity: bool = False
    generated: bool = False
    comment: str | None = None
    grants: tuple[tuple[str, str, bool], ...] = ()
    sequence: QualifiedName | None = None
    always: bool = False
    generation: str | None = None
    virtual: bool = False

    @property
    def default_steady(self) -> bool:
        """Its default, as now(), is the same wherever one statement asks for it: so it can be told from a value that a
        writer gave. Not so nextval('…') and gen_random_uuid().
        """
        if self.default is None or self.default_constant:
            return True
        try:
            read = expression(self.default)
        except ExpressionNotRead:
            return False
        return not (read.columns or read.query or volatile_functions(read))


@dataclass(frozen=True, slots=True)
class TargetConstraint:
    """A constraint.

    Args:
        definition: what follows ADD CONSTRAINT name, e.g. "CHECK (length(name) > 0)".
        columns: every column of the table it mentions.
        index: name of the index that backs it.
    """

    name: str
    kind: ConstraintKind
    definition: str
    columns: tuple[str, ...]
    validated: bool = True
    index: str | None = None


@dataclass(frozen=True, slots=True)
class TargetIndex:
    """An index; `columns` are all that keys, INCLUDE, expressions and predicate mention."""

    name: str
    definition: str  # its CREATE INDEX
    columns: tuple[str, ...]
    unique: bool = False
    valid: bool = True
    constraint: str | None = None


@dataclass(frozen=True, slots=True)
class TargetTrigger:
    name: str
    before_row: bool


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something beside indexes and constraints of the table that needs `column`."""

    column: str
    kind: DependentKind
    description: str  # e.g. 'view active_users'


@dataclass(frozen=True, slots=True)
class Target:
    """A table as it is before a change.

    Args:
        rows: the planner's estimate; None where it is not known.
        source: the live catalog, or the schema that replaying the revisions gives.
        published: names of publications that send the table to other servers.
        referenced_by: tables whose foreign keys point to this one; it may be among them itself.
        owner: the role; None where it is not known.
        grants: (privilege, grantee, with grant option), of grants on the whole table, the owner's own left out.
        row_security: row level security is enabled.
        forced_row_security: it holds for the owner too.
        partitions: those right below it, in the order of their names.
    """

    table: QualifiedName
    columns: tuple[TargetColumn, ...]
    constraints: tuple[TargetConstraint, ...] = ()
    indexes: tuple[TargetIndex, ...] = ()
    triggers: tuple[TargetTrigger, ...] = ()
    dependents: tuple[Dependent, ...] = ()
    rows: int | None = None
    bytes: int | None = None
    partitioned: bool = False
    partition_of: str | None = None
    inherits: bool = False  # it has parents or children through INHERITS
    published: tuple[str, ...] = ()
    server_version: int | None = None  # as 150018
    source: Literal["database", "revisions"] = "database"
    referenced_by: tuple[QualifiedName, ...] = ()
    owner: str | None = None
    grants: tuple[tuple[str, str, bool], ...] = ()
    comment: str | None = None
    row_security: bool = False
    partitions: tuple[QualifiedName, ...] = ()
    forced_row_security: bool = False

    # -- questions ------------------------------------------------------------------------------------------
    def column(self, name: str) -> TargetColumn | None:
        return next((column for column in self.columns if column.name == name), None)

    def constraint(self, name: str) -> TargetConstraint | None:
        return next((constraint for constraint in self.constraints if constraint.name == name), None)

    def constraints_on(self, column: str) -> Iterator[TargetConstraint]:
        return (constraint for constraint in self.constraints if column in constraint.columns)

    def indexes_on(self, column: str) -> Iterator[TargetIndex]:
        return (index for index in self.indexes if column in index.columns)

    def dependents_of(self, column: str) -> Iterator[Dependent]:
        return (dependent for dependent in self.dependents if dependent.column == column)

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of the primary key, else of a valid unique index over columns that are all NOT NULL."""
        primary = next((c for c in self.constraints if c.kind == "primary key"), None)
        if primary is not None:
            return primary.columns
        for index in self.indexes:
            known = [self.column(name) for name in index.columns]
            plain = index.unique and index.valid and " WHERE " not in index.definition
            if plain and all(column is not None and column.not_null for column in known):
                return index.columns
        return ()

    @property
    def other_key(self) -> tuple[str, ...] | None:
        """`key` where it is not the primary key, which a backfill finds by itself."""
        return None if any(c.kind == "primary key" for c in self.constraints) else self.key

    # -- the table as it would be ---------------------------------------------------------------------------
    def without_column(self, name: str) -> Target:
        """The table before `name` was added, with all that hangs on it."""
        return replace(
            self,
            columns=tuple(column for column in self.columns if column.name != name),
            constraints=tuple(c for c in self.constraints if name not in c.columns),
            indexes=tuple(index for index in self.indexes if name not in index.columns),
            dependents=tuple(d for d in self.dependents if d.column != name),
        )

    def without_trigger(self, name: str) -> Target:
        return replace(self, triggers=tuple(trigger for trigger in self.triggers if trigger.name != name))

    def without_constraint(self, name: str) -> Target:
        return replace(self, constraints=tuple(c for c in self.constraints if c.name != name))

    def with_column(self, column: TargetColumn) -> Target:
        """The table with the column of that name replaced."""
        return replace(
            self, columns=tuple(column if known.name == column.name else known for known in self.columns)
        )


# -- refusals -----------------------------------------------------------------------------------------------
class UnknownColumn(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        names = ", ".join(f'"{known.name}"' for known in target.columns)
        super().__init__(
            f'table "{target.table.plain}" has no column "{column}"',
            fix=f"name one of {names}" if names else "check the table's name",
        )


class ColumnExists(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'table "{target.table.plain}" has a column "{column}" already',
            fix="choose another name, or drop that column first",
        )


class NotAPlainTable(Refused):
    def __init__(self, target: Target, what: str) -> None:
        super().__init__(
            f'table "{target.table.plain}" {what}',
            why="a column added to one table of such a family must reach the others in the same statement, "
            "and this recipe changes one table at a time",
            fix="change it by hand with revisions that `evolve lint` passes",
        )


class NoKey(Refused):
    def __init__(self, target: Target) -> None:
        super().__init__(
            f'table "{target.table.plain}" has no primary key and no unique NOT NULL index',
            why="a backfill resumes after the last key it committed, so rows need a unique order",
            fix="give it a primary key first, in revisions of its own",
        )


class LaterTrigger(Refused):
    def __init__(self, target: Target, trigger: str, ours: str) -> None:
        super().__init__(
            f'trigger "{trigger}" on "{target.table.plain}" would fire after the sync trigger "{ours}"',
            why="row triggers fire in the order of their names, and what a later one changes would be "
            "missing on the other side",
            fix=f"rename it, e.g. ALTER TRIGGER {quote(trigger)} ON {target.table} RENAME TO "
            f"{quote('a_' + trigger)}",
        )


class InTheWay(Refused):
    """Something that depends on the column and that the recipe cannot carry over."""

    def __init__(self, target: Target, column: str, what: str, why: str, fix: str) -> None:
        super().__init__(f'column "{column}" of "{target.table.plain}" is used by {what}', why=why, fix=fix)


def known_column(target: Target, name: str) -> TargetColumn:
    """The column of that name, or `UnknownColumn`."""
    column = target.column(name)
    if column is None:
        raise UnknownColumn(target, name)
    return column


def refuse_family(target: Target) -> None:
    """Raise `NotAPlainTable` for partitioned tables, partitions and inheritance."""
    if target.partitioned:
        raise NotAPlainTable(target, "is partitioned")
    if target.partition_of is not None:
        raise NotAPlainTable(target, f'is a partition of "{target.partition_of}"')
    if target.inherits:
        raise NotAPlainTable(target, "takes part in inheritance")


def refuse_members(target: Target) -> None:
    """Raise `NotAPlainTable` for partitions and inheritance.

    A partitioned table hands ALTER COLUMN and ADD COLUMN on to its partitions by itself, under one lock each.
    """
    refuse_family(replace(target, partitioned=False))


def refuse_later_triggers(target: Target, ours: str) -> None:
    """Raise `LaterTrigger` where an own row trigger of the table would fire after `ours`.

    That of another change in flight may: neither touches a column that the other reads or writes.
    """
    for trigger in target.triggers:
        if trigger.name.startswith(SYNC_TRIGGER):
            continue
        # PostgreSQL compares the bytes of the names.
        if trigger.before_row and trigger.name.encode() > ours.encode():
            raise LaterTrigger(target, trigger.name, ours)
