"""A dictionary of named things that also finds them by what they name, without looking through all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Self, TypeVar

from evolve.sql.names import QualifiedName

Value = TypeVar("Value")


class Grouped(dict[QualifiedName, Value]):
    """A plain dictionary to whoever changes it; `group` answers with the values that name a thing, in its own order.

    The groups are made when the first of them is asked for, and follow every change from then on.

    Args:
        groups_of: the groups that a value belongs to.
    """

    __slots__ = ("_added", "_groups_of", "_keys_of", "_members", "_ordinals")

    _members: dict[Hashable, set[QualifiedName]] | None
    _keys_of: dict[QualifiedName, tuple[Hashable, ...]]
    _ordinals: dict[QualifiedName, int]

    def __init__(
        self,
        groups_of: Callable[[Value], Iterable[Hashable]],
        values: Mapping[QualifiedName, Value] | None = None,
    ) -> None:
        super().__init__(values or {})
        self._groups_of = groups_of
        self._forget()

    def group(self, key: Hashable) -> list[Value]:
        """The values that belong to the group `key`, in the order in which they stand here."""
        if self._members is None:
            self._members = {}
            for name, value in self.items():
                self._join(name, value)
        names = self._members.get(key)
        if not names:
            return []
        if len(names) == 1:
            return [self[name] for name in names]
        return [self[name] for name in sorted(names, key=self._ordinals.__getitem__)]

    def rekey(self, old: QualifiedName, new: QualifiedName, value: Value) -> None:
        """Replace one entry at its place, maybe under a new name."""
        if old == new:
            self[old] = value
            return
        entries = [(new, value) if name == old else (name, kept) for name, kept in self.items()]
        super().clear()
        super().update(entries)
        if self._members is not None:
            self._leave(old)
            self._ordinals[new] = self._ordinals.pop(old)
            self._join(new, value)

    def copy(self) -> Self:
        return type(self)(self._groups_of, self)

    # -- changes -------------------------------------------------------------------------------------------
    def __setitem__(self, name: QualifiedName, value: Value) -> None:
        super().__setitem__(name, value)
        if self._members is not None:
            self._join(name, value)

    def __delitem__(self, name: QualifiedName) -> None:
        super().__delitem__(name)
        if self._members is not None:
            self._leave(name)
            del self._ordinals[name]

    def setdefault(self, name: QualifiedName, default: Value) -> Value:  # pyright: ignore[reportIncompatibleMethodOverride]  # never without one
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: QualifiedName, default: Value | None = None) -> Value | None:  # type: ignore[override]  # never raises
        found = self.get(name, default)
        if name in self:
            del self[name]
        return found

    def clear(self) -> None:
        super().clear()
        self._forget()

    def update(self, values: Mapping[QualifiedName, Value]) -> None:  # type: ignore[override]  # of a mapping alone
        for name, value in values.items():
            self[name] = value

    def _forget(self) -> None:
        self._members = None
        self._keys_of = {}
        self._ordinals = {}
        self._added = 0

    def _join(self, name: QualifiedName, value: Value) -> None:
        keys = tuple(self._groups_of(value))
        before = self._keys_of.get(name)
        if keys == before:
            return
        if before is not None:
            self._leave(name)
        if name not in self._ordinals:
            self._added += 1
            self._ordinals[name] = self._added
        self._keys_of[name] = keys
        members = self._members if self._members is not None else {}
        for key in keys:
            members.setdefault(key, set()).add(name)

    def _leave(self, name: QualifiedName) -> None:
        members = self._members if self._members is not None else {}
        for key in self._keys_of.pop(name):
            names = members.get(key)
            if names is not None:
                names.discard(name)
                if not names:
                    del members[key]
