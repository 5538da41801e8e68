"""What a database looks like: the one model that replayed revisions and a live catalog are both read into.

Values are frozen and shared; a `Schema` is a set of dictionaries over them, so that `copy()` is cheap. `replay`
changes one as SQL would, `postgres.catalog` reads one from a server, `differences` compares two.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import field
from typing import Literal

from evolve.sql.grouped import Grouped
from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    Body,
    Check,
    Constraint,
    Expression,
    ForeignKey,
    IndexDefinition,
    NotNull,
    PartitionBy,
    PrimaryKey,
)
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str  # as format_type() writes it
    not_null: bool = False
    default: Expression | None = None
    generated: Literal["stored", "virtual"] | None = None
    identity: Literal["always", "by default"] | None = None
    collation: str | None = None
    generation: Expression | None = None
    # False where it is there only because a parent has it: then it goes when the parent's goes.
    local: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Trigger:
    """`row`: FOR EACH ROW; such a trigger of a partitioned table has a twin on each partition."""

    name: str
    function: QualifiedName
    row: bool = True


@dataclass(frozen=True, slots=True)
class Published:
    """That a publication names the table; `columns` is None where it sends all of them."""

    publication: str
    columns: tuple[str, ...] | None = None
    row_filter: Expression | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, partitioned or not.

    Args:
        columns: in attribute order; a column's type is "" where an implied table's statements never tell it.
        constraints: each with its name, as given or as PostgreSQL would choose it; `not_valid` is False once
            validated. A valid NOT NULL is `Column.not_null` and stands here only if the user named it.
        inherits: parents by INHERITS; a partition's parent is `partition_of`.
        implied: columns may be missing: the table was made from a query, or the history never created it and
            it is known only from statements that use it.
        managed_by: the extension that was told to look after its partitions or shards.
        published: publications that name it, as far as revisions made them.
        policies: of row-level security, by name, as far as revisions made them.
        tablespace: as far as revisions tell; the database's own is taken to be pg_default.
        access_method: as far as revisions tell; the database's own is taken to be heap.
    """

    name: QualifiedName
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    partition_by: PartitionBy | None = None
    partition_of: QualifiedName | None = None
    bound: str | None = None
    trigger_list: tuple[Trigger, ...] = ()
    implied: bool = False
    inherits: tuple[QualifiedName, ...] = ()
    unlogged: bool = False
    managed_by: str | None = field(default=None, compare=False)
    published: tuple[Published, ...] = field(default=(), compare=False)
    policies: tuple[str, ...] = field(default=(), compare=False)
    tablespace: str = field(default="pg_default", compare=False)
    access_method: str = field(default="heap", compare=False)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def constraint(self, name: str) -> Constraint | None:
        return next((constraint for constraint in self.constraints if constraint.name == name), None)

    @property
    def triggers(self) -> tuple[str, ...]:
        return tuple(trigger.name for trigger in self.trigger_list)

    @property
    def primary_key(self) -> PrimaryKey | None:
        return next((c for c in self.constraints if isinstance(c, PrimaryKey)), None)

    @property
    def foreign_keys(self) -> tuple[ForeignKey, ...]:
        return tuple(c for c in self.constraints if isinstance(c, ForeignKey))


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a table or of a materialized view; its schema is that of its table.

    Args:
        definition: its `name` is always set.
        valid: False while it is built concurrently or after that failed, and for an index of a partitioned
            table that some partition still lacks.
        constraint: name of the PRIMARY KEY, UNIQUE or EXCLUDE constraint it backs.
        partition_of: the index of the partitioned table that this one is a part of.
    """

    definition: IndexDefinition
    valid: bool = True
    constraint: str | None = None
    partition_of: QualifiedName | None = None

    @property
    def name(self) -> QualifiedName:
        return QualifiedName(self.definition.name or "", self.definition.table.schema)


@dataclass(frozen=True, slots=True)
class Enum:
    name: QualifiedName
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    name: QualifiedName
    base: str
    not_null: bool = False
    checks: tuple[Check, ...] = ()
    default: Expression | None = None

    @property
    def constrained(self) -> bool:
        """A column of a constrained domain makes ADD COLUMN rewrite the table."""
        return self.not_null or bool(self.checks)


@dataclass(frozen=True, slots=True)
class View:
    """A view or materialized view.

    Args:
        reads: relations it depends on.
        uses: (relation, column) pairs it depends on: these columns cannot change their type or be dropped alone.
        columns: its own columns; None where its text does not tell them.
        populated: False where it was made, or last refreshed, WITH NO DATA, so that nobody can read it.
    """

    name: QualifiedName
    materialized: bool = False
    reads: tuple[QualifiedName, ...] = ()
    uses: frozenset[tuple[QualifiedName, str]] = frozenset()
    columns: tuple[str, ...] | None = None
    populated: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Sequence:
    name: QualifiedName
    type: str = "bigint"
    owned_by: tuple[QualifiedName, str] | None = None


# -- what each kind of value can be found by ------------------------------------------------------------------
def _groups_of_table(table: Table) -> Iterator[Hashable]:
    if table.partition_of is not None:
        yield "part of", table.partition_of
    for parent in {table.partition_of, *table.inherits} - {None}:
        yield "below", parent
    for constraint in table.constraints:
        yield "constraint", table.name.schema, constraint.name
        if isinstance(constraint, ForeignKey):
            yield "refers to", constraint.target
    for column in table.columns:
        if column.default is not None and not _OF_SEQUENCES.isdisjoint(column.default.functions):
            for text in _LITERAL.findall(column.default.sql):
                yield "draws from", _loosely(text.replace("''", "'"))


def _groups_of_index(index: Index) -> Iterator[Hashable]:
    yield "of", index.definition.table
    if index.partition_of is not None:
        yield "part of", index.partition_of


def _groups_of_view(view: View) -> Iterator[Hashable]:
    for relation in view.reads:
        yield "reads", relation
    for relation, _ in view.uses:
        yield "uses", relation


def _groups_of_sequence(sequence: Sequence) -> Iterator[Hashable]:
    if sequence.owned_by is not None:
        yield "owned by", sequence.owned_by[0]


def _groups_of_domain(domain: Domain) -> Iterator[Hashable]:
    yield "spelled", str(domain.name)
    for check in domain.checks:
        yield "constraint", domain.name.schema, check.name


def _groups_of_enum(enum: Enum) -> Iterator[Hashable]:
    yield "spelled", str(enum.name)


_OF_SEQUENCES = frozenset({"nextval", "currval", "setval"})
_LITERAL = re.compile(r"'((?:[^']|'')*)'")


def _loosely(text: str) -> str:
    """A name as text without schema and quotes: alike for all spellings of one name, and for a few others."""
    return text.replace('"', "").rpartition(".")[2].lower()


@dataclass(slots=True)
class Schema:
    schemas: set[str] = field(default_factory=lambda: {"public"})
    tables: Grouped[Table] = field(default_factory=lambda: Grouped(_groups_of_table))
    indexes: Grouped[Index] = field(default_factory=lambda: Grouped(_groups_of_index))
    enums: Grouped[Enum] = field(default_factory=lambda: Grouped(_groups_of_enum))
    domains: Grouped[Domain] = field(default_factory=lambda: Grouped(_groups_of_domain))
    views: Grouped[View] = field(default_factory=lambda: Grouped(_groups_of_view))
    sequences: Grouped[Sequence] = field(default_factory=lambda: Grouped(_groups_of_sequence))
    # What a call may run, of functions made by the history: a live catalog is not asked for them.
    functions: dict[QualifiedName, Body] = field(default_factory=dict, compare=False)
    # Publications that name no tables: the schemas whose tables they send; None is FOR ALL TABLES.
    publishing: dict[str, frozenset[str] | None] = field(default_factory=dict, compare=False)
    # Why there may be more than is known: "statement" and "revision", where not all of one was read.
    gaps: set[str] = field(default_factory=set, compare=False)
    # Those that the history makes: others may be there, made by hand.
    extensions: set[str] = field(default_factory=set, compare=False)

    # -- questions ------------------------------------------------------------------------------------------
    def table(self, name: QualifiedName) -> Table | None:
        return self.tables.get(name)

    def lacks(self, name: QualifiedName) -> bool:
        """True where nothing is called so in any schema, and all that there is was made by statements that were read.

        A history that does not start from empty names tables that it has not made; one without tables tells nothing.
        """
        permanent = [table for table in self.tables.values() if table.name.schema != "pg_temp"]
        if self.gaps or not permanent or any(table.implied for table in permanent):
            return False
        return all(
            known.name != name.name for known in (*self.tables, *self.views, *self.sequences, *self.indexes)
        )

    def column(self, table: QualifiedName, column: str) -> Column | None:
        found = self.tables.get(table)
        return found.column(column) if found else None

    def indexes_of(self, table: QualifiedName) -> Iterator[Index]:
        return iter(self.indexes.group(("of", table)))

    def parts_of_index(self, index: QualifiedName) -> Iterator[Index]:
        """The indexes of partitions that make up an index of a partitioned table, one level down."""
        return iter(self.indexes.group(("part of", index)))

    def partitions_of(self, table: QualifiedName) -> Iterator[Table]:
        return iter(self.tables.group(("part of", table)))

    def children_of(self, table: QualifiedName) -> Iterator[Table]:
        """Its partitions and the tables that inherit from it, one level down."""
        return iter(self.tables.group(("below", table)))

    def family(self, table: QualifiedName) -> Iterator[Table]:
        """The table itself, where it is known, and everything below it: what an ALTER of it reaches."""
        found = self.tables.get(table)
        if found is None:
            return
        yield found
        for child in self.children_of(table):
            yield from self.family(child.name)

    def default_partition(self, table: QualifiedName) -> Table | None:
        return next((child for child in self.partitions_of(table) if child.bound == "DEFAULT"), None)

    def is_enum(self, type_: str) -> bool:
        return bool(self.enums.group(("spelled", type_)))

    def domain(self, type_: str) -> Domain | None:
        """The domain that a column's type names, if it is one."""
        return next(iter(self.domains.group(("spelled", type_))), None)

    def foreign_keys_to(self, table: QualifiedName) -> Iterator[tuple[Table, ForeignKey]]:
        referring = self.tables.group(("refers to", table))
        return ((t, key) for t in referring for key in t.foreign_keys if key.target == table)

    def views_reading(self, relation: QualifiedName) -> Iterator[View]:
        return iter(self.views.group(("reads", relation)))

    def views_using(self, relation: QualifiedName, column: str) -> Iterator[View]:
        """The views that read this very column of it."""
        return (view for view in self.views.group(("uses", relation)) if (relation, column) in view.uses)

    def sequences_of(self, table: QualifiedName, column: str | None = None) -> Iterator[Sequence]:
        """The sequences that the table owns, or one column of it."""
        owned = self.sequences.group(("owned by", table))
        return (s for s in owned if column is None or s.owned_by == (table, column))

    def tables_drawing_from(self, sequence: QualifiedName) -> Iterator[Table]:
        """The tables with a default that may draw from it: all that do, and now and then one more."""
        return iter(self.tables.group(("draws from", _loosely(sequence.name))))

    def constraint_named(self, namespace: str, name: str) -> bool:
        """True where a table or a domain of the schema `namespace` has a constraint of that name."""
        key = ("constraint", namespace, name)
        return bool(self.tables.group(key) or self.domains.group(key))

    def publications_of(self, table: QualifiedName) -> Iterator[Published]:
        """Those that send the table's changes, by its own name, that of a table above it, or with all others."""
        at = self.tables.get(table)
        while at is not None:
            yield from at.published
            at = self.tables.get(at.partition_of) if at.partition_of is not None else None
        for name, schemas in self.publishing.items():
            if schemas is None or table.schema in schemas:
                yield Published(name)

    def proves_not_null(self, table: QualifiedName, column: str) -> bool:
        """True where PostgreSQL itself knows that no row has a null there, so that SET NOT NULL does not scan.

        That is: NOT NULL already, a primary key, or a validated CHECK that implies it.
        """
        found = self.tables.get(table)
        if found is None:
            return False
        known = found.column(column)
        if known is not None and known.not_null:
            return True
        return any(_proves(constraint, column) for constraint in found.constraints)

    def copy(self) -> Schema:
        return Schema(
            set(self.schemas),
            self.tables.copy(),
            self.indexes.copy(),
            self.enums.copy(),
            self.domains.copy(),
            self.views.copy(),
            self.sequences.copy(),
            dict(self.functions),
            dict(self.publishing),
            set(self.gaps),
            set(self.extensions),
        )


def _proves(constraint: Constraint, column: str) -> bool:
    match constraint:
        case PrimaryKey(columns=columns):
            return column in columns
        case NotNull(column=name, not_valid=False):
            return name == column
        case Check(expression=expression, not_valid=False):
            return column in expression.not_null_columns
        case _:
            return False
