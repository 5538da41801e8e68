"""The steps of a rollout in their order, found by what they do to a table without looking through all of them."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class StepsTaken(list[Step]):
    """A list that grows at its end, and is shortened only by `cut`."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[type[op.Operation], QualifiedName], list[int]] = {}
        self._known = 0

    def places(self, kind: type[op.Operation], table: QualifiedName) -> Sequence[int]:
        """Where the operations of exactly this class stand whose `table` it is, in their order."""
        for place in range(self._known, len(self)):
            operation = self[place].operation
            about = getattr(operation, "table", None)
            if isinstance(about, QualifiedName):
                self._places.setdefault((type(operation), about), []).append(place)
        self._known = len(self)
        return self._places.get((kind, table), ())

    def cut(self, length: int) -> None:
        """Forget those behind the first `length`."""
        del self[length:]
        self._places.clear()
        self._known = 0
