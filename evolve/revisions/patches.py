"""Attributes replaced for a while, and put back in reverse order whatever happens."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any

_ABSENT = object()

Callee = Callable[..., object]


def method(owner: object, name: str) -> Callee:
    """A function of a library, to be called with whatever a revision gives it: types are the revision's concern."""
    found: Callee = getattr(owner, name)
    return found


class Patches:
    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def set(self, owner: object, name: str, value: object) -> None:
        own = vars(owner) if hasattr(owner, "__dict__") else {}
        before = own.get(name, _ABSENT)
        self._undo.append(lambda: delattr(owner, name) if before is _ABSENT else setattr(owner, name, before))
        setattr(owner, name, value)

    def item(self, mapping: MutableMapping[Any, Any], key: object, value: object) -> None:
        before = mapping.get(key, _ABSENT)

        def undo() -> None:
            if before is _ABSENT:
                mapping.pop(key, None)
            else:
                mapping[key] = before

        self._undo.append(undo)
        mapping[key] = value

    def __enter__(self) -> Patches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._undo:
            self._undo.pop()()
