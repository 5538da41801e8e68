"""The steps of a conversion, carried out in short transactions that commit together with their note in the journal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import psycopg
from psycopg import errors, sql

from evolve.errors import Refused
from evolve.partition.conversion import Record
from evolve.partition.inventory import Inventory, differences
from evolve.partition.steps import AwaitSnapshots, BuildIndex, Copy, Settle, Statements, Track, Verify
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversions import (
    Range,
    begin_step,
    claim_range,
    claim_step,
    cut_anew,
    end_step,
    move_cursor,
    move_range,
    open_ranges,
    without_timeouts,
    worker_lock,
)
from evolve.postgres.failure import message
from evolve.postgres.inventory import read_inventory
from evolve.postgres.row_hash import exact_hash
from evolve.postgres.way_back import rows_beside
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.statements import Statement

Key = list[str]

_LEAST_WAIT = 50  # milliseconds: less would not outlast the writers that are at it
SAMPLED_PAGES = 500  # of a table whose keys are cut into ranges
PATIENT = 10_000  # milliseconds for locks that nobody queues behind


class LockNotAcquired(Exception):
    """The lock was not to be had in time, or the transaction lost a deadlock; nothing of it was kept: try again."""


class StraysFound(Exception):
    """Rows that fit no partition came in; they must be settled before the swap."""


class TableChanged(Refused):
    """Somebody changed the table since the plan was made.

    Args:
        back: it was to become again what it was.
    """

    def __init__(
        self, table: QualifiedName, changes: tuple[str, ...], command: str = "convert", *, back: bool = False
    ) -> None:
        listed = "".join(f"\n  - {change}" for change in changes)
        if back:
            super().__init__(
                f'"{table.plain}" is not what it was at the swap:{listed}',
                why="what it would go back to lacks those changes",
                fix=f"undo the change and evolve partition undo {table.shell} --run, "
                f"or stay: evolve partition finish {table.shell}",
            )
            return
        super().__init__(
            f'"{table.plain}" is not what it was when the conversion was planned:{listed}',
            why="the new partitions were made after the old picture and would lack those changes",
            fix=f"undo the change and evolve partition {command} {table.shell} --resume, "
            f"or start over: --rollback, then {command} again",
        )


class RowsPassedTheBound(Refused):
    """There are rows that the old table does not have."""

    def __init__(self, table: QualifiedName, partition: str) -> None:
        super().__init__(
            f'{partition} holds rows already: "{table.plain}" cannot go back to what it was',
            why="the old table became the first partition, and it does not have the rows of the later ones",
            fix=f"move those rows away, or keep the partitions: evolve partition finish {table.shell}",
        )


class RowsDiffer(Refused):
    """The two tables are not equal."""

    def __init__(
        self, table: QualifiedName, source: int, target: int, keys: Sequence[str], command: str = "convert"
    ) -> None:
        super().__init__(
            f'"{table.plain}" has {source:,} rows where its partitioned twin has {target:,}, or they differ in content'
            f"; keys: {', '.join(keys) or 'none found on a second look'}",
            why="somebody wrote past the sync trigger (session_replication_role, DISABLE TRIGGER) or to the twin",
            fix=f"evolve partition {command} {table.shell} --rollback, then {command} again",
        )


class StepFailed(Refused):
    """The server refused a statement, and trying again would not help."""

    def __init__(
        self, table: QualifiedName, title: str, error: psycopg.Error, command: str = "convert"
    ) -> None:
        detail = error.diag.message_detail
        super().__init__(
            f'evolve partition {command} "{table.plain}": {title}: {message(error)}{f" ({detail})" if detail else ""}',
            why="that step was rolled back; the steps before it are kept",
            fix=f"mend the cause and evolve partition {command} {table.shell} --resume, or give up: --rollback",
        )


class ConnectionLost(Refused):
    def __init__(self, table: QualifiedName, error: psycopg.Error, command: str = "convert") -> None:
        super().__init__(
            f'evolve partition {command} "{table.plain}": the connection was lost: {message(error)}',
            why="every step is noted in the database: nothing is lost and nothing is done twice",
            fix=f"evolve partition {command} {table.shell} --resume",
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Args:
    rows: looked at.
    last: key reached; None where there is nothing left.
    """

    rows: int
    last: Key | None


@dataclass(frozen=True, slots=True)
class OldSnapshot:
    """Args:
    began: tells the transaction from the next one of the same session.
    """

    pid: int
    began: str
    what: str


class Worker:
    """The connection that does the work.

    Args:
        lock_timeout: milliseconds that a statement may wait for a lock others queue behind.
        helps: it only copies ranges, beside the one that does all else; the journal's row of a range keeps it in order.
    """

    def __init__(self, url: str, record: Record, *, lock_timeout: int = 500, helps: bool = False) -> None:
        self._record = record
        self._table = record.conversion.table
        self._command = record.conversion.command
        self._lock_timeout = lock_timeout
        self._connection = connect(url, application_name="evolve partition worker", autocommit=True)
        try:
            # No lock. A backend whose client was killed notices it; row security is an error, not a filter.
            self._connection.execute(
                "SELECT set_config('client_connection_check_interval', '1s', false), "
                "set_config('row_security', 'off', false), "
                "set_config('DateStyle', 'ISO', false), set_config('TimeZone', 'UTC', false), "
                "set_config('extra_float_digits', '1', false), set_config('bytea_output', 'hex', false)"
            )
            without_timeouts(self._connection)
            if not helps:
                worker_lock(self._connection, self._table)
        except BaseException:
            self._connection.close()
            raise

    @property
    def pid(self) -> int:
        return self._connection.info.backend_pid

    def close(self) -> None:
        self._connection.close()

    # -- steps --------------------------------------------------------------------------------------------------------
    def begin(self, track: Track, number: int) -> None:
        begin_step(self._connection, self._record, track, number)

    def statements(self, step: Statements, track: Track, number: int, *, patient: bool = False) -> None:
        """One transaction.

        Args:
            patient: wait for locks long enough that autovacuum is made to give way.

        Raises:
            LockNotAcquired: try again.
            StraysFound: settle them, then try again.
            TableChanged, StepFailed, ConnectionLost.
        """
        timeout = self._timeout(step, patient=patient)
        with self._transaction(step.title, timeout) as connection:
            claim_step(connection, self._record, track, number)
            if step.unchanged != "no":
                self._check_unchanged(
                    connection, everything=step.unchanged == "all", back=step.state == "swapped back"
                )
            self._lock(step.first, timeout)
            if step.otherwise == "refuse":
                # Of all partitions: upkeep may have made some since that the plan does not know.
                beside = rows_beside(connection, self._table, self._record.conversion.inventory.oid)
                if beside is not None:
                    raise RowsPassedTheBound(self._table, beside)
            for table in step.empty if step.otherwise == "settle" else ():
                # ACCESS SHARE on a table that is locked already.
                found = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(_name(table))
                if connection.execute(found).fetchone() == (True,):
                    raise StraysFound
            _send(connection, step.statements)
            end_step(connection, self._record, track, number, step.state)

    def build_index(self, step: BuildIndex, track: Track, number: int, patience: float) -> None:
        """Build where it is missing, anew where an interrupted build left an invalid one; then attach.

        Args:
            patience: seconds that it may wait for old transactions to end; nobody queues behind CONCURRENTLY.

        Raises:
            LockNotAcquired, StepFailed, ConnectionLost.
        """
        connection = self._connection
        index = sql.Identifier(step.schema, step.index)
        with self._errors(step.title):
            # No lock. Transactions cannot hold these settings: CONCURRENTLY must run outside of one.
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{patience:.0f}s",))
            valid = self._index_state(step)
            if valid is False:
                # SHARE UPDATE EXCLUSIVE: neither reads nor writes wait.
                connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(index))
            if not valid:
                connection.execute(_sql(step.build))
        with self._transaction(step.title, self._lock_timeout):
            claim_step(connection, self._record, track, number)
            if step.attach is not None:
                connection.execute(_sql(step.attach))
            end_step(connection, self._record, track, number)

    def cut(self, step: Copy, track: Track, number: int, pieces: int) -> tuple[tuple[int, ...], int]:
        """The numbers of the ranges that are left to copy, and how many rows there are by the statistics.

        The greatest key is fixed at the first call: what comes later, the trigger brings.

        Args:
            pieces: about so many ranges are to be left; fewer are cut anew, by a sample of the keys.

        Raises:
            LockNotAcquired, StepFailed, ConnectionLost.
        """
        with self._transaction(step.title, self._lock_timeout) as connection:
            cursor = _cursor(claim_step(connection, self._record, track, number))
            if "top" not in cursor:
                # ACCESS SHARE on the table: blocks nothing. Read after the trigger is on.
                row = connection.execute(
                    sql.SQL("SELECT {} FROM {} ORDER BY {} LIMIT 1").format(
                        _as_text(step.key), _name(step.source), _order(step.key, descending=True)
                    )
                ).fetchone()
                cursor = {"last": None, "top": cast("Key", row[0]) if row else None}
            if "cut" not in cursor:
                last, top = cursor.get("last"), cursor["top"]
                whole = [(last, top)] if top is not None and last != top else []
                cut_anew(connection, self._record, track, number, (), whole)
                move_cursor(connection, self._record, track, number, {**cursor, "cut": []}, 0)
            left = open_ranges(connection, self._record, track, number)
            if 0 < len(left) < pieces:
                each = -(-pieces // len(left))
                ends = [end for of in left for end in self._cut(step, of, each)]
                cut_anew(connection, self._record, track, number, left, ends)
                left = open_ranges(connection, self._record, track, number)
            # ACCESS SHARE on catalogs only.
            rows = connection.execute(
                "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass", (step.source,)
            ).fetchone()
        return tuple(of.number for of in left), cast("int", rows[0]) if rows else 0

    def _cut(self, step: Copy, of: Range, pieces: int) -> list[tuple[Key | None, Key]]:
        """About equal parts of a range: what each comes after, and its last key."""
        # ACCESS SHARE on the table: reads some hundred of its pages.
        rows = self._connection.execute(
            sql.SQL(
                "WITH tiles AS (SELECT {key}, ntile({pieces}) OVER (ORDER BY {key}) AS tile FROM {source} "
                "TABLESAMPLE SYSTEM ((SELECT least(100, {pages} * 100.0 * current_setting('block_size')::int "
                "/ greatest(pg_relation_size({name}::regclass), 1)))) WHERE {inside}) "
                "SELECT DISTINCT ON (tile) {text} FROM tiles WHERE tile < {pieces} ORDER BY tile, {falling}"
            ).format(
                key=_list(step.key),
                pieces=sql.Literal(pieces),
                source=_name(step.source),
                pages=sql.Literal(SAMPLED_PAGES),
                name=sql.Literal(step.source),
                inside=_between(step, of.after, of.upto),
                text=_as_text(step.key),
                falling=_order(step.key, descending=True),
            )
        ).fetchall()
        last = [key for row in rows if (key := cast("Key", row[0])) != of.upto]
        return list(zip([of.after, *last], [*last, of.upto], strict=True))

    def copy_batch(self, step: Copy, track: Track, number: int, range_no: int, size: int) -> Batch:
        """Copy up to `size` rows of a range behind its cursor and move that, in one transaction.

        The end of the batch is a key that was read before any row was locked: a row whose key changes meanwhile leaves
        the batch and is brought by the trigger, and the cursor never jumps after it.

        Raises:
            LockNotAcquired, StepFailed, ConnectionLost.
        """
        with self._transaction(step.title, self._lock_timeout) as connection:
            # No lock. What a crash of the server loses, it loses together with the cursor.
            connection.execute("SELECT set_config('synchronous_commit', 'off', true)")
            of = claim_range(connection, self._record, track, number, range_no)
            if of is None:
                return Batch(0, None)
            upto = self._boundary(step.source, step, of.after, of.upto, size) or of.upto
            inside = _between(step, of.after, upto)
            # ROW SHARE and ROW EXCLUSIVE; share locks on the rows of one batch, for as long as it takes.
            copied = connection.execute(
                sql.SQL(
                    "INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {source} "
                    "WHERE {inside} ORDER BY {order} FOR SHARE ON CONFLICT ({conflict}) DO NOTHING"
                ).format(
                    target=_name(step.target),
                    columns=_list(step.columns),
                    source=_name(step.source),
                    inside=inside,
                    order=_order(step.key),
                    conflict=_list(step.conflict),
                )
            ).rowcount
            rows = size if upto != of.upto else copied
            move_range(connection, self._record, track, number, of, upto, rows)
        return Batch(rows, None if upto == of.upto else upto)

    def end(self, track: Track, number: int) -> None:
        with self._connection.transaction():
            end_step(self._connection, self._record, track, number)

    def stray_range(self, step: Settle, column: str) -> tuple[str, str] | None:
        """Least and greatest key that found no partition, as text; None where every row has one."""
        with self._errors(step.title):
            # ACCESS SHARE on a table that only the sync trigger knows.
            row = self._connection.execute(
                sql.SQL("SELECT min({0})::text, max({0})::text FROM {1}").format(
                    sql.Identifier(column), _name(step.strays)
                )
            ).fetchone()
        return (str(row[0]), str(row[1])) if row is not None and row[0] is not None else None

    def settle(self, step: Settle, statements: Sequence[Statement]) -> None:
        """Give strays their partitions, in one transaction.

        Raises:
            LockNotAcquired, StepFailed, ConnectionLost.
        """
        with self._transaction(step.title, self._lock_timeout) as connection:
            _send(connection, statements)

    def old_snapshots(self, step: AwaitSnapshots) -> tuple[OldSnapshot, ...]:
        """Sessions whose snapshot is older than this moment."""
        with self._transaction(step.title, self._lock_timeout) as connection:
            # ACCESS SHARE on catalogs only. The id drawn here is newer than that of every batch of the copy.
            rows = connection.execute(
                """
                WITH mark AS MATERIALIZED (SELECT pg_current_xact_id()::xid AS xid)
                SELECT a.pid, coalesce(a.xact_start::text, a.backend_xmin::text),
                       CASE WHEN a.xact_start IS NULL THEN format('pid %s (%s)', a.pid, a.usename)
                       ELSE format('pid %s (%s, "%s", %s for %s s)', a.pid, a.usename, a.application_name, a.state,
                                   extract(epoch FROM clock_timestamp() - a.xact_start)::int) END
                  FROM pg_stat_activity AS a, mark
                 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_xmin IS NOT NULL
                   -- Not autovacuum, which has no user, nor who replicates. Of sessions of other roles, what kind they
                   -- are of may be hidden.
                   AND a.usesysid IS NOT NULL AND a.pid NOT IN (SELECT pid FROM pg_stat_replication)
                   AND age(a.backend_xmin) > age(mark.xid)
                """
            ).fetchall()
        return tuple(OldSnapshot(cast("int", row[0]), str(row[1]), str(row[2])) for row in rows)

    def still_there(self, snapshots: Sequence[OldSnapshot]) -> tuple[OldSnapshot, ...]:
        """Those of `snapshots` whose transaction goes on."""
        with self._errors("waiting for old transactions"):
            # ACCESS SHARE on catalogs only. Of sessions of other roles, who may not see when a transaction began sees
            # no more than its snapshot, which goes with it.
            rows = self._connection.execute(
                "SELECT pid, coalesce(xact_start::text, backend_xmin::text, '') FROM pg_stat_activity "
                "WHERE pid = ANY (%s)",
                ([snapshot.pid for snapshot in snapshots],),
            ).fetchall()
        present = {(row[0], row[1]) for row in rows}
        return tuple(snapshot for snapshot in snapshots if (snapshot.pid, snapshot.began) in present)

    def verify_range(self, step: Verify, track: Track, number: int, size: int) -> Batch:
        """Compare the next `size` keys of both tables in one snapshot; the first range is open below, the last above.

        Raises:
            RowsDiffer: they are not equal.
            LockNotAcquired, StepFailed, ConnectionLost.
        """
        with self._transaction(step.title, self._lock_timeout) as connection:
            cursor = _cursor(claim_step(connection, self._record, track, number))
            last = cursor.get("last")
            upto = self._boundary(step.source, step, last, None, size)
            inside = _between(step, last, upto)
            row = connection.execute(self._compared(step, inside)).fetchone()
            source, target, equal = cast("tuple[int, int, bool]", row)
            if not equal:
                raise RowsDiffer(self._table, source, target, self._differing(step, inside), self._command)
            move_cursor(connection, self._record, track, number, {"last": upto}, source)
        return Batch(source, upto)

    # -- within steps -------------------------------------------------------------------------------------------------
    def _check_unchanged(self, connection: Connection, *, everything: bool, back: bool) -> None:
        conversion = self._record.conversion
        # SHARE UPDATE EXCLUSIVE, without its partitions: keeps schema changes out and lets reads and writes pass.
        connection.execute(
            sql.SQL("LOCK TABLE ONLY {} IN SHARE UPDATE EXCLUSIVE MODE").format(_name(self._table.full))
        )
        own = frozenset(conversion.own)
        planned = conversion.inventory.without(own)
        found = read_inventory(connection, self._table).without(own)
        if conversion.replaced is not None:
            # Upkeep goes on meanwhile; that old and new partitions fit is judged by the server. But an old default
            # partition would be read through under the lock, for whatever partition came since.
            came = self._came_since(planned, found) if back and conversion.recipe == "drain" else ()
            planned, found = replace(planned, children=()), replace(found, children=came)
        if everything:
            changes = differences(planned, found)
        else:
            before, after = planned.columns, found.columns
            same = [(c.name, c.type) for c in before] == [(c.name, c.type) for c in after]
            changes = () if same else ("columns were added, dropped or altered",)
        if changes:
            raise TableChanged(self._table, changes, self._command, back=back)

    def _came_since(self, planned: Inventory, found: Inventory) -> tuple[str, ...]:
        """Partitions that neither were there before nor are the new ones."""
        schema = self._table.schema
        known = {QualifiedName(new.name, schema).full for new in self._record.conversion.partitions}
        return tuple(
            child for child in found.children if child not in known and child not in planned.children
        )

    def _boundary(
        self, table: str, step: Copy | Verify, last: Key | None, top: Key | None, size: int
    ) -> Key | None:
        """The `size`-th key behind `last`; `top` where fewer are left."""
        # ACCESS SHARE: an index-only scan that blocks nothing.
        row = self._connection.execute(
            sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT 1 OFFSET {}").format(
                _as_text(step.key),
                _name(table),
                _between(step, last, top),
                _order(step.key),
                sql.Literal(size - 1),
            )
        ).fetchone()
        return cast("Key", row[0]) if row is not None else top

    def _compared(self, step: Verify, inside: sql.Composable) -> sql.Composed:
        inventory = self._record.conversion.inventory
        columns = (inventory.column(name) for name in step.columns)
        hashed = exact_hash((column.name, column.type) for column in columns if column is not None)
        side = sql.SQL(
            "(SELECT count(*) AS rows, coalesce(sum({}::numeric), 0) AS hash FROM {} WHERE {}) AS {}"
        )
        return sql.SQL("SELECT a.rows, b.rows, a.rows = b.rows AND a.hash = b.hash FROM {}, {}").format(
            side.format(hashed, _name(step.source), inside, sql.Identifier("a")),
            side.format(hashed, _name(step.target), inside, sql.Identifier("b")),
        )

    def _differing(self, step: Verify, inside: sql.Composable) -> list[str]:
        side = sql.SQL("(SELECT {} AS key, r::text AS row FROM (SELECT {} FROM {} WHERE {}) AS r) AS {}")
        # ACCESS SHARE on both tables: blocks nothing.
        rows = self._connection.execute(
            sql.SQL(
                "SELECT coalesce(a.key, b.key)::text FROM {} FULL JOIN {} ON a.key = b.key "
                "WHERE a.row IS DISTINCT FROM b.row LIMIT 5"
            ).format(
                side.format(
                    _as_text(step.key), _list(step.columns), _name(step.source), inside, sql.Identifier("a")
                ),
                side.format(
                    _as_text(step.key), _list(step.columns), _name(step.target), inside, sql.Identifier("b")
                ),
            )
        ).fetchall()
        return [str(row[0]) for row in rows]

    def _index_state(self, step: BuildIndex) -> bool | None:
        """True where the index is there and valid, False where it is invalid, None where it is not there."""
        # ACCESS SHARE on catalogs only.
        row = self._connection.execute(
            "SELECT i.indisvalid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "JOIN pg_index AS i ON i.indexrelid = c.oid "
            "WHERE n.nspname = %s AND c.relname = %s AND i.indrelid = %s::regclass",
            (step.schema, step.index, step.table),
        ).fetchone()
        return bool(row[0]) if row is not None else None

    def _lock(self, statements: Sequence[Statement], timeout: int) -> None:
        """All within `timeout` (ms), together: who queues behind the first lock waits for the last one, too."""
        until = time.monotonic() + timeout / 1000
        for statement in statements:
            self._connection.execute(
                sql.SQL("SET LOCAL lock_timeout = {}; {}").format(sql.Literal(_left(until)), _sql(statement))
            )
        if statements:
            # No lock.
            self._connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(_left(until)),))

    def _timeout(self, step: Statements, *, patient: bool) -> int:
        locks = [
            statement.lock for statement in (*step.first, *step.statements) if statement.lock is not None
        ]
        if locks and max(locks) <= LockMode.SHARE_UPDATE_EXCLUSIVE:
            return PATIENT
        # Autovacuum gives way after deadlock_timeout, one second unless somebody changed it.
        return max(self._lock_timeout, 1_200) if patient else self._lock_timeout

    @contextmanager
    def _transaction(self, title: str, lock_timeout: int) -> Iterator[Connection]:
        with self._errors(title), self._connection.transaction():
            # No lock. A client that freezes inside of a transaction must not hold its locks for long.
            self._connection.execute(
                "SELECT set_config('lock_timeout', %s, true), "
                "set_config('idle_in_transaction_session_timeout', '10s', true)",
                (str(lock_timeout),),
            )
            yield self._connection

    @contextmanager
    def _errors(self, title: str) -> Iterator[None]:
        try:
            yield
        # The last: a row that a batch waited for was moved to another partition, whose trigger brings it.
        except (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure) as error:
            raise LockNotAcquired(message(error)) from error
        except psycopg.Error as error:
            if self._connection.closed or isinstance(error, psycopg.InterfaceError):
                raise ConnectionLost(self._table, error, self._command) from error
            raise StepFailed(self._table, title, error, self._command) from error


def _left(until: float) -> int:
    """Milliseconds."""
    return max(_LEAST_WAIT, int((until - time.monotonic()) * 1000))


def _send(connection: Connection, statements: Sequence[Statement]) -> None:
    """All of them in one message, so that no lock is held for the way of each to the server and back."""
    if statements:
        connection.execute(sql.SQL(";\n").join(_sql(statement) for statement in statements))


def _sql(statement: Statement) -> sql.SQL:
    """A planned statement: every name in it was quoted when it was written, every definition comes from the server."""
    return sql.SQL(statement.sql)  # pyright: ignore[reportArgumentType]


def _name(text: str) -> sql.SQL:
    """A qualified name of a table or type that is quoted already. For statements without parameters: % stays single."""
    return sql.SQL(text)  # pyright: ignore[reportArgumentType]


def _list(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _order(names: Sequence[str], *, descending: bool = False) -> sql.Composable:
    word = sql.SQL(" DESC") if descending else sql.SQL("")
    return sql.SQL(", ").join(sql.Identifier(name) + word for name in names)


def _as_text(names: Sequence[str]) -> sql.Composable:
    return sql.SQL("ARRAY[{}]").format(
        sql.SQL(", ").join(sql.Identifier(n) + sql.SQL("::text") for n in names)
    )


def _between(step: Copy | Verify, last: Key | None, upto: Key | None) -> sql.Composable:
    """Keys behind `last`, not past `upto`; None is open."""
    terms: list[sql.Composable] = []
    for sign, key in ((sql.SQL(">"), last), (sql.SQL("<="), upto)):
        if key is not None:
            values = sql.SQL(", ").join(
                sql.SQL("{}::{}").format(sql.Literal(value), _name(kind))
                for value, kind in zip(key, step.key_types, strict=True)
            )
            terms.append(sql.SQL("({}) {} ({})").format(_list(step.key), sign, values))
    return sql.SQL(" AND ").join(terms) if terms else sql.SQL("true")


def _cursor(value: object) -> dict[str, Key | None]:
    if value is None:
        return {}
    found = json.loads(value) if isinstance(value, str) else value
    return cast("dict[str, Key | None]", found)
