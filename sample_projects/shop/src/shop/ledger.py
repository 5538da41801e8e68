"""What a program wrote last, row by row, and whether the database still says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from shop.service import Shop

Value = str | None
"""What a row should say; None: it should be gone."""


class Ledger:
    """The values that may be found, by kind of row and id.

    That is one, the last that was written; or several, when a write failed and nobody knows how far it got.
    Only its owner may keep a row in a ledger: of two programs that write one row, neither can tell a lost
    write from a later one of the other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[int, tuple[Value, ...]]] = {kind: {} for kind in _READERS}

    def __len__(self) -> int:
        return sum(map(len, self._values.values()))

    def wrote(self, kind: str, row_id: int, value: Value) -> None:
        with self._lock:
            self._values[kind][row_id] = (value,)

    def write(self, kind: str, row_id: int, value: Value, action: Callable[[], bool]) -> None:
        """Run `action`, which says whether it wrote `value`; if it raises, the value may be there or not."""
        try:
            if action():
                self.wrote(kind, row_id, value)
        except BaseException:
            with self._lock:
                if row_id in self._values[kind]:
                    self._values[kind][row_id] += (value,)
            raise

    def lost(self, shop: Shop) -> list[str]:
        """Read every row again, through whichever release; one sentence for each that says something else."""
        with self._lock:
            values = {kind: dict(rows) for kind, rows in self._values.items()}
        return [
            f"{kind} {row_id}: wrote {' or '.join(map(str, rows[row_id]))}, found {', '.join(found) or None}"
            for kind, rows in values.items()
            for ids in _chunks(rows, 1000)
            for row_id, found in _found(kind, shop, ids).items()
            if len(found) > 1 or (found[0] if found else None) not in rows[row_id]
        ]

    def save(self, path: Path) -> None:
        with self._lock:
            path.write_text(json.dumps(self._values))

    @classmethod
    def load(cls, path: Path) -> Ledger:
        ledger = cls()
        for kind, rows in json.loads(path.read_text()).items():
            ledger._values[kind] = {int(row_id): tuple(values) for row_id, values in rows.items()}
        return ledger


def order_value(status: str, total: object) -> str:
    return f"{status} {total}"


_READERS: dict[str, Callable[[Shop, Sequence[int]], Sequence[Any]]] = {
    "email of user": Shop.emails,
    "name of user": Shop.names,
    "order": lambda shop, ids: [(row.id, order_value(row.status, row.total)) for row in shop.orders(ids)],
}


def _found(kind: str, shop: Shop, ids: Sequence[int]) -> dict[int, list[str]]:
    """Collect what is there under each id: one value, none, or several if ids are no longer unique."""
    found: dict[int, list[str]] = {row_id: [] for row_id in ids}
    for row_id, value in _READERS[kind](shop, ids):
        found[row_id].append(value)
    return found


def _chunks(ids: dict[int, tuple[Value, ...]], size: int) -> Iterator[list[int]]:
    rest = iter(ids)
    while chunk := list(islice(rest, size)):
        yield chunk
