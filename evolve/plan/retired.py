"""What a phase takes away from the application: the columns and relations that code must no longer name by then."""

from __future__ import annotations

from collections.abc import Iterable

from evolve.plan.change import Place
from evolve.plan.model import QUARANTINE, Phase
from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    AddColumn,
    CreateTable,
    CreateView,
    DropColumn,
    DropTable,
    DropView,
    MoveToSchema,
    Operation,
    RenameColumn,
    RenameTable,
    RenameView,
    RenameViewColumn,
)
from evolve.sql.parse import parse


def retired(phase: Phase) -> tuple[Place, ...]:
    """Columns and relations that are there when `phase` begins and not when it is over, in the order they go.

    A name that something else takes in the same phase does not count: code that uses it goes on finding one. Nor does
    what evolve had put out of sight before.
    """
    gone: dict[Place, None] = {}
    come: set[Place] = set()
    for statement in phase.statements:
        for operation in parse(statement.sql):
            for place in _taken(operation):
                if place in come:
                    come.discard(place)
                else:
                    gone[place] = None
            for place in _given(operation):
                if place in gone:
                    del gone[place]
                else:
                    come.add(place)
    relations = {relation for relation, column in gone if column is None}
    return tuple(
        (relation, column)
        for relation, column in gone
        if not _hidden(relation, column) and (column is None or relation not in relations)
    )


def _hidden(relation: QualifiedName, column: str | None) -> bool:
    return (
        relation.schema == "evolve"
        or relation.name.startswith(QUARANTINE)
        or (column or "").startswith(QUARANTINE)
    )


def _taken(operation: Operation) -> Iterable[Place]:
    match operation:
        case RenameColumn(table, column) | DropColumn(table, column):
            return [(table, column)]
        case RenameViewColumn(view, column):
            return [(view, column)]
        case RenameTable(table) | DropTable(table):
            return [(table, None)]
        case RenameView(view) | DropView(view):
            return [(view, None)]
        case MoveToSchema(kind, name) if kind in ("table", "view", "materialized view"):
            return [(name, None)]
        case _:
            return []


def _given(operation: Operation) -> Iterable[Place]:
    match operation:
        case RenameColumn(table, _, to):
            return [(table, to)]
        case RenameViewColumn(view, _, to):
            return [(view, to)]
        case AddColumn(table, column):
            return [(table, column.name)]
        case RenameTable(table, to) | RenameView(table, to):
            return [(QualifiedName(to, table.schema), None)]
        case CreateTable(table) | CreateView(table):
            return [(table, None)]
        case MoveToSchema(kind, name, to_schema) if kind in ("table", "view", "materialized view"):
            return [(QualifiedName(name.name, to_schema), None)]
        case _:
            return []
