"""The change that is a Python function: rows are read, computed here, and written back by one UPDATE of arrays.

What ties a value to the row it was computed from is the row's version, its `xmin`: a row that somebody wrote since has
another one. Comparing the columns read would be dearer, and wrong where equal is not the same: 1.0 and 1.00, letters of
a collation that does not tell them apart, types without equality.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from psycopg.adapt import PyFormat

from evolve.backfill.calling import Computing, Values
from evolve.backfill.keyset import KeyColumn
from evolve.backfill.ports import DatabaseFailure, Lease, Piece
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.postgres import journal, undo_journal
from evolve.postgres.backfill_target import Target, TargetColumn
from evolve.postgres.composing import identifier, type_name
from evolve.postgres.connect import Connection
from evolve.postgres.kept import Kept, ValueOverwritten, writing_triggers
from evolve.postgres.pieces import CUTS, Cut, cut_of, keys_between, piece_values, rows_of
from evolve.postgres.renewing import renewing
from evolve.postgres.row_reading import Found, Reading, ReadingAhead
from evolve.postgres.row_values import Spelling
from evolve.postgres.session import Session

LOCKING = 20  # batches that lock their rows first, after one that met another writer and keeps a journal


class Writing:
    """Writes computed values to the rows they were computed from, as long as nobody wrote those since.

    Args:
        undo_of: the run whose journal takes the before-images; None keeps none. They are exact without a snapshot: what
            the statement sees before is the version that was read, or the row is not written.
    """

    def __init__(self, target: Target, where: str | None, undo_of: int | None) -> None:
        self._key = target.key
        self._columns = target.columns
        self._recording = undo_of is not None
        self._texts: dict[Cut, bytes] = {}
        self._left_out = {opening: _left_out(target, opening=opening).as_bytes() for opening in (True, False)}
        for cut in CUTS:
            update = _update(target, cut)
            if undo_of is not None and target.returns_old:
                update = undo_journal.returning(undo_of, target, update)
            elif undo_of is not None:
                update = undo_journal.recording(undo_of, target, update, rows_of(target.key, cut, where))
            self._texts[cut] = update.as_bytes()

    def write(
        self,
        connection: Connection,
        lease: Lease,
        piece: Piece,
        found: Found,
        computed: Sequence[Values | None],
    ) -> tuple[int, int]:
        """The number of rows that were to be written, and that were.

        Raises:
            FunctionFailed: a value that no column could hold.
        """
        wanted = sum(values is not None for values in computed)
        if not wanted:
            return 0, 0
        values = self.values(connection, piece, found, computed)
        values |= {"range_no": lease.range_no, "batch_no": lease.batches + 1}
        # RowExclusive and row locks until COMMIT, in key order, for a few milliseconds.
        cursor = connection.execute(self._texts[cut_of(piece)], values)
        if not self._recording:
            return wanted, cursor.rowcount
        recorded = cursor.fetchone()
        return wanted, int(str(recorded[1])) if recorded else 0

    def left_out(
        self, connection: Connection, piece: Piece, found: Found, computed: Sequence[Values | None]
    ) -> int:
        """Of rows that were locked and are not written, the number of those that hold something else."""
        # AccessShare; rows of the piece, by its key.
        row = connection.execute(
            self._left_out[cut_of(piece).opening], self.values(connection, piece, found, computed)
        ).fetchone()
        return int(str(row[0])) if row else 0

    def values(
        self, connection: Connection, piece: Piece, found: Found, computed: Sequence[Values | None]
    ) -> dict[str, object]:
        """What the placeholders of its statements stand for."""
        wanted = [place for place, values in enumerate(computed) if values is not None]
        values: dict[str, object] = {
            **piece_values(piece),
            "version": [found.versions[place] for place in wanted],
        }
        for n, texts in enumerate(found.keys):
            values[f"key{n}"] = [texts[place] for place in wanted]
        rows = [row for row in computed if row is not None]
        spelling = Spelling(connection)
        for n, column in enumerate(self._columns):
            values[f"new{n}"] = spelling.column(column.name, column.type, [row[n] for row in rows])
        return values


def _update(target: Target, cut: Cut) -> sql.Composed:
    """Both the keys of the piece and those of the rows are compared, so that no plan can read more than the piece."""
    own = target.reference
    changes = [
        sql.SQL("{} = {}").format(identifier(column.name), _new(n, column))
        for n, column in enumerate(target.columns)
    ]
    if cut.touch:
        changes += [
            sql.SQL("{} = {}.{}").format(identifier(name), own, identifier(name)) for name in target.touched
        ]
    return sql.SQL("UPDATE {table} SET {changes} FROM {rows}").format(
        table=target.source, changes=sql.SQL(", ").join(changes), rows=_rows(target, opening=cut.opening)
    )


def _left_out(target: Target, *, opening: bool) -> sql.Composed:
    own = target.reference
    return sql.SQL("SELECT count(*) FROM {table}, {rows} AND ({differs})").format(
        table=target.source,
        rows=_rows(target, opening=opening),
        differs=sql.SQL(" OR ").join(
            sql.SQL("{}.{}::text IS DISTINCT FROM {}::text").format(
                own, identifier(column.name), _new(n, column)
            )
            for n, column in enumerate(target.columns)
        ),
    )


class _Held:
    """Whether rows that were written hold what they were given, where triggers may have written them as well."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self.triggers = writing_triggers(connection, target.oid)
        # AccessShare on catalogs only. With its length or precision: a value is rounded to it.
        types = {
            str(name): str(type_)
            for name, type_ in connection.execute(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::oid",
                (target.oid,),
            )
        }
        counts = sql.SQL(", ").join(
            sql.SQL("count(*) FILTER (WHERE {}.{}::text IS DISTINCT FROM {}::{}::text)").format(
                target.reference, identifier(column.name), _of(f"new{n}"), type_name(types[column.name])
            )
            for n, column in enumerate(target.columns)
        )
        self._texts = {
            opening: sql.SQL("SELECT {} FROM {}, {}")
            .format(counts, target.source, _rows(target, opening=opening, versions=False))
            .as_bytes()
            for opening in (True, False)
        }

    def overwritten(self, connection: Connection, piece: Piece, values: dict[str, object]) -> list[int]:
        """For each column the number of rows that hold something else."""
        if not self.triggers:
            return []
        # AccessShare; rows of the piece, by its key.
        row = connection.execute(self._texts[cut_of(piece).opening], values).fetchone()
        return [int(str(count)) for count in row or ()]


def _rows(target: Target, *, opening: bool, versions: bool = True) -> sql.Composed:
    """The rows that values were computed for, with these.

    Args:
        versions: only where nobody wrote them since.
    """
    own = target.reference
    arrays = [
        *(_array(f"key{n}", sql.SQL("::{}[]").format(type_name(c.type))) for n, c in enumerate(target.key)),
        _array("version", sql.SQL("::xid[]")),
        *(_array(f"new{n}", sql.SQL("")) for n in range(len(target.columns))),
    ]
    names = [
        *(_own(f"key{n}") for n in range(len(target.key))),
        _own("version"),
        *(_own(f"new{n}") for n in range(len(target.columns))),
    ]
    same_version = sql.SQL(" AND {}.xmin = {}").format(own, _of("version")) if versions else sql.SQL("")
    return sql.SQL("unnest({arrays}) AS evolve_row ({names}) WHERE {between} AND {same}{version}").format(
        arrays=sql.SQL(", ").join(arrays),
        names=sql.SQL(", ").join(names),
        between=keys_between(target.key, opening=opening),
        same=sql.SQL(" AND ").join(_same(own, n, column) for n, column in enumerate(target.key)),
        version=same_version,
    )


def _same(table: sql.SQL, place: int, column: KeyColumn) -> sql.Composed:
    return sql.SQL("{}.{} = {}").format(table, identifier(column.name), _of(f"key{place}"))


def _array(name: str, cast_to: sql.Composable) -> sql.Composed:
    return sql.SQL("{}::text[]{}").format(sql.Placeholder(name, PyFormat.BINARY), cast_to)


def _own(name: str) -> sql.Identifier:
    """Names that no column of a table has, since the keys of the piece are written without their table."""
    return sql.Identifier(f"evolve_{name}")


def _new(place: int, column: TargetColumn) -> sql.Composed:
    return sql.SQL("{}::{}").format(_of(f"new{place}"), type_name(column.type))


def _of(name: str) -> sql.Composed:
    return sql.SQL("evolve_row.{}").format(_own(name))


class Transforming:
    """Guarded: `prepare` computes while no lock is held and no transaction is open, from rows read a window at a time;
    what was changed since is read again under a lock, within the batch. Locked, or where nothing was prepared: all
    of it within the batch.

    With an undo journal, a batch that meets another writer is tried again under locks, and so are the next ones.

    Args:
        lease_seconds: renewed while a function takes its time.
    """

    def __init__(
        self,
        spec: Spec,
        work: Transform,
        target: Target,
        undo_of: int | None,
        compute: Computing,
        *,
        lease_seconds: float,
    ) -> None:
        self._spec = spec
        self._work = work
        self._target = target
        self._undo_of = undo_of
        self._compute = compute
        self._lease_seconds = lease_seconds
        self._reading: Reading | None = None
        self._ahead = ReadingAhead()
        self._writing = Writing(target, spec.where, undo_of)
        self._ready: tuple[Piece, Found, list[Values | None]] | None = None
        self._locking = 0
        self._held: _Held | None = None  # made anew with all of this where the table is altered

    def begin(self) -> bool:
        return False

    def prepare(self, session: Session, lease: Lease, piece: Piece) -> None:
        self._ready = None
        if self._work.mode is Mode.LOCKED:
            return
        if self._locking:
            self._locking -= 1
            return
        found = None if self._reading is None else self._ahead.taken(self._reading, piece)
        if found is None:
            with session.transaction() as connection:
                found = self._ahead.read(self._reads(connection), connection, piece)

        def renew(connection: Connection) -> None:
            journal.renewed(connection, lease, self._lease_seconds)

        with renewing(session, self._lease_seconds, renew):
            self._ready = piece, found, self._compute(found.rows)

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        ready, self._ready = self._ready, None
        written = 0
        if ready is not None and ready[0] == piece:
            wanted, written = self._writing.write(connection, lease, piece, *ready[1:])
            if written == wanted:
                self._check_held(connection, piece, *ready[1:])
                return written
            if self._undo_of is not None:
                raise DatabaseFailure("rows changed while they were computed", sqlstate="40001", lost=False)
        found = self._reads(connection).read(connection, piece, locking=True)
        computed = self._compute(found.rows, connection)
        wanted, locked = self._writing.write(connection, lease, piece, found, computed)
        if locked < wanted:
            # Nobody else can write them: a trigger has kept them from it, as it may where they hold their values.
            left_out = self._writing.left_out(connection, piece, found, computed)
            if left_out:
                triggers = writing_triggers(connection, self._target.oid)
                raise ValueOverwritten(
                    self._spec, Kept(wanted, self._target.columns[0].name, left_out, triggers)
                )
        self._check_held(connection, piece, found, computed)
        return written + locked

    def _check_held(
        self, connection: Connection, piece: Piece, found: Found, computed: Sequence[Values | None]
    ) -> None:
        """
        Raises:
            ValueOverwritten: a trigger left something else in rows that were written.
        """
        if self._held is None:
            self._held = _Held(connection, self._target)
        wanted = sum(values is not None for values in computed)
        if not self._held.triggers or not wanted:
            return
        counts = self._held.overwritten(
            connection, piece, self._writing.values(connection, piece, found, computed)
        )
        for column, count in zip(self._target.columns, counts, strict=True):
            if count:
                raise ValueOverwritten(self._spec, Kept(wanted, column.name, count, self._held.triggers))

    def failed(self, failure: DatabaseFailure) -> None:
        self._ready = None
        self._ahead.failed()
        if failure.sqlstate == "40001":
            self._locking = LOCKING

    def _reads(self, connection: Connection) -> Reading:
        if self._reading is None:
            self._reading = Reading(connection, self._spec, self._target, self._work.reads)
        return self._reading
