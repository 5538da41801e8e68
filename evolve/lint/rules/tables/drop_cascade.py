"""EV427: `CASCADE` drops what nobody named."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.made import new_function, new_sequence
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.parse import sequences_in
from evolve.sql.replay.drops import foreign_keys_on
from evolve.sql.schema import Index, Schema
from evolve.sql.steps import Step

# What goes along: in words, and the relation that it is or belongs to.
_Dependent = tuple[str, QualifiedName]


class DropCascade(Rule):
    id = "EV427"
    name = "drop-cascade"
    severity = Severity.ERROR
    looks_at = (
        op.DropTable,
        op.DropView,
        op.DropSequence,
        op.DropFunction,
        op.DropConstraint,
        op.DropIndex,
        op.Other,
    )
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    why = (
        "CASCADE takes along views, foreign keys, triggers and defaults that nobody named, also those that no "
        "revision made; drop what is meant by name, and let PostgreSQL refuse where something else is in the way"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other(kind="DROP OWNED", detail=roles):
                yield self.finding(step, f"everything in this database that belongs to {roles} is dropped")
                return
            case _:
                dropped = _dropped(step.operation, history)
        if dropped is None:
            return
        name, dependents = dropped
        known = [(words, relation) for words, relation in dependents if history.in_use(relation)]
        if known:
            along = ", ".join(words for words, _ in known)
            yield self.finding(step, f'CASCADE drops with "{name}": {along}', table=known[0][1])
        else:
            yield self.finding(
                step,
                f'CASCADE drops with "{name}" whatever depends on it, and the revisions know of nothing',
                severity=Severity.WARNING,
            )


def _dropped(operation: op.Operation, history: History) -> tuple[str, list[_Dependent]] | None:
    """What is dropped with CASCADE, and its dependents; None for what is new, or goes without CASCADE."""
    schema = history.schema
    match operation:
        case op.DropTable(table=name, cascade=True) if history.in_use(name):
            return name.plain, [*_referring(schema, name), *_views(schema, name)]
        case op.DropView(view=name, cascade=True) if history.in_use(name):
            return name.plain, [*_views(schema, name)]
        case op.DropSequence(sequence=name, cascade=True) if not new_sequence(history, name):
            return name.plain, [*_drawing(schema, name)]
        case op.DropFunction(function=name, cascade=True) if not new_function(history, name):
            return name.plain, [*_triggers(schema, name)]
        case op.DropConstraint(table=table, name=name, cascade=True) if history.in_use(table):
            return name, [*_leaning(schema, table, name)]
        case op.DropIndex(index=name, cascade=True):
            index = schema.indexes.get(name)
            if index is None or history.in_use(index.definition.table):
                return name.plain, [*_on_index(schema, index)]
            return None
        case _:
            return None


def _referring(schema: Schema, table: QualifiedName) -> Iterator[_Dependent]:
    for other, key in schema.foreign_keys_to(table):
        if other.name != table:
            yield f'the foreign key "{key.name}" of "{other.name.plain}"', other.name
    found = schema.table(table)
    if found is not None and found.partition_of is not None:
        # It points at every partition at once, so it goes for all of them.
        parent = found.partition_of
        for words, relation in _referring(schema, parent):
            yield f'{words} to all of "{parent.plain}"', relation


def _leaning(schema: Schema, table: QualifiedName, constraint: str) -> Iterator[_Dependent]:
    found = schema.table(table)
    target = found.constraint(constraint) if found is not None else None
    if isinstance(target, op.PrimaryKey | op.Unique):
        yield from _on_index(schema, schema.indexes.get(QualifiedName(constraint, table.schema)))


def _on_index(schema: Schema, index: Index | None) -> Iterator[_Dependent]:
    if index is None:
        return
    for other, key in foreign_keys_on(schema, index):
        if other.name != index.definition.table:
            yield f'the foreign key "{key.name}" of "{other.name.plain}"', other.name


def _views(schema: Schema, relation: QualifiedName) -> Iterator[_Dependent]:
    for view in schema.views_reading(relation):
        yield f'the view "{view.name.plain}"', view.name
        yield from _views(schema, view.name)


def _drawing(schema: Schema, sequence: QualifiedName) -> Iterator[_Dependent]:
    for table in schema.tables.values():
        for column in table.columns:
            if column.default is not None and sequence in sequences_in(column.default):
                yield f'the default of "{table.name.plain}.{column.name}"', table.name


def _triggers(schema: Schema, function: QualifiedName) -> Iterator[_Dependent]:
    for table in schema.tables.values():
        for trigger in table.trigger_list:
            if trigger.function == function:
                yield f'the trigger "{trigger.name}" of "{table.name.plain}"', table.name
