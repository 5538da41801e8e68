"""Read-only windows over a table, for verification (`verify.Windows`)."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from evolve.backfill.keyset import PLACE, Key, KeyColumn
from evolve.backfill.verify import Window
from evolve.postgres.composing import identifier, table_name, written
from evolve.postgres.connect import Connection
from evolve.postgres.failure import translated
from evolve.postgres.pieces import after, in_order, key_text, key_values, up_to
from evolve.postgres.row_hash import row_hash
from evolve.postgres.walking import BLOCK_BOUNDARY, KEY_BOUNDARY
from evolve.sql.names import QualifiedName

_NO_HASH = sql.SQL("NULL::bigint")


@dataclass(frozen=True, slots=True)
class _Counted:
    rows: int
    misses: int
    nulls: list[int]
    checksum: str | None


class SqlWindows:
    """Each window is one short read-only transaction; a table may be checked on a standby as well."""

    def __init__(
        self,
        connection: Connection,
        table: QualifiedName,
        key: tuple[KeyColumn, ...],
        predicate: str,
        columns: tuple[str, ...],
    ) -> None:
        self._connection = connection
        self._table = table_name(table)
        self._key = key
        self._columns = sql.SQL(", ").join(identifier(column.name) for column in key)
        self._predicate = written(predicate)
        self._written = columns
        self._hash: sql.Composable = row_hash(
            identifier(name)
            for name in dict.fromkeys((*(column.name for column in key if column != PLACE), *columns))
        )

    def begin(self) -> str:
        with translated(self._connection):
            row = self._connection.execute("SELECT to_jsonb(clock_timestamp()) #>> '{}'").fetchone()
        return str(row[0]) if row else ""

    def columns(self) -> tuple[str, ...]:
        return self._written

    def look(self, after: Key | None, rows: int, sample: int) -> Window:
        with translated(self._connection):
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            try:
                with self._connection.transaction():
                    return self._look(after, rows, sample)
            except psycopg.errors.UndefinedFunction:
                if self._hash == _NO_HASH:
                    raise
                self._hash = _NO_HASH  # a type without a binary form
                with self._connection.transaction():
                    return self._look(after, rows, sample)

    def _look(self, cursor: Key | None, rows: int, sample: int) -> Window:
        values: dict[str, object] = {**key_values("after", cursor), "rows": rows, "sample": sample}
        behind = sql.SQL("true") if cursor is None else after(self._key)
        # AccessShare; an index-only scan of the window's own keys.
        edge = self._connection.execute(
            (BLOCK_BOUNDARY if self._key == (PLACE,) else KEY_BOUNDARY).format(
                key=key_text(self._key),
                columns=self._columns,
                table=self._table,
                between=behind,
                order=in_order(self._key),
            ),
            values,
        ).fetchone()
        end: Key | None = None
        inside = behind
        if edge is not None and isinstance(edge[0], list):
            end = tuple(str(part) for part in edge[0])
            inside = sql.SQL("{} AND {}").format(behind, up_to(self._key))
            values |= key_values("upto", end)
        # AccessShare; an index scan of the window. A predicate that is null is no miss, as in WHERE.
        with self._connection.cursor(row_factory=class_row(_Counted)) as reading:
            counted = reading.execute(
                sql.SQL(
                    "SELECT count(*) AS rows, count(*) FILTER (WHERE {}) AS misses, ARRAY[{}]::bigint[] AS nulls,"
                    " sum({})::text AS checksum FROM {} WHERE {}"
                ).format(
                    self._predicate,
                    sql.SQL(", ").join(
                        sql.SQL("count(*) FILTER (WHERE {} IS NULL)").format(identifier(name))
                        for name in self._written
                    ),
                    self._hash,
                    self._table,
                    inside,
                ),
                values,
            ).fetchone()
        if counted is None:
            raise LookupError("an aggregate without GROUP BY came without its row")
        keys: tuple[Key, ...] = ()
        if counted.misses and sample:
            # AccessShare; the same window again.
            found = self._connection.execute(
                sql.SQL("SELECT {} FROM {} WHERE {} AND {} ORDER BY {} LIMIT %(sample)s").format(
                    key_text(self._key), self._table, inside, self._predicate, in_order(self._key)
                ),
                values,
            ).fetchall()
            keys = tuple(tuple(str(part) for part in row[0]) for row in found if isinstance(row[0], list))
        return Window(end, counted.rows, counted.misses, keys, tuple(counted.nulls), self._checksum(counted))

    def _checksum(self, counted: _Counted) -> int | None:
        if self._hash == _NO_HASH:
            return None
        return int(counted.checksum or 0)
