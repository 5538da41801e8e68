"""Readings and schemas as JSON, and back: data that can be wrong at worst, never code that runs."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from evolve.revisions.history import RevisionFile
from evolve.revisions.memory import After
from evolve.sql import locks, names, operations, schema
from evolve.sql.grouped import Grouped
from evolve.sql.schema import Schema
from evolve.sql.steps import CapturedStatement, Mark, Place, Recording, Remark

# What stands first in a list: a tuple, a frozen set, a member of an enumeration, else the number of a class.
_TUPLE, _SET, _MEMBER = 0, -1, -2


class CannotKeep(Exception):
    """A value of a kind that is not kept."""


def encode_recording(recording: Recording, after: After) -> bytes:
    """
    Raises:
        CannotKeep: a statement or remark has its place in another file.
    """
    own = recording.file
    parts: tuple[CapturedStatement | Remark, ...] = (*recording.statements, *recording.remarks)
    for part in parts:
        if part.place.file is not own and part.place.file != own:
            raise CannotKeep
    return _dump(
        [
            [(s.sql, s.place.line, s.transaction, s.database, s.looks_first) for s in recording.statements],
            [(r.mark.name, r.place.line, r.detail) for r in recording.remarks],
            [after.transactions, after.open],
        ]
    )


def decode_recording(value: bytes, file: RevisionFile) -> tuple[Recording, After]:
    statements, remarks, (transactions, left_open) = json.loads(value)
    return (
        Recording(
            revision=file.revision,
            down_revisions=file.down_revisions,
            file=file.path,
            statements=tuple(
                CapturedStatement(
                    sql, Place(file.path, line), transaction, database=database, looks_first=looks_first
                )
                for sql, line, transaction, database, looks_first in statements
            ),
            remarks=tuple(
                Remark(Mark[mark], Place(file.path, line), detail) for mark, line, detail in remarks
            ),
            metadata=file.metadata,
        ),
        After(transactions, left_open),
    )


def encode_file(file: RevisionFile) -> list[object]:
    """What the text of a file declares, without where it lies."""
    return [
        file.revision,
        file.down_revisions,
        file.depends_on,
        file.branch_labels,
        file.message,
        file.metadata,
    ]


def encode_schema(value: Schema) -> bytes:
    """
    Raises:
        CannotKeep: something in it is of a kind that is not kept.
    """
    return _dump({field.name: _parts(getattr(value, field.name)) for field in fields(Schema)})


def _parts(part: object) -> list[object]:
    if isinstance(part, Grouped):
        return [_encoded(kept) for kept in part.values()]
    if isinstance(part, dict):
        return [[_encoded(key), _encoded(kept)] for key, kept in part.items()]
    if isinstance(part, set):
        return sorted(part)
    raise CannotKeep(type(part).__name__)


def decode_schema(value: bytes) -> Schema:
    found = json.loads(value)
    made = Schema(schemas=set())
    classes = [cls for cls, _ in _classes().values()]
    for field in fields(Schema):
        part, kept = getattr(made, field.name), found[field.name]
        if isinstance(part, Grouped):
            decoded: list[Any] = [_decoded(one, classes) for one in kept]
            part.update({one.name: one for one in decoded})
        elif isinstance(part, dict):
            part.update((_decoded(key, classes), _decoded(one, classes)) for key, one in kept)
        else:
            part.update(kept)
    return made


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")


@cache
def _classes() -> dict[type, tuple[type, int]]:
    """The classes whose values are kept, each with its number; those of the same evolve have the same ones."""
    found = [
        value
        for module in (names, operations, schema)
        for value in vars(module).values()
        if isinstance(value, type) and is_dataclass(value) and value is not Schema
    ]
    return {cls: (cls, number) for number, cls in enumerate(dict.fromkeys(found), start=1)}


@cache
def _fields(cls: type) -> tuple[tuple[str, object], ...]:
    return tuple((field.name, field.default) for field in fields(cls))


@cache
def _members() -> dict[str, type[Enum]]:
    return {
        name: value
        for module in (locks, operations)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Enum)
    }


def _encoded(value: object) -> object:
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, tuple):
        return [_TUPLE, *map(_encoded, value)]
    if isinstance(value, frozenset):
        return [_SET, *sorted(map(_encoded, value), key=repr)]
    if isinstance(value, Enum) and type(value).__name__ in _members():
        return [_MEMBER, type(value).__name__, value.name]
    known = _classes().get(type(value))
    if known is None:
        raise CannotKeep(type(value).__name__)
    given = [(getattr(value, name), default) for name, default in _fields(known[0])]
    while given and given[-1][1] is not MISSING and given[-1][0] == given[-1][1]:
        given.pop()  # most fields are what they are by default
    return [known[1], *(_encoded(part) for part, _ in given)]


def _decoded(value: object, classes: list[type]) -> object:
    if not isinstance(value, list):
        return value
    match value[0]:
        case 0:
            return tuple([_decoded(part, classes) for part in value[1:]])
        case -1:
            return frozenset([_decoded(part, classes) for part in value[1:]])
        case -2:
            return _members()[value[1]][value[2]]
        case number:
            return classes[number - 1](*[_decoded(part, classes) for part in value[1:]])
