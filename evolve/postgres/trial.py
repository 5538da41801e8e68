"""A scratch database on which recorded statements run for good, one after another, each of them watched."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import LiteralString, cast
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from evolve.lint.verification import Seen
from evolve.postgres import scratch
from evolve.postgres.composing import identifier, table_name, type_name
from evolve.postgres.connect import Connection, connect
from evolve.postgres.measure import Snapshot, compare, held_locks
from evolve.sql.names import QualifiedName

STATEMENT_TIMEOUT = 60_000  # milliseconds
_KINDS = frozenset("rpmvf")  # not indexes and sequences, which are locked with their tables


class Trial:
    """One session; `run` follows the transactions that the caller opens and ends.

    The role of the session owns the database and has no privilege beyond it, so that a statement of a stranger reaches
    neither files nor programs of the machine that the server runs on.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._in_use: frozenset[int] = frozenset()
        self._made_up: list[int] = []  # oids of the tables that were given a row, which outlive their names
        self._tried: set[int] = set()  # tables that were given a row, or cannot have one
        # The zone that makes the most work: a change between timestamp and timestamptz costs nothing in UTC.
        connection.execute("SET timezone = 'Europe/Oslo'")
        connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT}".encode())

    @property
    def version(self) -> int:
        return self._connection.info.server_version // 10_000

    @property
    def timezone(self) -> str | None:
        """The session's, which a revision may set."""
        return self._connection.info.parameter_status("TimeZone")

    # -- transactions --------------------------------------------------------------------------------------------
    @property
    def in_transaction(self) -> bool:
        return self._connection.info.transaction_status is not TransactionStatus.IDLE

    def begin(self) -> None:
        self._connection.execute("BEGIN")

    def commit(self) -> str | None:
        """End the transaction, if one is open; returns what the server said where a deferred constraint refused."""
        if not self.in_transaction:
            return None
        try:
            self._connection.execute("COMMIT")
        except psycopg.Error as error:
            return _sentence(error)
        return None

    def rollback(self) -> None:
        if self.in_transaction:
            self._connection.execute("ROLLBACK")

    # -- what is in use --------------------------------------------------------------------------------------------
    def take_into_use(self) -> None:
        """From now on everything that is there is in use, and each table that is empty gets a row if it can."""
        snapshot = Snapshot.take(self._connection)
        self._in_use = frozenset(snapshot.names)
        new = self._in_use - self._tried
        self._tried |= new
        pending = [oid for oid in snapshot.names if oid in new and snapshot.kinds[oid] in "rp"]
        while pending:
            # In rounds: a row may need one that its foreign key points to.
            left = [oid for oid in pending if not self._make_up_row(oid, snapshot.names[oid])]
            if len(left) == len(pending):
                return
            pending = left

    def empty(self) -> bool:
        """Take the made-up rows away again; False where there are none, or one cannot go."""
        if not self._made_up:
            return False
        names = Snapshot.take(self._connection).names
        pending = [names[oid] for oid in reversed(self._made_up) if oid in names]
        while pending:
            # In rounds: a key that was added since may keep a row until the one that points to it is gone.
            left = [name for name in pending if not self._delete_rows(name)]
            if len(left) == len(pending):
                return False
            pending = left
        self._made_up.clear()
        self._tried.clear()
        return True

    def _delete_rows(self, table: QualifiedName) -> bool:
        try:
            with self._connection.transaction():
                # A scratch table of ours.
                self._connection.execute(sql.SQL("DELETE FROM {}").format(table_name(table)), {})
        except psycopg.Error:
            return False
        return True

    def holds_rows(self, table: QualifiedName) -> bool:
        """True where there is no such table either."""
        try:
            with self._connection.transaction():
                # Takes ACCESS SHARE on a scratch table.
                found = self._connection.execute(
                    sql.SQL("SELECT 1 FROM {} LIMIT 1").format(table_name(table)), {}
                ).fetchone()
        except psycopg.Error:
            return True
        return found is not None

    def _make_up_row(self, oid: int, table: QualifiedName) -> bool:
        """True where nothing is left to do."""
        name = table_name(table)
        try:
            with self._connection.transaction():
                if self._connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(name), {}).fetchone():
                    return True
                columns = self._columns(table)
                row: sql.Composable = sql.SQL("DEFAULT VALUES")
                if columns:
                    row = sql.SQL("({}) VALUES ({})").format(
                        sql.SQL(", ").join(map(identifier, columns)), sql.SQL(", ").join(columns.values())
                    )
                self._connection.execute(sql.SQL("INSERT INTO {} {}").format(name, row), {})
        except psycopg.Error:
            return False
        self._made_up.append(oid)
        return True

    def _columns(self, table: QualifiedName) -> Mapping[str, sql.Composable]:
        """Columns that no default fills, each with a value that most constraints let pass."""
        # Takes no lock: reads the catalog. A key takes its value from the table that it points to.
        rows = self._connection.execute(
            """
            SELECT a.attname, format_type(a.atttypid, a.atttypmod), t.typcategory::text, t.typtype::text,
                   (SELECT ARRAY[n.nspname::text, f.relname::text,
                                 (SELECT attname::text FROM pg_attribute
                                   WHERE attrelid = k.confrelid
                                     AND attnum = k.confkey[array_position(k.conkey, a.attnum)])]
                      FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
                      JOIN pg_namespace n ON n.oid = f.relnamespace
                     WHERE k.conrelid = a.attrelid AND k.contype = 'f' AND a.attnum = ANY (k.conkey)
                       AND k.confrelid <> k.conrelid LIMIT 1)
              FROM pg_attribute a
              JOIN pg_type d ON d.oid = a.atttypid
              JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
             WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
               AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''
             ORDER BY a.attnum
            """,
            (table.full,),
        ).fetchall()
        values: dict[str, sql.Composable] = {}
        for name, spelled, category, kind, target in rows:
            if target is not None:
                schema, other, column = cast("list[str]", target)
                values[str(name)] = sql.SQL("(SELECT {} FROM {} LIMIT 1)").format(
                    identifier(column), identifier(schema, other)
                )
                continue
            type_ = type_name(str(spelled))
            if kind == "e":
                value = sql.SQL("(enum_range(NULL::{}))[1]").format(type_)
            else:
                value = sql.Composed(
                    [sql.SQL(_VALUES.get(str(spelled)) or _BY_CATEGORY.get(str(category), "NULL"))]
                )
            # A cast cuts what is too long for the column.
            values[str(name)] = sql.SQL("CAST({} AS {})").format(value, type_)
        return values

    # -- statements --------------------------------------------------------------------------------------------------
    def run(self, statement: str) -> Seen:
        """Run one statement in the open transaction, or in one of its own where it can; an error changes nothing."""
        if self.in_transaction:
            return self._watched(statement)
        self.begin()
        seen = self._watched(statement)
        if seen.error is None and (refused := self.commit()) is not None:
            return Seen(error=refused)
        self.rollback()
        return self._alone(statement) if seen.error is not None and _NOT_INSIDE in seen.error else seen

    def control(self, statement: str) -> str | None:
        """Run a BEGIN, COMMIT, ROLLBACK or SAVEPOINT that a revision wrote itself; returns what the server refused."""
        try:
            self._connection.execute(statement.encode())
        except psycopg.Error as error:
            return _sentence(error)
        return None

    def make_table(self, name: QualifiedName, columns: Mapping[str, str], key: Sequence[str]) -> None:
        """Make a table that no revision makes, or the columns that it lacks; what the server refuses is not made.

        Args:
            columns: name → type.
            key: columns that a foreign key is about to point to.
        """
        table = table_name(name)
        made = self._columns_of(name)
        statements = [
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(table, identifier(column), type_name(type_))
            for column, type_ in columns.items()
            if column not in (made or ())
        ]
        if made is None:
            statements.insert(0, sql.SQL("CREATE TABLE {} ()").format(table))
            statements.insert(0, sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier(name.schema)))
        if key:
            over = sql.SQL(", ").join(map(identifier, key))
            kind = sql.SQL("PRIMARY KEY" if made is None else "UNIQUE")
            statements.append(sql.SQL("ALTER TABLE {} ADD {} ({})").format(table, kind, over))
        with suppress(psycopg.Error), self._connection.transaction():
            for statement in statements:
                self._connection.execute(statement, {})
            # A row that was made up for the table has them too.
            for column, value in self._columns(name).items():
                if made is not None and column in columns and column not in made:
                    fill = sql.SQL("UPDATE {} SET {} = {}").format(table, identifier(column), value)
                    self._connection.execute(fill, {})
        if made is None:
            # It was there before any revision.
            known = Snapshot.take(self._connection).names
            for oid in [oid for oid, each in known.items() if each == name]:
                self._in_use |= {oid}
                self._make_up_row(oid, name)

    def _columns_of(self, table: QualifiedName) -> frozenset[str] | None:
        """None where there is no such relation."""
        # Takes no lock: reads the catalog.
        rows = self._connection.execute(
            """
            SELECT array_remove(array_agg(a.attname::text), NULL)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE n.nspname = %s AND c.relname = %s GROUP BY c.oid
            """,
            (table.schema, table.name),
        ).fetchall()
        return frozenset(cast("list[str]", rows[0][0])) if rows else None

    def _watched(self, statement: str) -> Seen:
        connection = self._connection
        before = Snapshot.take(connection)
        names = {
            oid: name
            for oid, name in before.names.items()
            if oid in self._in_use and before.kinds[oid] in _KINDS
        }
        in_use = frozenset(names.values())
        held = held_locks(connection, names)
        start = _wal(connection)
        begun = time.perf_counter()
        try:
            with connection.transaction():
                connection.execute(statement.encode())
        except psycopg.Error as error:
            return _refused(error)
        seconds = time.perf_counter() - begun
        wal = _wal(connection) - start
        done = compare(before, Snapshot.take(connection), held_locks(connection, names))
        return Seen(
            locks=done.locks,
            held=held,
            rewritten=done.rewritten & in_use,
            scanned=done.scanned & in_use,
            in_use=in_use,
            seconds=seconds,
            wal_bytes=wal,
        )

    def _alone(self, statement: str) -> Seen:
        """Outside any transaction, where its locks are gone before they can be looked at."""
        start = _wal(self._connection)
        begun = time.perf_counter()
        try:
            self._connection.execute(statement.encode())
        except psycopg.Error as error:
            return _refused(error)
        return Seen(locks=None, seconds=time.perf_counter() - begun, wal_bytes=_wal(self._connection) - start)


@contextmanager
def trial(server: scratch.Server) -> Iterator[Trial]:
    """A trial in a database of its own, as a role of its own where we may make one; both are gone afterwards."""
    role, password = f"evolve_trial_{secrets.token_hex(6)}", secrets.token_hex(16)
    with connect(server.url, autocommit=True) as admin:
        try:
            # Locks entries of the scratch server's catalog for an instant, as do the statements below.
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(password)
                )
            )
        except psycopg.errors.InsufficientPrivilege:
            # A server that was given to a role that may make databases and no more: it is as poor as ours would be.
            with server.database() as url, connect(url, autocommit=True) as connection:
                yield Trial(connection)
            return
        try:
            with server.database() as url:
                _give(url, role)
                with connect(_as_role(url, role, password), autocommit=True) as connection:
                    yield Trial(connection)
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def _give(url: str, role: str) -> None:
    name = sql.Identifier(role)
    database = sql.Identifier(scratch.database_name(url))
    with connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, name))
        connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(name))


_NOT_INSIDE = "cannot run inside a transaction block"
_BY_CATEGORY: dict[str, LiteralString] = {
    "N": "1",
    "S": "'evolve'",
    "B": "true",
    "D": "now()",
    "T": "interval '1 day'",
    "A": "'{}'",
    "I": "'127.0.0.1'",
    "R": "'empty'",
}
_VALUES: dict[str, LiteralString] = {
    "smallint": "30001",
    "integer": "30001",
    "bigint": "30001",
    "uuid": "gen_random_uuid()",
    "json": "'{}'",
    "jsonb": "'{}'",
    "bytea": "''",
    "date": "current_date",
}


def _refused(error: psycopg.Error) -> Seen:
    said, code = _sentence(error), error.sqlstate or ""
    # A bare server lacks roles, extensions and tablespaces, and our role may do nothing beyond its database.
    elsewhere = code in ("42501", "58P01", "57014") or code.startswith("53")
    if elsewhere or said.startswith(('role "', 'extension "', 'tablespace "')):
        return Seen(error=said, sqlstate=code, skipped=f"not to be tried on a bare server: {said}")
    return Seen(error=said, sqlstate=code)


def _wal(connection: Connection) -> int:
    # Takes no lock.
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
    return cast("tuple[int]", row)[0]


def _as_role(url: str, role: str, password: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(role)}:{quote(password)}@{place}").geturl()


def _sentence(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip()
