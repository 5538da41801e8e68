"""The names that PostgreSQL makes up for constraints, indexes and sequences that are given none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from evolve.sql.names import MAX_BYTES, QualifiedName
from evolve.sql.operations import IndexDefinition, IndexKey
from evolve.sql.schema import Schema


def object_name(first: str, second: str | None, label: str | None) -> str:
    """`first_second_label` in 63 bytes; what is too long is cut from the longer of the first two.

    The server's makeObjectName(), byte for byte.
    """
    one = first.encode()
    two = second.encode() if second is not None else b""
    room = MAX_BYTES - (1 if second is not None else 0) - (len(label.encode()) + 1 if label else 0)
    length_one, length_two = len(one), len(two)
    while length_one + length_two > room:
        if length_one > length_two:
            length_one -= 1
        else:
            length_two -= 1
    parts = [_clip(one, length_one)]
    if second is not None:
        parts.append(_clip(two, length_two))
    if label:
        parts.append(label)
    return "_".join(parts)


def _clip(text: bytes, length: int) -> str:
    """At most `length` bytes, cut between characters."""
    return text[:length].decode(errors="ignore")


def _choose(first: str, second: str | None, label: str, taken: Callable[[str], bool]) -> str:
    number = 0
    while True:
        name = object_name(first, second, label if number == 0 else f"{label}{number}")
        if not taken(name):
            return name
        number += 1


def relation_taken(schema: Schema, namespace: str, name: str) -> bool:
    """Tables, indexes, views and sequences of one schema share their names."""
    key = QualifiedName(name, namespace)
    return key in schema.tables or key in schema.indexes or key in schema.views or key in schema.sequences


def constraint_taken(schema: Schema, namespace: str, name: str) -> bool:
    return schema.constraint_named(namespace, name)


def sequence_name(schema: Schema, table: QualifiedName, column: str) -> QualifiedName:
    name = _choose(table.name, column, "seq", lambda n: relation_taken(schema, table.schema, n))
    return QualifiedName(name, table.schema)


def constraint_name(
    schema: Schema,
    owner: QualifiedName,
    columns: Iterable[str] | None,
    label: str,
    others: Iterable[str] = (),
) -> str:
    """For CHECK ("check") and FOREIGN KEY ("fkey"); `others` are names chosen in the same statement."""
    also = set(others)
    middle = None if columns is None else _addition(columns)
    return _choose(
        owner.name,
        middle,
        label,
        lambda name: name in also or constraint_taken(schema, owner.schema, name),
    )


def index_name(schema: Schema, definition: IndexDefinition, label: str) -> str:
    """For an index ("idx") or one behind a constraint ("pkey", "key", "excl")."""
    table = definition.table
    labels = [*map(_label, definition.keys), *(definition.include_labels or definition.include)]
    middle = None if label == "pkey" else _addition(_distinct(labels))
    constraint = label != "idx"
    return _choose(
        table.name,
        middle,
        label,
        lambda name: (
            relation_taken(schema, table.schema, name)
            or (constraint and constraint_taken(schema, table.schema, name))
        ),
    )


def _label(key: IndexKey) -> str:
    return key.label or key.column or "expr"


def _distinct(labels: Iterable[str]) -> list[str]:
    """A label that stood before gets a number, as ChooseIndexColumnNames() gives it."""
    found: list[str] = []
    for label in labels:
        name, number = label, 0
        while name in found:
            number += 1
            digits = str(number)
            name = _clip(label.encode(), min(len(label.encode()), MAX_BYTES - len(digits))) + digits
        found.append(name)
    return found


def _addition(labels: Iterable[str]) -> str:
    """The labels joined by "_", ended after the one that passes 63 bytes."""
    text = ""
    for label in labels:
        text += f"_{label}" if text else label
        if len(text.encode()) > MAX_BYTES:
            break
    return text
