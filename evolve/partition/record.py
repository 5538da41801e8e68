"""Frozen dataclasses as JSON and back, by their field types; what the journal keeps of a conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_TAG = "is"


class NotARecord(ValueError):
    """JSON of another shape: written by another version, or by hand."""

    def __init__(self, kind: object, value: object) -> None:
        super().__init__(f"{value!r} is not a {kind}")


def encode(value: object) -> object:
    """`value` in terms of dict, list, str, int, float, bool and None; dataclasses carry their class's name."""
    if is_dataclass(value) and not isinstance(value, type):
        content = {field.name: encode(getattr(value, field.name)) for field in fields(value)}
        return {_TAG: type(value).__name__, **content}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], value: object) -> T:
    """The `kind` that `encode` made `value` from; a dictionary without a class's name will do where one is expected.

    Raises:
        NotARecord: it is none.
    """
    found = _decode(kind, value)
    if not isinstance(found, kind):
        raise NotARecord(kind, value)
    return found


def _decode(kind: object, value: object) -> object:
    origin = get_origin(kind)
    if origin is UnionType or origin is Union:
        return _one_of(get_args(kind), value)
    if origin is Literal:
        if value in get_args(kind):
            return value
    elif origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_decode(get_args(kind)[0], item) for item in value)
    elif isinstance(kind, type):
        return _plain(kind, value)
    raise NotARecord(kind, value)


def _plain(kind: type, value: object) -> object:
    if is_dataclass(kind):
        if not isinstance(value, Mapping) or value.get(_TAG, kind.__name__) != kind.__name__:
            raise NotARecord(kind, value)
        # What an earlier version did not know yet has a default.
        known = {
            name: hint for name, hint in _hints(kind).items() if name in value or name not in _defaults(kind)
        }
        return kind(**{name: _decode(hint, value.get(name)) for name, hint in known.items()})
    if issubclass(kind, Enum) and isinstance(value, str):
        return kind[value]
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise NotARecord(kind, value)


def _one_of(kinds: tuple[object, ...], value: object) -> object:
    if value is None and NoneType in kinds:
        return None
    for kind in kinds:
        try:
            return _decode(kind, value)
        except NotARecord:
            continue
    raise NotARecord(kinds, value)


@cache
def _hints(kind: type) -> dict[str, object]:
    hints: dict[str, object] = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


@cache
def _defaults(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind) if field.default is not MISSING)
