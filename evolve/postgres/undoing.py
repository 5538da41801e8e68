"""The transactions of an undo: old values go back newest first, and rows that cannot take theirs are set aside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from psycopg import sql
from psycopg.rows import class_row

from evolve.backfill.failures import Verdict, judge
from evolve.backfill.isolation import isolate
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Reject, TooManyRejects, Want
from evolve.backfill.spec import Spec
from evolve.backfill.steering import Link
from evolve.backfill.undo import Restored
from evolve.postgres import journal
from evolve.postgres.backfill_target import Target
from evolve.postgres.composing import identifier, table_name, type_name
from evolve.postgres.connect import Connection
from evolve.postgres.drift import mark_of
from evolve.postgres.failure import translated
from evolve.postgres.ground import read_again
from evolve.postgres.kept import writing_triggers
from evolve.postgres.leaves import is_partitioned
from evolve.postgres.row_hash import row_hash
from evolve.postgres.session import Session
from evolve.postgres.undo_journal import WRITTEN, is_wide, name_of, still_held, table_of


class SqlUndoBatches:
    """`undo.UndoBatches` on a server."""

    def __init__(
        self,
        session: Session,
        run_id: int,
        spec: Spec,
        target: Target,
        *,
        lease_seconds: float,
        link: Link | None = None,
    ) -> None:
        self._session = session
        self._run_id = run_id
        # The key is the run's own: an index made since must not change it.
        self._spec = replace(spec, key=tuple(column.name for column in target.key))
        self._restoring = Restoring(session.current(), run_id, target)
        self._lease_seconds = lease_seconds
        self._link = link

    @contextmanager
    def transaction(self) -> Iterator[SqlUndoTransaction]:
        target = self._restoring.target
        try:
            with self._session.transaction() as connection:
                yield SqlUndoTransaction(connection, self._restoring, self._lease_seconds, self._link)
        except _Altered:
            self._look_again()
            raise DatabaseFailure(
                f'table "{target.table.plain}" was altered; it was looked at again',
                sqlstate="55006",
                lost=False,
            ) from None
        except DatabaseFailure as failure:
            if judge(failure) is Verdict.FATAL and self._look_again():
                raise DatabaseFailure(
                    f"{failure.message}; the table was altered meanwhile", sqlstate="55006", lost=False
                ) from failure
            raise

    def _look_again(self) -> bool:
        """Read the table again where it was altered; whether it was.

        Raises:
            TableAltered: old values cannot go back into what it is now.
        """
        connection, target = self._session.current(), self._restoring.target
        with translated(connection):
            if mark_of(connection, target.table, target.oid) == target.mark:
                return False
            self._restoring = Restoring(
                connection, self._run_id, read_again(connection, self._spec, target, undoing=True)
            )
            return True


class _Altered(Exception):
    """Raised inside a transaction, which rolls back: the table is not what its statements were made for."""


@dataclass(frozen=True, slots=True)
class _Entry:
    batch_no: int
    restored: int
    rows: int


@dataclass(frozen=True, slots=True)
class _Counts:
    """
    Args:
        overwritten: rows that hold something else than their old value after it was written.
    """

    restored: int
    conflicts: int
    overwritten: int


class SqlUndoTransaction:
    def __init__(
        self, connection: Connection, restoring: Restoring, lease_seconds: float, link: Link | None
    ) -> None:
        self._connection = connection
        self._restoring = restoring
        self._lease_seconds = lease_seconds
        self._link = link

    def restore(self, lease: Lease, rows: int) -> Restored:
        with translated(self._connection):
            entry = self._newest(lease)
            if entry is None:
                return Restored(0, 0, finished=True)
            upto = min(entry.restored + rows, entry.rows)
            counts = self._restoring.restore(self._connection, lease, entry.batch_no, entry.restored, upto)
            return Restored(counts.restored, counts.conflicts, self._forget(lease, entry, upto, counts))

    def isolate(self, lease: Lease, rows: int, *, slow: bool) -> Restored:
        with translated(self._connection):
            entry = self._newest(lease)
            if entry is None:
                return Restored(0, 0, finished=True)
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            upto = min(entry.restored + rows, entry.rows)
            parts = _Parts(self._connection, self._restoring, entry.batch_no)
            isolated = isolate(parts, lease, _piece(entry.restored, upto), slow=slow)
            counts = _Counts(isolated.changed, parts.conflicts, 0)
            if isolated.rejects:
                self._restoring.set_aside(self._connection, lease, entry.batch_no, isolated.rejects)
            finished = self._forget(lease, entry, upto, counts)
            return Restored(counts.restored, counts.conflicts, finished, len(isolated.rejects))

    def checkpoint(self, lease: Lease, *, finished: bool) -> Want | None:
        target = self._restoring.target
        with translated(self._connection):
            want = journal.renewed(
                self._connection, lease, self._lease_seconds, undone=finished, link=self._link
            )
            # Behind the UPDATE nobody can alter the table until COMMIT.
            if want is not None and mark_of(self._connection, target.table, target.oid) != target.mark:
                raise _Altered
        return want

    def _newest(self, lease: Lease) -> _Entry | None:
        with self._connection.cursor(row_factory=class_row(_Entry)) as cursor:
            return cursor.execute(self._restoring.newest, (lease.range_no,)).fetchone()

    def _forget(self, lease: Lease, entry: _Entry, upto: int, counts: _Counts) -> bool:
        """Take what was gone over out of the journal; whether nothing of the range is left to do."""
        place = {"range_no": lease.range_no, "batch_no": entry.batch_no, "upto": upto}
        if entry.rows == 1 and counts.restored == 1:
            # RowExclusive on the journal.
            self._connection.execute(self._restoring.resolve, {**place, "run_id": lease.run_id})
        # Row locks in the run's own table: what is left there is the cursor.
        ends = upto == entry.rows
        self._connection.execute(self._restoring.delete if ends else self._restoring.move_on, place)
        return ends and self._newest(lease) is None


class _Parts:
    """What `isolate` needs of a transaction: keys are places in the arrays of one entry of the journal."""

    def __init__(self, connection: Connection, restoring: Restoring, batch_no: int) -> None:
        self._connection = connection
        self._restoring = restoring
        self._batch_no = batch_no
        self.conflicts = 0

    def keys(self, piece: Piece) -> list[Key]:
        low, upto = _bounds(piece)
        return [(str(place),) for place in range(low + 1, upto + 1)]

    def attempt(self, lease: Lease, piece: Piece) -> int:
        with translated(self._connection), self._connection.transaction():
            counts = self._restoring.restore(self._connection, lease, self._batch_no, *_bounds(piece))
        self.conflicts += counts.conflicts
        return counts.restored


def _piece(restored: int, upto: int) -> Piece:
    return Piece((str(restored),), (str(upto),))


def _bounds(piece: Piece) -> tuple[int, int]:
    """The places `low < place <= upto`."""
    if piece.after is not None:
        return int(piece.after[0]), int(piece.upto[0])
    return int(piece.upto[0]) - 1, int(piece.upto[0])  # see `isolation.alone`


class Restoring:
    """The statements that give rows of a target their old values back.

    Entries of rows that could not take them have numbers below zero, the newest the greatest of them: they wait for
    the next undo, see `offer_again`.
    """

    def __init__(self, connection: Connection, run_id: int, target: Target) -> None:
        self.run_id = run_id
        self.target = target
        triggers = writing_triggers(connection, target.oid)
        self._triggers = ", ".join(triggers)
        # One that is made on a partition meanwhile leaves no mark on the table above it.
        watched = bool(triggers) or is_partitioned(connection, target.oid)
        self._restore = _restore(run_id, target, wide=is_wide(connection, run_id), watched=watched).as_bytes()
        self._set_aside = _set_aside(run_id, target).as_bytes()
        undo = table_of(run_id)
        self.newest = sql.SQL(
            "SELECT batch_no, restored, rows FROM {} WHERE range_no = %s AND batch_no > 0"
            " ORDER BY batch_no DESC LIMIT 1"
        ).format(undo)
        one = sql.SQL("range_no = %(range_no)s AND batch_no = %(batch_no)s")
        self.delete = sql.SQL("DELETE FROM {} WHERE {}").format(undo, one)
        self.move_on = sql.SQL("UPDATE {} SET restored = %(upto)s WHERE {}").format(undo, one)
        self.resolve = sql.SQL(
            "UPDATE evolve.backfill_reject AS r SET resolved_at = clock_timestamp(), attempts = attempts + 1"
            " FROM (SELECT ARRAY[{key}] AS key FROM {undo} WHERE {one}) AS entry"
            " WHERE r.run_id = %(run_id)s AND r.kind = 'conflict' AND r.range_no = %(range_no)s"
            " AND r.key = entry.key AND r.sqlstate IS NOT NULL AND r.resolved_at IS NULL"
        ).format(
            key=sql.SQL(", ").join(
                sql.SQL("to_jsonb({}[1]) #>> '{{}}'").format(name_of("key", place))
                for place in range(len(target.key))
            ),
            undo=undo,
            one=one,
        )

    def restore(
        self, connection: Connection, lease: Lease, batch_no: int, restored: int, upto: int
    ) -> _Counts:
        """
        Raises:
            DatabaseFailure: a trigger leaves other values; and psycopg.Error.
        """
        values = {
            "range_no": lease.range_no,
            "batch_no": batch_no,
            "from": restored,
            "upto": upto,
            "run_id": self.run_id,
        }
        with connection.cursor(row_factory=class_row(_Counts)) as cursor:
            # RowExclusive and row locks until COMMIT, for a few milliseconds.
            counts = cursor.execute(self._restore, values).fetchone() or _Counts(0, 0, 0)
        if counts.overwritten:
            raise DatabaseFailure(
                "a trigger leaves another value than the old one"
                + (self._triggers and f": {self._triggers}"),
                sqlstate="27000",
                lost=False,
            )
        return counts

    def set_aside(
        self, connection: Connection, lease: Lease, batch_no: int, rejects: Sequence[Reject]
    ) -> None:
        """List rows that cannot take their old values, and keep those for the next try.

        Args:
            rejects: by their places in the entry.

        Raises:
            TooManyRejects: the run allows no more; the transaction must not commit.
        """
        # RowExclusive on the journal.
        keys = connection.execute(
            self._set_aside,
            {
                "run_id": self.run_id,
                "range_no": lease.range_no,
                "batch_no": batch_no,
                "places": [int(each.key[0]) for each in rejects],
                "sqlstates": [each.sqlstate for each in rejects],
                "reasons": [each.message[:500] for each in rejects],
            },
        ).fetchall()
        # A row lock in the journal until COMMIT, so that the workers of a run count one after the other.
        row = connection.execute(
            "SELECT max_rejects FROM evolve.backfill_run WHERE run_id = %s FOR NO KEY UPDATE", (self.run_id,)
        ).fetchone()
        allowed = int(str(row[0])) if row else 0
        over = count_refused(connection, self.run_id) - allowed
        named = [
            replace(each, key=tuple(str(part) for part in json.loads(str(key))))
            for each, (key,) in zip(rejects, keys, strict=True)
        ]
        if over > 0:
            raise TooManyRejects(named[max(0, len(named) - over)], allowed, undoing=True)
        told = "; ".join(f"({', '.join(each.key)}) {each.message}" for each in named[:3])
        # RowExclusive on the journal.
        connection.execute(
            "INSERT INTO evolve.backfill_event (run_id, actor, kind, detail) VALUES (%s, %s, 'not restored', %s)",
            (self.run_id, lease.owner.partition("#")[0], f"{len(named)}: {told}"[:500]),
        )


def count_refused(connection: Connection, run_id: int) -> int:
    """Rows that could not take their old values, and have not yet."""
    # AccessShare on the journal.
    row = connection.execute(
        "SELECT count(*) FROM evolve.backfill_reject WHERE run_id = %s AND kind = 'conflict'"
        " AND sqlstate IS NOT NULL AND resolved_at IS NULL",
        (run_id,),
    ).fetchone()
    return int(str(row[0])) if row else 0


def offer_again(connection: Connection, run_id: int) -> None:
    """Let rows that could not take their old values be tried once more, before those that were not come to.

    Inside a transaction, and while nobody works on the run.
    """
    undo = table_of(run_id)
    # Row locks in the run's own table.
    connection.execute(
        sql.SQL(
            "UPDATE {undo} AS u SET batch_no = u.batch_no + e.high - e.low + 1"
            " FROM (SELECT range_no, min(batch_no) AS low, greatest(max(batch_no), 0) AS high FROM {undo}"
            " GROUP BY range_no HAVING min(batch_no) < 0) AS e WHERE u.range_no = e.range_no AND u.batch_no < 0"
        ).format(undo=undo)
    )
    # Row locks in the journal.
    connection.execute(
        sql.SQL(
            "UPDATE evolve.backfill_range AS g SET undone = false WHERE run_id = %s AND undone"
            " AND EXISTS (SELECT FROM {} AS u WHERE u.range_no = g.range_no)"
        ).format(undo),
        (run_id,),
    )


def _slice(run_id: int, target: Target, *, also: sql.Composable) -> sql.Composed:
    """Rows of one entry, with their places."""
    names = [name_of("key", place) for place in range(len(target.key))]
    names += [name_of("old", place) for place in range(len(target.columns))]
    names.append(WRITTEN)
    return sql.SQL(
        "SELECT slice.* FROM {undo} AS entry, unnest({arrays}) WITH ORDINALITY AS slice ({names}, place)"
        " WHERE entry.range_no = %(range_no)s AND entry.batch_no = %(batch_no)s AND {also}"
    ).format(
        undo=table_of(run_id),
        arrays=sql.SQL(", ").join(sql.SQL("entry.{}").format(name) for name in names),
        names=sql.SQL(", ").join(names),
        also=also,
    )


def _key_text(keys: Sequence[sql.Identifier], of: str) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("to_jsonb({}.{}) #>> '{{}}'").format(sql.Identifier(of), key) for key in keys
    )


def _restore(run_id: int, target: Target, *, wide: bool, watched: bool) -> sql.Composed:
    """Give a slice of one batch its old values back where the row still holds what the batch wrote; list the others.

    READ COMMITTED: a row that somebody holds is waited for, and its hash is compared again on what they left.

    Args:
        watched: look whether the rows hold their old values afterwards.
    """
    table = table_name(target.table)
    keys = [name_of("key", place) for place in range(len(target.key))]
    own_keys = sql.SQL(", ").join(sql.SQL("{}.{}").format(table, identifier(c.name)) for c in target.key)
    saved_keys = sql.SQL(", ").join(sql.SQL("saved.{}").format(key) for key in keys)
    olds = [
        sql.SQL("saved.{}::{}").format(name_of("old", place), type_name(column.type))
        for place, column in enumerate(target.columns)
    ]
    now = [sql.SQL("{}.{}").format(table, identifier(column.name)) for column in target.columns]
    kept = sql.SQL("{} = {}").format(row_hash(now), row_hash(olds))
    return sql.SQL(
        "WITH saved AS MATERIALIZED ({slice}),"
        " back AS (UPDATE {table} SET {assignments} FROM saved"
        " WHERE ({own_keys}) = ({saved_keys}) AND {held} RETURNING {saved_keys}, {kept} AS kept),"
        " conflict AS (INSERT INTO evolve.backfill_reject (run_id, kind, range_no, key, reason)"
        " SELECT %(run_id)s, 'conflict', %(range_no)s, ARRAY[{key_text}], CASE WHEN EXISTS"
        " (SELECT FROM {table} WHERE ({own_keys}) = ({saved_keys})) THEN 'changed since' ELSE 'row is gone' END"
        # NOT IN is hashed; NOT EXISTS would compare every row with every other, since the planner expects few.
        " FROM saved WHERE ({saved_keys}) NOT IN (SELECT {bare_keys} FROM back)"
        " ON CONFLICT (run_id, kind, range_no, key)"
        " DO UPDATE SET reason = excluded.reason, sqlstate = NULL, resolved_at = NULL RETURNING 1)"
        " SELECT (SELECT count(*) FROM back) AS restored, (SELECT count(*) FROM conflict) AS conflicts,"
        " (SELECT count(*) FROM back WHERE NOT kept) AS overwritten"
    ).format(
        slice=_slice(run_id, target, also=sql.SQL("slice.place > %(from)s AND slice.place <= %(upto)s")),
        table=table,
        assignments=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(identifier(column.name), old)
            for column, old in zip(target.columns, olds, strict=True)
        ),
        own_keys=own_keys,
        saved_keys=saved_keys,
        bare_keys=sql.SQL(", ").join(keys),
        key_text=_key_text(keys, "saved"),
        held=still_held(target, table, wide=wide),
        kept=kept if watched else sql.SQL("true"),
    )


def _set_aside(run_id: int, target: Target) -> sql.Composed:
    """List the rows at some places of one entry, and give each an entry of its own; their keys, in that order."""
    keys = [name_of("key", place) for place in range(len(target.key))]
    names = [*keys, *(name_of("old", place) for place in range(len(target.columns))), WRITTEN]
    return sql.SQL(
        "WITH refused AS MATERIALIZED (SELECT saved.*, fault.sqlstate, fault.reason,"
        " row_number() OVER (ORDER BY saved.place) AS number FROM ({slice}) AS saved"
        " JOIN unnest(%(places)s::bigint[], %(sqlstates)s::text[], %(reasons)s::text[])"
        " AS fault (place, sqlstate, reason) USING (place)),"
        " kept AS (INSERT INTO {undo} (range_no, batch_no, {names}, rows)"
        " SELECT %(range_no)s, (SELECT least(min(batch_no), 0) FROM {undo} WHERE range_no = %(range_no)s) - number,"
        " {arrays}, 1 FROM refused),"
        " listed AS (INSERT INTO evolve.backfill_reject AS r (run_id, kind, range_no, key, sqlstate, reason)"
        " SELECT %(run_id)s, 'conflict', %(range_no)s, ARRAY[{key_text}], sqlstate, reason FROM refused"
        " ON CONFLICT (run_id, kind, range_no, key) DO UPDATE SET sqlstate = excluded.sqlstate,"
        " reason = excluded.reason, attempts = r.attempts + 1, at = clock_timestamp(), resolved_at = NULL)"
        " SELECT array_to_json(ARRAY[{key_text}])::text FROM refused ORDER BY number"
    ).format(
        slice=_slice(run_id, target, also=sql.SQL("true")),
        undo=table_of(run_id),
        names=sql.SQL(", ").join(names),
        arrays=sql.SQL(", ").join(sql.SQL("ARRAY[refused.{}]").format(name) for name in names),
        key_text=_key_text(keys, "refused"),
    )
