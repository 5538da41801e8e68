"""What a step adds that code of the next release may use, so that this code fails as long as the step has not run.

An addition is no hazard and no finding; it only demands that the revision comes before the code. A guarantee that code
may lean on without failing on its own (an index, a validated constraint, a trigger) is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Column, Schema
from evolve.sql.steps import Step
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """
    Args:
        why: one sentence without a full stop: 'new code that reads "orders.note" needs it first'.
        relation: the table, view or sequence that must still be there at the end for it to stand; None for anything
            else.
        column: of that table.
        function: that must still be there at the end.
    """

    revision: str
    why: str
    relation: QualifiedName | None = None
    column: str | None = None
    function: QualifiedName | None = None

    def stands(self, schema: Schema) -> bool:
        """False where what was added is gone again in `schema`."""
        if self.function is not None:
            return self.function in schema.functions
        if self.relation is None:
            return True
        if self.column is not None:
            return schema.column(self.relation, self.column) is not None
        return any(self.relation in known for known in (schema.tables, schema.views, schema.sequences))


def needs(step: Step, history: History) -> Iterator[Need]:
    """What `step` adds; `history` stands just before it."""
    match step.operation:
        case op.CreateTable(temporary=False, partition_of=None, table=table):
            if table not in history.schema.tables:
                yield from _table(step, history, table)
        case op.CreateView(view=view) if view not in history.schema.views:
            yield Need(step.revision, f'new code that reads the view "{view.plain}" needs it first', view)
        case op.RenameTable(table=table, to=to) | op.RenameView(view=table, to=to):
            yield from _table(step, history, QualifiedName(to, table.schema))
        case op.CreateFunction(function=function) if not _serves_trigger(function, history):
            why = f'new code that calls "{function.plain}" needs it first'
            yield Need(step.revision, why, function=function)
        case op.CreateSequence(sequence=sequence, owned_by=None):
            why = f'new code that draws from the sequence "{sequence.plain}" needs it first'
            yield Need(step.revision, why, sequence)
        case op.AddColumn(table=table, column=column) if history.in_use(table):
            if history.schema.column(table, column.name) is None:
                yield from _column(step, history, table, column.name)
        case op.RenameColumn(table=table, column=column, to=to) if history.in_use(table):
            yield from _column(step, history, table, to)
        case op.AddEnumValue(type=name, value=value) | op.RenameEnumValue(type=name, to=value):
            known = history.schema.enums.get(name)
            new = name in history.transaction.created_types
            if not new and (known is None or value not in known.values) and _writes(history, name, value):
                yield Need(
                    step.revision, f"new code that writes '{value}' to \"{name.plain}\" needs it first"
                )
        case _:
            yield from _relaxed(step, history)


def _relaxed(step: Step, history: History) -> Iterator[Need]:
    """What the old schema refuses and the new one takes."""
    match step.operation:
        case op.DropNotNull(table=table, column=name) if history.column_in_use(table, name):
            column = history.schema.column(table, name)
            if (column is None or column.not_null or not column.type) and _writes_null(history, table, name):
                yield Need(
                    step.revision, f'new code that writes null to "{table.plain}.{name}" needs it first'
                )
        case op.SetDefault(table=table, column=name) | op.AddIdentity(table=table, column=name):
            column = history.schema.column(table, name)
            if column is not None and _required(column) and history.column_in_use(table, name):
                yield Need(
                    step.revision,
                    f'new code that leaves "{table.plain}.{name}" to its default needs it first',
                )
        case op.AlterColumnType(table=table, column=name, type=new_type) if history.column_in_use(
            table, name
        ):
            column = history.schema.column(table, name)
            if (column is None or column.type != new_type) and _changes_type(history, table, name):
                yield Need(
                    step.revision,
                    f'new code that counts on "{table.plain}.{name}" being {new_type} needs it first',
                )
        case op.DropConstraint(table=table, name=name) if history.in_use(table):
            if _forbade(history, table, name):
                yield Need(step.revision, f'new code that writes what "{name}" forbids needs it gone first')
        case _:
            return


def _table(step: Step, history: History, table: QualifiedName) -> Iterator[Need]:
    if history.new_models is None or history.new_models.maps_table(table) is not False:
        yield Need(step.revision, f'new code that uses the table "{table.plain}" needs it first', table)


def _column(step: Step, history: History, table: QualifiedName, column: str) -> Iterator[Need]:
    if history.new_models is None or history.new_models.maps_column(table, column) is not False:
        yield Need(
            step.revision, f'new code that uses "{table.plain}.{column}" needs it first', table, column
        )


def _required(column: Column) -> bool:
    """An INSERT that does not name it fails."""
    return column.not_null and not (column.default or column.identity or column.generated)


def _serves_trigger(function: QualifiedName, history: History) -> bool:
    made = any(
        isinstance(step.operation, op.CreateTrigger) and step.operation.function == function
        for step in history.later()
    )
    return made or any(
        trigger.function == function
        for table in history.schema.tables.values()
        for trigger in table.trigger_list
    )


def _forbade(history: History, table: QualifiedName, name: str) -> bool:
    """True where a row may be written once the constraint is gone that could not be before."""
    found = history.schema.table(table)
    if found is None:
        return False
    match found.constraint(name):
        case op.Check(expression=expression):
            # The CHECK that proved NOT NULL is spare once the column says so itself.
            proven = expression.not_null_columns
            return not proven or not all(column.not_null for column in found.columns if column.name in proven)
        case op.ForeignKey(columns=columns):
            # One that is made anew, for another action or NOT VALID, forbids what it forbade.
            return not any(
                isinstance(later.operation, op.AddConstraint)
                and later.operation.table == table
                and isinstance(later.operation.constraint, op.ForeignKey)
                and later.operation.constraint.columns == columns
                for later in history.later()
            )
        case op.Unique() | op.Exclude():
            return True
        case _:
            return False


def _writes(history: History, type_: QualifiedName, value: str) -> bool:
    """False where new models hold the enum, and none of them the value."""
    if history.new_models is None:
        return True
    known = [
        column.type.values
        for mapped in history.new_models.all()
        for column in mapped.columns
        if column.type is not None and column.type.enum == type_
    ]
    return not known or any(values is None or value in values for values in known)


def _writes_null(history: History, table: QualifiedName, column: str) -> bool:
    """False where new models say that the column is never null."""
    if history.new_models is None:
        return True
    known = [found for _, found in history.new_models.columns(table, column)]
    return not known or any(not found.static or found.nullable for found in known)


def _changes_type(history: History, table: QualifiedName, column: str) -> bool:
    """False where old and new models agree on the type, so that no code was changed for it."""
    if history.old_models is None or history.new_models is None:
        return True
    old = {found.type for _, found in history.old_models.columns(table, column)}
    new = {found.type for _, found in history.new_models.columns(table, column)}
    return not old or old != new or None in old
