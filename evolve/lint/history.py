"""What is known just before a step: the schema, what is not in use yet, and what the open transaction has
done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from evolve.compat.models import Models
from evolve.lint.facts import Facts
from evolve.lint.steps_taken import StepsTaken
from evolve.lint.thresholds import Thresholds
from evolve.sql import operations as op
from evolve.sql.effects import Effect, effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Schema
from evolve.sql.steps import Remark, Step

OLDEST_SUPPORTED = 14
NEWEST_SUPPORTED = 18


@dataclass(slots=True)
class Transaction:
    """What the open transaction has done before the step; empty in autocommit mode.

    Args:
        ordinal: as in `CapturedStatement.transaction`; None in autocommit mode.
        locks: the strongest lock kept on each relation that is in use, and the step that took it.
        not_valid: constraints added NOT VALID, by table and name.
        enum_values: values added to enums that other transactions can see.
    """

    ordinal: int | None = None
    locks: dict[QualifiedName, tuple[LockMode, Step]] = field(default_factory=dict)
    not_valid: dict[tuple[QualifiedName, str], Step] = field(default_factory=dict)
    created_types: set[QualifiedName] = field(default_factory=set)
    enum_values: dict[tuple[QualifiedName, str], Step] = field(default_factory=dict)

    def strongest(self) -> tuple[QualifiedName, LockMode, Step] | None:
        """The strongest lock that is kept, the earliest of equals."""
        found = max(self.locks.items(), key=lambda item: item[1][0], default=None)
        return None if found is None else (found[0], *found[1])


@dataclass(slots=True)
class History:
    """`advance.py` moves it from step to step; rules only read it.

    Args:
        schema: before the step.
        postgres_version: the oldest major version that the revisions must run on.
        new_tables: tables and views made by revisions that are not applied yet, so that no traffic uses them.
        new_columns: columns added to older tables by such revisions.
        new_indexes: indexes made by such revisions, also those of constraints, and the step that made each.
        freed_functions: those of triggers that such revisions dropped, alone or with their tables.
        clauses: all operations of the statement that the step belongs to, in their order.
        steps: every step of the revisions that are applied together, up to and without this one.
        revision: all steps of the revision; this one stands at `position`.
        gated: the revision is the contract or purge phase of a change and opens with the gate that evolve wrote.
        remarks: what its statements do not tell of the revision.
        dropped_indexes: indexes that such revisions drop, each as it was and with the step.
        planned: ids of the revisions looked at so far that are phases of a change planned by evolve.
        old_models: those of the release that runs before these revisions; None where they are not known.
        new_models: those of the release that goes with the schema after them.
        facts: sizes and write rates of a live database; None where they are not given.
        required_columns: those that the project wants every table to have.
        premade: tables that the settings name partitions ahead for, as they are written there.
        effects: what is known of this step and of later ones, by the identity of their operations; see `effect`.
        thresholds: where its small tables end and its hot ones begin.
    """

    schema: Schema
    postgres_version: int = OLDEST_SUPPORTED
    new_tables: set[QualifiedName] = field(default_factory=set)
    new_columns: set[tuple[QualifiedName, str]] = field(default_factory=set)
    new_indexes: dict[QualifiedName, Step] = field(default_factory=dict)
    freed_functions: set[QualifiedName] = field(default_factory=set)
    transaction: Transaction = field(default_factory=Transaction)
    clauses: tuple[op.Operation, ...] = ()
    steps: StepsTaken = field(default_factory=StepsTaken)
    revision: Sequence[Step] = ()
    position: int = 0
    gated: bool = False
    remarks: tuple[Remark, ...] = ()
    planned: set[str] = field(default_factory=set)
    dropped_indexes: dict[QualifiedName, tuple[op.IndexDefinition, Step]] = field(default_factory=dict)
    old_models: Models | None = None
    new_models: Models | None = None
    facts: Facts | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    required_columns: tuple[str, ...] = ("id",)
    premade: frozenset[str] = frozenset()
    effects: dict[int, tuple[op.Operation, Effect]] = field(default_factory=dict, repr=False)

    # -- questions that rules ask ----------------------------------------------------------------------------
    def in_use(self, table: QualifiedName) -> bool:
        """True unless a revision that is not applied yet made the table; one that nobody made is in use."""
        if table.schema == "public" and QualifiedName(table.name, "pg_temp") in self.schema.tables:
            return False  # a temporary table hides one of public, and no other session sees it
        return table not in self.new_tables

    def column_in_use(self, table: QualifiedName, column: str) -> bool:
        return self.in_use(table) and (table, column) not in self.new_columns

    def adds(self, operation: op.AddColumn) -> bool:
        """True where a table in use gets a column that it does not have."""
        there = self.schema.column(operation.table, operation.column.name) is not None
        return self.in_use(operation.table) and not (operation.if_not_exists and there)

    def unmapped(self, table: QualifiedName, column: str | None = None) -> bool:
        """True where the models of the previous release are known, and leave the column or the table out."""
        if self.old_models is None:
            return False
        mapped = (
            self.old_models.maps_table(table)
            if column is None
            else self.old_models.maps_column(table, column)
        )
        return mapped is False

    def may_write_null(self, table: QualifiedName, column: str) -> bool:
        """False where the previous release's models say that the column is never null."""
        mapped = [] if self.old_models is None else list(self.old_models.columns(table, column))
        return not mapped or any(not found.static or found.nullable for _, found in mapped)

    def proves_not_null(self, table: QualifiedName, column: str) -> bool:
        """True where SET NOT NULL reads no row."""
        return self.without_dropped(table).proves_not_null(table, column)

    def without_dropped(self, table: QualifiedName) -> Schema:
        """The schema without those constraints of `table` that go in the same statement, wherever in it that stands:
        PostgreSQL drops them before it looks for a proof.
        """
        dropped = {
            clause.name
            for clause in self.clauses
            if isinstance(clause, op.DropConstraint) and clause.table == table
        }
        found = self.schema.table(table)
        if not dropped or found is None:
            return self.schema
        left = tuple(constraint for constraint in found.constraints if constraint.name not in dropped)
        schema = self.schema.copy()
        schema.tables[table] = replace(found, constraints=left)
        return schema

    def effect(self, operation: op.Operation) -> Effect:
        """What `operation` does to the schema as it is now; several rules ask for the same step."""
        if id(operation) not in self.effects:
            self.effects[id(operation)] = operation, effect(operation, self.schema, self.postgres_version)
        return self.effects[id(operation)][1]

    def later(self) -> Iterator[Step]:
        """The steps of the same revision that come after this one."""
        return islice(self.revision, self.position + 1, None)
