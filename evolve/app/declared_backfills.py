"""The backfills that an application declares, found in its modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evolve.backfill.dependencies import refuse_circles
from evolve.backfill.functions import imported, module_at
from evolve.backfill.spec import Spec
from evolve.backfills import Backfill
from evolve.errors import Misuse


class NotDeclared(Misuse):
    def __init__(self, place: str) -> None:
        super().__init__(
            f'"{place}" is no backfill',
            why="the variable holds something else",
            fix="make it one: from evolve.backfills import Backfill",
        )


class OneNameTwice(Misuse):
    def __init__(self, name: str, places: tuple[str, str]) -> None:
        super().__init__(
            f'two backfills are called "{name}": {places[0]} and {places[1]}',
            why="a run in the database is known by its name",
            fix='give one of them another: Backfill(name="…")',
        )


@dataclass(frozen=True, slots=True)
class Declared:
    """
    Args:
        place: "package.module:variable".
        after: names of the backfills that it comes after.
    """

    place: str
    spec: Spec
    after: tuple[str, ...]


def declared_at(place: str, folder: Path) -> Declared:
    """The one that the variable at "package.module:variable" holds.

    Args:
        folder: of the project: modules are looked for there first.

    Raises:
        CannotImport: there is no such module or variable, or the module fails.
        NotDeclared, BadBackfill, BadName
    """
    found = imported(place, folder)
    if not isinstance(found, Backfill):
        raise NotDeclared(place)
    return _declared(place, found)


def declared_in(modules: Sequence[str], folder: Path) -> list[Declared]:
    """All that `modules` declare, in the order in which they do; one that is imported from elsewhere counts once.

    Raises:
        CannotImport, BadBackfill, BadName, OneNameTwice
        CircularOrder: some of them wait for each other.
    """
    found: list[Declared] = []
    seen: list[Backfill] = []
    for module in modules:
        for variable, value in vars(module_at(module, folder)).items():
            if not isinstance(value, Backfill) or any(value is other for other in seen):
                continue
            seen.append(value)
            declared = _declared(f"{module}:{variable}", value)
            for other in found:
                if other.spec.name == declared.spec.name:
                    raise OneNameTwice(other.spec.name, (other.place, declared.place))
            found.append(declared)
    order = {declared.spec.name: declared.after for declared in found}
    for name, after in order.items():
        refuse_circles(name, after, order)
    return found


def _declared(place: str, backfill: Backfill) -> Declared:
    return Declared(place, backfill.spec(place.partition(":")[2], place), tuple(backfill.after))
