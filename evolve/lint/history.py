"""What is known just before a step: the schema, what is not in use yet, and what the open transaction has
done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.parse import GATE_KIND
from evolve.sql.replay import apply
from evolve.sql.schema import Schema, Table
from evolve.sql.steps import Recording, Step

OLDEST_SUPPORTED = 14


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
    """The engine advances it from step to step; rules only read it.

    Args:
        schema: before the step.
        postgres_version: the oldest major version that the revisions must run on.
        new_tables: tables and views made by revisions that are not applied yet, so that no traffic uses them.
        new_columns: columns added to older tables by such revisions.
        new_indexes: indexes made by such revisions, also those of constraints, and the step that made each.
        clauses: all operations of the statement that the step belongs to, in their order.
        steps: every step of the revisions that are applied together, up to and without this one.
        revision: all steps of the revision; this one stands at `position`.
        gated: the revision is the contract phase of a change and opens with the gate that evolve wrote.
    """

    schema: Schema
    postgres_version: int = OLDEST_SUPPORTED
    new_tables: set[QualifiedName] = field(default_factory=set)
    new_columns: set[tuple[QualifiedName, str]] = field(default_factory=set)
    new_indexes: dict[QualifiedName, Step] = field(default_factory=dict)
    transaction: Transaction = field(default_factory=Transaction)
    clauses: tuple[op.Operation, ...] = ()
    steps: list[Step] = field(default_factory=list)
    revision: Sequence[Step] = ()
    position: int = 0
    gated: bool = False

    # -- questions that rules ask ----------------------------------------------------------------------------
    def in_use(self, table: QualifiedName) -> bool:
        """True unless the table was made by a revision that is not applied yet: a table nobody made is in
        use.
        """
        return table not in self.new_tables

    def column_in_use(self, table: QualifiedName, column: str) -> bool:
        return self.in_use(table) and (table, column) not in self.new_columns

    def proves_not_null(self, table: QualifiedName, column: str) -> bool:
        """True where SET NOT NULL reads no row.

        PostgreSQL drops constraints before it looks for a proof, so one that goes in the same statement
        proves nothing.
        """
        dropped = {
            clause.name
            for clause in self.clauses
            if isinstance(clause, op.DropConstraint) and clause.table == table
        }
        if not dropped:
            return self.schema.proves_not_null(table, column)
        schema = self.schema.copy()
        for name in dropped:
            apply(schema, op.DropConstraint(table, name, if_exists=True))
        return schema.proves_not_null(table, column)

    def later(self) -> Iterator[Step]:
        """The steps of the same revision that come after this one."""
        return islice(self.revision, self.position + 1, None)

    # -- what the engine does --------------------------------------------------------------------------------
    def open(self, recording: Recording, steps: Sequence[Step]) -> None:
        """Begin a revision."""
        self.revision = steps
        self.position = -1
        opening = next((s.operation for s in steps if not isinstance(s.operation, op.SetParameter)), None)
        guarded = isinstance(opening, op.Other) and opening.kind == GATE_KIND
        self.gated = guarded and dict(recording.metadata).get("phase") == "contract"

    def release(self) -> None:
        """Forget what was new: all that ran so far is applied and in use."""
        self.new_tables.clear()
        self.new_columns.clear()
        self.new_indexes.clear()
        self.steps.clear()
        self.transaction = Transaction()

    def enter(self, step: Step, clauses: tuple[op.Operation, ...]) -> None:
        """Stand before `step`, in the transaction it runs in."""
        self.clauses = clauses
        self.position += 1
        if step.transaction is None or step.transaction != self.transaction.ordinal:
            self.transaction = Transaction(step.transaction)

    def advance(self, step: Step) -> None:
        """Let `step` happen."""
        operation = step.operation
        if step.transaction is not None:
            self._remember_locks(step)
        invalid_before = self._not_valid(operation)
        unknown = self._creates_unknown(operation)
        indexes_before = len(self.schema.indexes)
        apply(self.schema, operation)
        if unknown is not None:
            self.new_tables.add(unknown)
        self._remember_new(operation, step)
        # A dictionary keeps the order of insertion: what was just made stands at its end.
        for index in islice(reversed(self.schema.indexes), max(len(self.schema.indexes) - indexes_before, 0)):
            self.new_indexes[index] = step
        for key in self._not_valid(operation) - invalid_before:
            self.transaction.not_valid[key] = step
        self.steps.append(step)

    def _remember_locks(self, step: Step) -> None:
        for relation, mode in effect(step.operation, self.schema, self.postgres_version).locks:
            kept = self.transaction.locks.get(relation)
            if self.in_use(relation) and (kept is None or kept[0] < mode):
                self.transaction.locks[relation] = (mode, step)

    def _not_valid(self, operation: op.Operation) -> set[tuple[QualifiedName, str]]:
        if not isinstance(operation, op.AddConstraint):
            return set()
        table = self.schema.table(operation.table)
        return set(_not_valid_constraints(table)) if table else set()

    def _creates_unknown(self, operation: op.Operation) -> QualifiedName | None:
        match operation:
            # IF NOT EXISTS and OR REPLACE may meet one that is in use.
            case op.CreateTable(table=name) | op.CreateView(view=name):
                return None if name in self.schema.tables or name in self.schema.views else name
            case _:
                return None

    def _remember_new(self, operation: op.Operation, step: Step) -> None:
        match operation:
            case op.CreateEnum(type=name) | op.CreateDomain(domain=name):
                self.transaction.created_types.add(name)
            case op.AddEnumValue(type=name, value=value) if name not in self.transaction.created_types:
                self.transaction.enum_values[name, value] = step
            case op.TransactionControl(action="commit" | "rollback"):
                self.transaction = Transaction(step.transaction)
            case op.AddColumn(table=table, column=column):
                self.new_columns.add((table, column.name))
            case op.RenameColumn(table=table, column=old, to=new) if (table, old) in self.new_columns:
                self.new_columns.remove((table, old))
                self.new_columns.add((table, new))
            case op.RenameTable(table=table, to=new_name) | op.RenameView(view=table, to=new_name):
                self._rename(table, QualifiedName(new_name, table.schema))
            case op.MoveToSchema(name=table, to_schema=new_schema):
                self._rename(table, QualifiedName(table.name, new_schema))
            case op.RenameIndex(index=index, to=new_name) if index in self.new_indexes:
                self.new_indexes[QualifiedName(new_name, index.schema)] = self.new_indexes.pop(index)
            case op.DropTable(table=table) | op.DropView(view=table):
                self.new_tables.discard(table)
            case _:
                pass

    def _rename(self, table: QualifiedName, to: QualifiedName) -> None:
        if table in self.new_tables:
            self.new_tables.remove(table)
            self.new_tables.add(to)
        for name, column in [key for key in self.new_columns if key[0] == table]:
            self.new_columns.remove((name, column))
            self.new_columns.add((to, column))


def _not_valid_constraints(table: Table) -> Iterable[tuple[QualifiedName, str]]:
    for constraint in table.constraints:
        match constraint:
            case op.Check(name=str(name), not_valid=True) | op.ForeignKey(name=str(name), not_valid=True):
                yield table.name, name
            case op.NotNull(name=str(name), not_valid=True):
                yield table.name, name
            case _:
                pass
