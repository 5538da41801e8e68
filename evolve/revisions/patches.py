"""Attributes replaced for a while, and put back in reverse order whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

_ABSENT = object()

Callee = Callable[..., object]


def method(owner: object, name: str) -> Callee:
    """A function of a library, to be called with whatever a revision gives it: types are the revision's concern."""
    found: Callee = getattr(owner, name)
    return found


class Patches:
    def __init__(self) -> None:
        self._undo: list[tuple[object, str, object]] = []

    def set(self, owner: object, name: str, value: object) -> None:
        own = vars(owner) if hasattr(owner, "__dict__") else {}
        self._undo.append((owner, name, own.get(name, _ABSENT)))
        setattr(owner, name, value)

    def __enter__(self) -> Patches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._undo:
            owner, name, value = self._undo.pop()
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
