"""EV672: something is dropped while other things need it, without CASCADE."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import sequences_in
from evolve.sql.schema import Schema
from evolve.sql.steps import Step


class DropWithoutCascade(Rule):
    id = "EV672"
    name = "drop-without-cascade"
    severity = Severity.ERROR
    looks_at = (op.DropTable, op.DropView, op.DropSequence)
    fails = True
    why = (
        "PostgreSQL refuses to drop what a foreign key, a view, a child table or a default needs. Drop those first, so "
        "that what is lost stands in the revision: CASCADE takes them along without a word"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        name, needed_by = _dropped(step.operation, history)
        if name is not None and needed_by and certain(step, history):
            need = "needs" if len(needed_by) == 1 else "need"
            yield self.finding(step, f'"{name.plain}" cannot be dropped while {listed(needed_by)} {need} it')

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return WHERE_REFUSED if any(self.check(step, history)) else ()


def _dropped(operation: op.Operation, history: History) -> tuple[QualifiedName | None, list[str]]:
    """What is dropped, and the relations that are left without it."""
    schema = history.schema
    match operation:
        case op.DropTable(table, cascade=False) if table in schema.tables:
            name, found = table, set(_around_table(schema, table))
        case op.DropView(view, cascade=False) if view in schema.views:
            name, found = view, {other.name for other in schema.views_reading(view)}
        case op.DropSequence(sequence, cascade=False) if sequence in schema.sequences:
            name, found = sequence, set(_drawing(schema, sequence))
        case _:
            return None, []
    together = {
        clause.table if isinstance(clause, op.DropTable) else clause.view
        for clause in history.clauses
        if isinstance(clause, op.DropTable | op.DropView)
    }
    return name, sorted(each.plain for each in found - together - {name})


def _around_table(schema: Schema, table: QualifiedName) -> Iterator[QualifiedName]:
    gone = {table, *_partitions_below(schema, table)}
    for part in gone:
        for referring, _ in schema.foreign_keys_to(part):
            if referring.name not in gone:
                yield referring.name
        yield from (view.name for view in schema.views_reading(part))
        yield from (child.name for child in schema.children_of(part) if part in child.inherits)
        for sequence in schema.sequences_of(part):  # it goes with the table
            yield from (name for name in _drawing(schema, sequence.name) if name not in gone)


def _partitions_below(schema: Schema, table: QualifiedName) -> Iterator[QualifiedName]:
    for partition in schema.partitions_of(table):
        yield partition.name
        yield from _partitions_below(schema, partition.name)


def _drawing(schema: Schema, sequence: QualifiedName) -> Iterator[QualifiedName]:
    for table in schema.tables_drawing_from(sequence):
        if any(
            column.default is not None and sequence in sequences_in(column.default)
            for column in table.columns
        ):
            yield table.name
