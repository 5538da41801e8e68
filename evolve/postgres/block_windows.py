"""Read-only windows over tables without a key, one after the other (`verify.Windows`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evolve.backfill.keyset import PLACE, Key
from evolve.backfill.verify import Window
from evolve.postgres.connect import Connection
from evolve.postgres.windows import SqlWindows
from evolve.sql.names import QualifiedName


class BlockWindows:
    """Keys are the name of a table and a place in it.

    Args:
        tables: at least one: the table, or its leaves.
    """

    def __init__(
        self,
        connection: Connection,
        tables: Sequence[QualifiedName],
        predicate: str,
        columns: tuple[str, ...],
    ) -> None:
        self._tables = [table.full for table in tables]
        self._windows = {
            table.full: SqlWindows(connection, table, (PLACE,), predicate, columns) for table in tables
        }

    def begin(self) -> str:
        return self._windows[self._tables[0]].begin()

    def columns(self) -> tuple[str, ...]:
        return self._windows[self._tables[0]].columns()

    def look(self, after: Key | None, rows: int, sample: int) -> Window:
        table, place = (self._tables[0], None) if after is None else (after[0], after[1:])
        window = self._windows[table].look(place, rows, sample)
        end = None if window.end is None else (table, *window.end)
        behind = self._tables[self._tables.index(table) + 1 :]
        if end is None and behind:
            end = (behind[0], "(0,0)")
        return replace(window, end=end, sample=tuple((table, *key) for key in window.sample))
