"""Moves a `History` from step to step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from itertools import islice
from typing import Any

from evolve.lint.history import History, Transaction
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import GATE_KIND
from evolve.sql.replay import apply
from evolve.sql.steps import Recording, Step

# By the names of the fields that hold it.
New = Mapping[str, Any]

_NEW = ("new_tables", "new_columns", "new_indexes", "freed_functions", "dropped_indexes")


def open_revision(history: History, recording: Recording, steps: Sequence[Step]) -> None:
    """Stand before the first of the `steps` of a revision."""
    history.revision = steps
    history.position = -1
    history.remarks = recording.remarks
    if recording.metadata:
        history.planned.add(recording.revision)
    opening = next((s.operation for s in steps if not isinstance(s.operation, op.SetParameter)), None)
    guarded = isinstance(opening, op.Other) and opening.kind == GATE_KIND
    history.gated = guarded and dict(recording.metadata).get("phase") in ("contract", "purge")


def enter(history: History, step: Step, clauses: tuple[op.Operation, ...]) -> None:
    """Stand before `step`, one of the `clauses` of its statement, in the transaction it runs in."""
    history.clauses = clauses
    history.position += 1
    history.effects.clear()
    if step.transaction is None or step.transaction != history.transaction.ordinal:
        history.transaction = Transaction(step.transaction)


def advance(history: History, step: Step) -> None:
    """Let `step` happen."""
    operation = step.operation
    if step.transaction is not None:
        _remember_locks(history, step)
    invalid = set(_not_valid(history, operation))
    made_relation, made_column = _makes(history, operation)
    if isinstance(operation, op.DropIndex) and operation.index in history.schema.indexes:
        gone = history.schema.indexes[operation.index]
        history.dropped_indexes[operation.index] = (gone.definition, step)
    indexes = len(history.schema.indexes)
    history.freed_functions.update(_frees(history, operation))
    apply(history.schema, operation)
    if made_relation is not None:
        history.new_tables.add(made_relation)
    if made_column is not None:
        history.new_columns.add(made_column)
    # A dictionary keeps the order of insertion: what was just made stands at its end.
    for index in islice(reversed(history.schema.indexes), max(len(history.schema.indexes) - indexes, 0)):
        history.new_indexes[index] = step
    for constraint in set(_not_valid(history, operation)) - invalid:
        history.transaction.not_valid[constraint] = step
    _follow_names(history, operation)
    _follow_types(history, step)
    history.steps.append(step)


def release(history: History) -> None:
    """Forget what was new: all that ran so far is applied and in use."""
    history.new_tables.clear()
    history.new_columns.clear()
    history.new_indexes.clear()
    history.dropped_indexes.clear()
    history.freed_functions.clear()
    history.steps.cut(0)
    history.transaction = Transaction()


def what_is_new(history: History) -> New:
    """What `history` holds to be new by now, for `only_new`."""
    return {name: copy(getattr(history, name)) for name in _NEW}


def only_new(history: History, earlier: New) -> None:
    """Put what came since `earlier` in use."""
    for name, value in earlier.items():
        setattr(history, name, value)


def _remember_locks(history: History, step: Step) -> None:
    for relation, mode in history.effect(step.operation).locks.items():
        kept = history.transaction.locks.get(relation)
        if history.in_use(relation) and (kept is None or kept[0] < mode):
            history.transaction.locks[relation] = (mode, step)


def _not_valid(history: History, operation: op.Operation) -> Iterator[tuple[QualifiedName, str]]:
    """Constraints of the table that `operation` adds one to which are not validated."""
    table = history.schema.table(operation.table) if isinstance(operation, op.AddConstraint) else None
    if table is None:
        return
    for constraint in table.constraints:
        match constraint:
            case op.Check(name=str(name), not_valid=True) | op.ForeignKey(name=str(name), not_valid=True):
                yield table.name, name
            case op.NotNull(name=str(name), not_valid=True):
                yield table.name, name
            case _:
                pass


def _makes(
    history: History, operation: op.Operation
) -> tuple[QualifiedName | None, tuple[QualifiedName, str] | None]:
    """The relation and the column that were not there before: IF NOT EXISTS and OR REPLACE may meet one in use."""
    match operation:
        case op.CreateTable(temporary=True):
            return None, None
        case op.CreateTable(table=name) | op.CreateView(view=name):
            known = name in history.schema.tables or name in history.schema.views
            return None if known else name, None
        case op.AddColumn(table=name, column=column) if history.schema.column(name, column.name) is None:
            return None, (name, column.name)
        case _:
            return None, None


def _frees(history: History, operation: op.Operation) -> Iterator[QualifiedName]:
    """The functions of the triggers that go: nothing but a trigger can call one."""
    match operation:
        case op.DropTrigger(table=table, name=name):
            for member in history.schema.family(table):
                yield from (trigger.function for trigger in member.trigger_list if trigger.name == name)
        case op.DropTable(table=table):
            for member in history.schema.family(table):
                yield from (trigger.function for trigger in member.trigger_list)
        case _:
            return


def _follow_names(history: History, operation: op.Operation) -> None:
    """Keep what is new under the name it has now."""
    match operation:
        case op.RenameColumn(table=table, column=old, to=new) if (table, old) in history.new_columns:
            history.new_columns.remove((table, old))
            history.new_columns.add((table, new))
        case op.RenameTable(table=name, to=to) | op.RenameView(view=name, to=to):
            _rename(history, name, QualifiedName(to, name.schema))
        case op.MoveToSchema(name=name, to_schema=to_schema):
            _rename(history, name, QualifiedName(name.name, to_schema))
        case op.RenameIndex(index=name, to=to) if name in history.new_indexes:
            history.new_indexes[QualifiedName(to, name.schema)] = history.new_indexes.pop(name)
        case op.DropTable(table=name) | op.DropView(view=name):
            history.new_tables.discard(name)
        case _:
            pass


def _rename(history: History, name: QualifiedName, to: QualifiedName) -> None:
    if name in history.new_tables:
        history.new_tables.remove(name)
        history.new_tables.add(to)
    else:
        # The name may have belonged to one that is new, as when two tables are swapped.
        history.new_tables.discard(to)
    for table, column in [key for key in history.new_columns if key[0] == name]:
        history.new_columns.remove((table, column))
        history.new_columns.add((to, column))


def _follow_types(history: History, step: Step) -> None:
    match step.operation:
        case op.CreateEnum(type=name) | op.CreateDomain(domain=name):
            history.transaction.created_types.add(name)
        case op.AddEnumValue(type=name, value=value) if name not in history.transaction.created_types:
            history.transaction.enum_values[name, value] = step
        case op.TransactionControl(action="commit" | "rollback"):
            history.transaction = Transaction(step.transaction)
        case _:
            pass
