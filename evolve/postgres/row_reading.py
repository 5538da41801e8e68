"""Rows as a Python function is given them, read a piece or a whole window at a time, with what tells their versions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import product
from typing import cast

import psycopg
from psycopg import sql
from psycopg.pq import Format

from evolve.backfill.calling import FunctionFailed, Row
from evolve.backfill.keyset import Key
from evolve.backfill.ports import BUCKETS, Piece
from evolve.backfill.spec import Spec
from evolve.postgres.backfill_target import Target
from evolve.postgres.composing import identifier, table_name
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import CUTS, cut_of, hashed, piece_values, rows_of

Record = tuple[object, ...]

AHEAD = 32_000_000  # bytes of rows that a worker may hold while the slices of their window are written
ALONE = 20  # pieces that are read alone after one that failed
_HERE = sql.SQL("")
READABLE = frozenset({"smallint", "integer", "bigint", "uuid", "text", "character varying"})


class Found:
    """Rows as they were read.

    Args:
        keys: for each key column the texts of all rows.
        versions: of each row.
        rows: what the function is given.
    """

    __slots__ = ("keys", "rows", "versions")

    def __init__(self, keys: list[list[str]], versions: list[str], rows: list[Row]) -> None:
        self.keys = keys
        self.versions = versions
        self.rows = rows


class Reading:
    """Reads the rows of pieces: their keys, their versions, and the columns a function wants."""

    def __init__(self, connection: Connection, spec: Spec, target: Target, columns: tuple[str, ...]) -> None:
        self._key = target.key
        names = tuple(dict.fromkeys((*(column.name for column in target.key), *columns)))
        self._names = names
        self._spelled = [column for column in target.key if column.type not in READABLE]
        picked = sql.SQL(", ").join(
            [
                sql.SQL("xmin::text"),
                *(sql.SQL("to_jsonb({}) #>> '{{}}'").format(identifier(c.name)) for c in self._spelled),
                *readable(connection, table_name(target.table), names),
            ]
        )
        order = sql.SQL(", ").join(identifier(column.name) for column in target.key)
        self._texts = {
            (cut, locking): (
                sql.SQL(
                    # Rows that this transaction has written already are done.
                    "SELECT {} FROM {} WHERE {} AND xmin <> pg_current_xact_id()::xid ORDER BY {} FOR NO KEY UPDATE"
                    if locking
                    else "SELECT {} FROM {} WHERE {} ORDER BY {}"
                )
                .format(picked, target.source, rows_of(target.key, cut, spec.where), order)
                .as_bytes()
            )
            for cut, locking in product(CUTS, (True, False))
        }

        bucket = hashed(target.key)
        self._rests = {
            cut: sql.SQL("SELECT {}, {} FROM {} WHERE {} ORDER BY {}")
            .format(picked, bucket, target.source, rows_of(target.key, cut, spec.where), order)
            .as_bytes()
            for cut in CUTS
            if cut.sliced
        }

    def read(self, connection: Connection, piece: Piece, *, locking: bool) -> Found:
        """
        Args:
            locking: take row locks until COMMIT, in key order; whoever holds one is waited for.

        Raises:
            FunctionFailed: a row has a value that Python does not know.
        """
        return self.found(self._rows(connection, self._texts[cut_of(piece), locking], piece_values(piece)))

    def rest(self, connection: Connection, piece: Piece) -> list[tuple[int, Record]]:
        """What is left of the window from that slice on: each row with the bucket of its key, in key order.

        Raises:
            FunctionFailed: a row has a value that Python does not know.
        """
        values = {**piece_values(piece), "slice_upto": BUCKETS}
        records = self._rows(connection, self._rests[cut_of(piece)], values)
        return [(cast(int, record[-1]), record[:-1]) for record in records]

    def _rows(self, connection: Connection, text: bytes, values: dict[str, object]) -> list[Record]:
        with connection.cursor() as cursor:
            # AccessShare, and row locks where the text takes them.
            cursor.execute(text, values, binary=True)
            try:
                return cursor.fetchall()
            except psycopg.DataError as error:
                # A date before Christ, or infinity: PostgreSQL knows it and Python does not.
                raise FunctionFailed(f"a row has no form in Python: {error}", "22008") from error

    def found(self, records: Sequence[Record]) -> Found:
        first = 1 + len(self._spelled)
        rows: list[Row] = [dict(zip(self._names, record[first:], strict=True)) for record in records]
        texts = {
            column.name: [str(record[1 + n]) for record in records] for n, column in enumerate(self._spelled)
        }
        keys = [texts.get(c.name) or [str(row[c.name]) for row in rows] for c in self._key]
        return Found(keys, [cast(str, record[0]) for record in records], rows)


class ReadingAhead:
    """Reads the rows of a whole window at once, where they are small: each of its slices alone would scan them all.

    That a row is read some commits before it is written harms nothing: its version tells who wrote it since.
    """

    def __init__(self) -> None:
        self._window: tuple[Key | None, Key | None, Key] | None = None
        self._rest: list[tuple[int, Record]] = []
        self._width: float | None = None  # bytes of a row, by those that were read last
        self._rows = 0
        self._alone = 0

    def taken(self, reading: Reading, piece: Piece) -> Found | None:
        """The rows of the piece, where its window was read before; each slice is taken once, in their order."""
        if self._window != _window(piece):
            return None
        upto = BUCKETS * (piece.slice + 1) // piece.slices
        records = [record for bucket, record in self._rest if bucket < upto]
        self._rest = [each for each in self._rest if each[0] >= upto]
        if piece.slice + 1 == piece.slices:
            self.forget()
        return reading.found(records)

    def read(self, reading: Reading, connection: Connection, piece: Piece) -> Found:
        """The rows of the piece, and those of the slices behind it where there is room.

        Raises:
            FunctionFailed: a row of the piece has a value that Python does not know.
        """
        self.forget()
        if self._may(piece):
            try:
                self._rest = reading.rest(connection, piece)
            except FunctionFailed:
                self.failed()  # whichever slice that row is in
            else:
                self._window = _window(piece)
                found = self.taken(reading, piece)
                assert found is not None  # noqa: S101  # it was read a moment ago
                self._learn(found)
                return found
        self._alone = max(0, self._alone - 1)
        found = reading.read(connection, piece, locking=False)
        self._learn(found)
        return found

    def failed(self) -> None:
        """A batch failed: its rows come in small pieces now, until the one that does not work is found."""
        self.forget()
        self._alone = ALONE

    def forget(self) -> None:
        self._window, self._rest = None, []

    def _may(self, piece: Piece) -> bool:
        if piece.slices == 1 or self._alone or self._width is None:
            return False
        return self._width * self._rows * (piece.slices - piece.slice) <= AHEAD

    def _learn(self, found: Found) -> None:
        self._rows = len(found.rows)
        if found.rows:
            some = found.rows[:: len(found.rows) // 64 + 1]
            self._width = sum(sys.getsizeof(value) for row in some for value in row.values()) / len(some)


def _window(piece: Piece) -> tuple[Key | None, Key | None, Key]:
    return piece.first, piece.after, piece.upto


def readable(
    connection: Connection, table: sql.SQL, names: tuple[str, ...], of: sql.SQL = _HERE
) -> Iterator[sql.Composable]:
    """Each column as it is where the driver knows how to read its binary form, else as text.

    Args:
        of: what stands before the names, with its dot.
    """
    # AccessShare for its own moment; reads no row.
    described = connection.execute(
        sql.SQL("SELECT {} FROM {} LIMIT 0").format(sql.SQL(", ").join(map(identifier, names)), table), {}
    ).description
    for name, column in zip(names, described or (), strict=True):
        known = connection.adapters.get_loader(column.type_code, Format.BINARY) is not None
        yield sql.SQL("{}{}" if known else "{}{}::text").format(of, identifier(name))
