"""What else than tables and columns is new: types, functions, schemas and sequences that no applied revision made."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName


def new_type(history: History, name: QualifiedName) -> bool:
    """True for an enum, a domain or another type; renames on the way are followed."""
    for step in reversed(history.steps):
        match step.operation:
            case op.RenameType(type=old, to=to) if QualifiedName(to, old.schema) == name:
                name = old
            case op.MoveToSchema(name=old, to_schema=schema) if QualifiedName(old.name, schema) == name:
                name = old
            case op.CreateEnum(type=made) | op.CreateDomain(domain=made) if made == name:
                return True
            case op.Other(kind="CREATE TYPE", target=made) if made == name:
                return True
            case _:
                pass
    return False


def new_function(history: History, name: QualifiedName) -> bool:
    """False for one that OR REPLACE made: it may have met one in use."""
    return any(
        isinstance(step.operation, op.CreateFunction)
        and step.operation.function == name
        and not step.operation.replace
        for step in history.steps
    )


def new_schema(history: History, name: str) -> bool:
    """False for one that IF NOT EXISTS made: it may have met one in use."""
    for step in reversed(history.steps):
        match step.operation:
            case op.RenameSchema(schema=old, to=to) if to == name:
                name = old
            case op.CreateSchema(schema=made, if_not_exists=False) if made == name:
                return True
            case _:
                pass
    return False


def new_sequence(history: History, name: QualifiedName) -> bool:
    """True as well for one that belongs to a new table."""
    known = history.schema.sequences.get(name)
    if known is not None and known.owned_by is not None and not history.in_use(known.owned_by[0]):
        return True
    for step in reversed(history.steps):
        match step.operation:
            case op.RenameSequence(sequence=old, to=to) if QualifiedName(to, old.schema) == name:
                name = old
            case op.CreateSequence(sequence=made, if_not_exists=False) if made == name:
                return True
            case _:
                pass
    return False


def columns_in_use(history: History, type_name: QualifiedName) -> list[tuple[QualifiedName, str]]:
    """The columns of a type that traffic uses, arrays of it among them."""
    spelled = (str(type_name), f"{type_name}[]")
    return [
        (table.name, column.name)
        for table in history.schema.tables.values()
        for column in table.columns
        if column.type in spelled and history.column_in_use(table.name, column.name)
    ]
