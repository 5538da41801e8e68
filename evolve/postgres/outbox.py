"""Effects outside of the database: noted in the batch's transaction, carried out afterwards, at least once each.

A note holds what the function is to be given, as it was when its batch committed. Its number for the outside world is
made of the run, the key and that: who is told the same number twice has been told the same thing twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from psycopg import sql
from psycopg.adapt import PyFormat
from psycopg.rows import class_row

from evolve.backfill.calling import RAISED, Values
from evolve.backfill.delivering import Note, Notes
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Piece, Reject
from evolve.backfill.spec import Spec
from evolve.backfill.transform import IDEMPOTENCY_KEY, Transform
from evolve.postgres import journal, rejects
from evolve.postgres.backfill_target import Target
from evolve.postgres.composing import identifier, table_name, type_name
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import CUTS, cut_of, piece_values, rows_of
from evolve.postgres.renewing import renewing
from evolve.postgres.row_reading import readable
from evolve.postgres.row_values import Spelling
from evolve.postgres.session import Session


def _payload(target: Target, work: Transform, of: sql.Composable) -> sql.Composed:
    """What the function is to be given, spelled so that no setting of a session changes it."""
    return sql.SQL("jsonb_build_object({})").format(
        sql.SQL(", ").join(
            sql.SQL("{}::text, {}.{}").format(sql.Literal(name), of, identifier(name))
            for name in given(target, work)
        )
    )


def given(target: Target, work: Transform) -> tuple[str, ...]:
    """Columns that the function sees: the key and what it reads."""
    return tuple(dict.fromkeys((*(column.name for column in target.key), *work.reads)))


class Noting:
    """The change that writes nothing to its rows, but notes what is to be carried out.

    A note that was given up is due again where its row is noted once more.
    """

    def __init__(self, spec: Spec, work: Transform, target: Target) -> None:
        key = sql.SQL(", ").join(
            sql.SQL("to_jsonb({}) #>> '{{}}'").format(identifier(column.name)) for column in target.key
        )
        self._texts = {
            cut: sql.SQL(
                "INSERT INTO evolve.backfill_outbox AS noted (run_id, range_no, key, payload)"
                " SELECT %(run_id)s, %(range_no)s, ARRAY[{}], {} FROM {} WHERE {}"
                " ON CONFLICT (run_id, range_no, key) DO UPDATE"
                " SET state = 'noted', tries = 0, due = '-infinity', payload = excluded.payload"
                " WHERE noted.state = 'failed'"
            )
            .format(
                key,
                _payload(target, work, target.reference),
                target.source,
                rows_of(target.key, cut, spec.where),
            )
            .as_bytes()
            for cut in CUTS
        }

    def begin(self) -> bool:
        return False

    def apply(self, connection: Connection, lease: Lease, piece: Piece) -> int:
        values = {**piece_values(piece), "run_id": lease.run_id, "range_no": lease.range_no}
        # RowExclusive on the journal; AccessShare on the table.
        return connection.execute(self._texts[cut_of(piece)], values).rowcount

    def failed(self, failure: DatabaseFailure) -> None:
        pass


class SqlOutbox:
    """`delivering.Outbox` on a server.

    A worker holds a note by putting off when it is due; locked rows are passed over. So of several workers one carries
    it out, and another one only where the first was silent for longer than a lease.

    Args:
        seconds: length of a lease.
    """

    def __init__(
        self, session: Session, run_id: int, work: Transform, target: Target, *, seconds: float
    ) -> None:
        self._session = session
        self._run_id = run_id
        self._work = work
        self._target = target
        self._seconds = seconds
        self._table = table_name(target.table)
        self._claim: bytes | None = None
        self._write = _writing(target, work).as_bytes() if work.writes else None
        self._renote = _noting_anew(target, work).as_bytes()

    def claim(self, rows: int) -> list[Note]:
        with self._session.transaction() as connection, connection.cursor() as cursor:
            if self._claim is None:
                self._claim = self._claiming(connection).as_bytes()
            # Row locks in the journal, for a few milliseconds.
            cursor.execute(
                self._claim, {"run": self._run_id, "rows": rows, "seconds": self._seconds}, binary=True
            )
            found = cursor.fetchall()
        names = (IDEMPOTENCY_KEY, *given(self._target, self._work))
        return [
            Note(int(str(number)), dict(zip(names, values, strict=True)), int(str(tries)))
            for number, tries, *values in found
        ]

    def _claiming(self, connection: Connection) -> sql.Composed:
        columns = readable(connection, self._table, given(self._target, self._work), sql.SQL("given."))
        return sql.SQL(
            "WITH due AS (SELECT note_no FROM evolve.backfill_outbox WHERE run_id = %(run)s AND state = 'noted'"
            " AND due <= clock_timestamp() ORDER BY note_no LIMIT %(rows)s::bigint FOR UPDATE SKIP LOCKED),"
            " held AS (UPDATE evolve.backfill_outbox AS noted"
            " SET due = clock_timestamp() + make_interval(secs => %(seconds)s) FROM due"
            " WHERE noted.note_no = due.note_no AND noted.run_id = %(run)s AND noted.state = 'noted'"
            " RETURNING noted.*)"
            " SELECT note_no, tries, md5(run_id || ':' || key::text || ':' || payload::text), {}"
            " FROM held CROSS JOIN LATERAL jsonb_populate_record(NULL::{}, payload) AS given ORDER BY note_no"
        ).format(sql.SQL(", ").join(columns), self._table)

    @contextmanager
    def held(self, notes: Sequence[Note], lease: Lease | None) -> Iterator[None]:
        numbers = [note.number for note in notes]

        def renew(connection: Connection) -> None:
            # Row locks in the journal.
            connection.execute(
                "UPDATE evolve.backfill_outbox SET due = clock_timestamp() + make_interval(secs => %s)"
                " WHERE run_id = %s AND note_no = ANY(%s) AND state = 'noted' AND due > clock_timestamp()",
                (self._seconds, self._run_id, numbers),
            )
            if lease is not None:
                journal.renewed(connection, lease, self._seconds)

        with renewing(self._session, self._seconds, renew):
            yield

    def give_back(self, notes: Sequence[Note]) -> None:
        with self._session.transaction() as connection:
            # Row locks in the journal.
            connection.execute(
                "UPDATE evolve.backfill_outbox SET due = '-infinity'"
                " WHERE run_id = %s AND note_no = ANY(%s) AND state = 'noted'",
                (self._run_id, [note.number for note in notes]),
            )

    def done(self, notes: Sequence[Note], answers: Sequence[Values | None]) -> int:
        with self._session.transaction() as connection:
            answered = [
                (note.number, answer)
                for note, answer in zip(notes, answers, strict=True)
                if answer is not None
            ]
            written = self._written(connection, answered) if self._write is not None and answered else set()
            numbers = {note.number for note in notes}
            if self._write is not None:
                left = [number for number, _ in answered if number not in written]
                if left:
                    # Row locks in the journal.
                    found = connection.execute(
                        self._renote, {"run": self._run_id, "numbers": left}
                    ).fetchall()
                    numbers -= {int(str(row[0])) for row in found}
            # Row locks in the journal.
            connection.execute(
                "UPDATE evolve.backfill_outbox SET state = 'delivered' WHERE run_id = %s AND note_no = ANY(%s)",
                (self._run_id, list(numbers)),
            )
        return len(written)

    def _written(self, connection: Connection, answered: list[tuple[int, Values]]) -> set[int]:
        spelling = Spelling(connection)
        values: dict[str, object] = {"run": self._run_id, "numbers": [number for number, _ in answered]}
        for n, column in enumerate(self._target.columns):
            values[f"new{n}"] = spelling.column(
                column.name, column.type, [answer[n] for _, answer in answered]
            )
        # RowExclusive and row locks until COMMIT, for a few milliseconds.
        found = connection.execute(self._write or b"", values).fetchall()
        return {int(str(row[0])) for row in found}

    def failed(self, note: Note, message: str, *, delay: float | None) -> None:
        with self._session.transaction() as connection:
            # A row lock in the journal.
            row = connection.execute(
                "UPDATE evolve.backfill_outbox SET tries = tries + 1, error = %s, state = %s,"
                " due = clock_timestamp() + make_interval(secs => %s) WHERE run_id = %s AND note_no = %s"
                " RETURNING range_no, key",
                (
                    message[:500],
                    "noted" if delay is not None else "failed",
                    delay or 0,
                    self._run_id,
                    note.number,
                ),
            ).fetchone()
            if delay is None and row is not None and isinstance(row[1], list):
                key: Key = tuple(str(part) for part in row[1])
                lease = Lease(self._run_id, int(str(row[0])), "", 0, None, key)
                rejects.reject(connection, lease, [Reject(key, RAISED, message)])

    def left(self) -> int:
        with self._session.transaction() as connection:
            return notes_left(connection, self._run_id)


def notes_left(connection: Connection, run_id: int) -> int:
    """Notes that are not carried out, whoever holds them."""
    # AccessShare on the journal.
    row = connection.execute(
        "SELECT count(*) FROM evolve.backfill_outbox WHERE run_id = %s AND state = 'noted'", (run_id,)
    ).fetchone()
    return int(str(row[0])) if row else 0


def notes_of(connection: Connection, run_id: int) -> Notes:
    with connection.cursor(row_factory=class_row(Notes)) as cursor:
        # AccessShare on the journal.
        found = cursor.execute(
            "SELECT count(*) FILTER (WHERE state = 'noted') AS waiting,"
            " count(*) FILTER (WHERE state = 'delivered') AS delivered,"
            " count(*) FILTER (WHERE state = 'failed') AS failed"
            " FROM evolve.backfill_outbox WHERE run_id = %s",
            (run_id,),
        ).fetchone()
    return found or Notes(0, 0, 0)


def _same_row(target: Target) -> sql.Composed:
    """The row that a note is about."""
    return sql.SQL(" AND ").join(
        sql.SQL("{}.{} = (noted.key)[{}]::{}").format(
            table_name(target.table), identifier(column.name), sql.Literal(place), type_name(column.type)
        )
        for place, column in enumerate(target.key, start=1)
    )


def _writing(target: Target, work: Transform) -> sql.Composed:
    """Only where the row still holds what the effect was given."""
    table = table_name(target.table)
    return sql.SQL(
        "UPDATE {table} SET {changes} FROM unnest(%(numbers)s::bigint[], {arrays}) AS evolve_row (evolve_no, {names})"
        " JOIN evolve.backfill_outbox AS noted ON noted.run_id = %(run)s AND noted.note_no = evolve_no"
        " WHERE {same} AND noted.payload = {payload} RETURNING evolve_no"
    ).format(
        table=table,
        changes=sql.SQL(", ").join(
            sql.SQL("{} = {}::{}").format(identifier(column.name), _new(n), type_name(column.type))
            for n, column in enumerate(target.columns)
        ),
        arrays=sql.SQL(", ").join(
            sql.SQL("{}::text[]").format(sql.Placeholder(f"new{n}", PyFormat.BINARY))
            for n in range(len(target.columns))
        ),
        names=sql.SQL(", ").join(_new(n) for n in range(len(target.columns))),
        same=_same_row(target),
        payload=_payload(target, work, table),
    )


def _new(place: int) -> sql.Identifier:
    return sql.Identifier(f"evolve_new{place}")


def _noting_anew(target: Target, work: Transform) -> sql.Composed:
    """Notes whose row is still there and holds something else; a row that is gone needs nothing any more."""
    table = table_name(target.table)
    payload = _payload(target, work, table)
    return sql.SQL(
        "UPDATE evolve.backfill_outbox AS noted SET payload = {payload}, due = '-infinity' FROM {table}"
        " WHERE noted.run_id = %(run)s AND noted.note_no = ANY(%(numbers)s) AND {same}"
        " AND noted.payload <> {payload} RETURNING noted.note_no"
    ).format(payload=payload, table=table, same=_same_row(target))
