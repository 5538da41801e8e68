"""The journal in schema `evolve`: runs, leases, cursors, events. The server's clock is the only one that counts.

Connections given to functions that write must be in autocommit mode: each such function is one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.resources import files

import psycopg
from psycopg import sql
from psycopg.rows import class_row, scalar_row

from evolve.backfill.keyset import Key, KeyColumn
from evolve.backfill.ports import Lease, Want
from evolve.backfill.record import Event, Holder, NoSuchRun, RunRecord, may_start
from evolve.backfill.runner import LeaseLost
from evolve.backfill.spec import Spec
from evolve.backfill.status import ENDED, State, before
from evolve.backfill.verify import Verdict
from evolve.errors import Misuse, Refused
from evolve.postgres.connect import Connection
from evolve.postgres.failure import translated

VERSION = 1
LEASE = 15.0  # seconds: longer than the longest batch may take, see `session.Timeouts`


class JournalDenied(Misuse):
    def __init__(self, role: str, reason: str) -> None:
        super().__init__(
            f'role "{role}" may not keep the journal in schema "evolve": {reason}',
            why="a backfill commits its cursor together with its rows, so the cursor lives in the same database",
            fix="have an administrator run once: CREATE SCHEMA IF NOT EXISTS evolve;"
            f' GRANT ALL ON SCHEMA evolve TO "{role}"',
        )


class JournalTooNew(Misuse):
    def __init__(self, version: int) -> None:
        super().__init__(
            f"the journal in this database has version {version}, this evolve knows version {VERSION}",
            why="a newer evolve has worked here; an older one could misread what it wrote",
            fix="install that evolve here as well",
        )


class IllegalStep(Refused):
    def __init__(self, name: str, state: State, wanted: State) -> None:
        super().__init__(
            f'backfill "{name}" is {state.value} and cannot become {wanted.value}',
            fix=f"look at it: evolve backfill status {name}",
        )


def installed_version(connection: Connection) -> int | None:
    """None where there is no journal."""
    # AccessShare on catalogs only.
    row = connection.execute(
        "SELECT obj_description(to_regclass('evolve.backfill')::oid, 'pg_class')"
        " WHERE to_regclass('evolve.backfill') IS NOT NULL"
    ).fetchone()
    if row is None:
        return None
    words = str(row[0]).rsplit(" ", 1)
    return int(words[-1]) if words[-1].isdigit() else 0


def ensure_journal(connection: Connection) -> None:
    """Create schema and tables where they are missing.

    Raises:
        JournalDenied: the role may not.
        JournalTooNew: a newer evolve made it.
    """
    # CREATE SCHEMA IF NOT EXISTS asks for the right to create one even where it is there already.
    ddl = files("evolve.postgres.schema").joinpath("journal.sql").read_bytes()
    try:
        version = installed_version(connection)
        if version == VERSION:
            return
        if version is not None and version > VERSION:
            raise JournalTooNew(version)
        with connection.transaction():
            # No table lock; two first runs at once would both create the schema and one would fail.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve'), hashtext('journal'))")
            # No lock on anything of the application.
            if connection.execute("SELECT to_regnamespace('evolve') IS NULL").fetchone() == (True,):
                connection.execute("CREATE SCHEMA evolve")
            connection.execute(ddl)
    except psycopg.errors.InsufficientPrivilege as error:
        role = connection.info.user
        raise JournalDenied(role, error.diag.message_primary or "permission denied") from error


@dataclass(frozen=True, slots=True)
class _Row:
    run_id: int
    name: str
    spec: str
    fingerprint: str
    table_oid: int
    key_columns: list[str]
    key_types: list[str]
    state: str
    want: str
    at_end: bool
    low: list[str] | None
    upto: list[str] | None
    cursor: list[str] | None
    batches: int
    scanned: int
    changed: int
    rows_estimate: int | None
    journal: bool
    fence: str
    verify: str | None
    error: str | None
    lease_owner: str | None
    lease_until: str | None
    lease_live: bool
    started_by: str
    started_at: str
    ended_at: str | None


# AccessShare on the journal. Times are read as JSON spells them: the driver knows only one DateStyle.
# A lease is live while its time lasts and its session exists: a worker that was killed
# leaves no session behind, so nobody has to wait for the rest of its lease.
_SELECT = sql.SQL("""
    SELECT r.run_id, r.name, r.spec::text AS spec, r.fingerprint, r.table_oid::bigint AS table_oid, r.key_columns,
           r.key_types, r.state, r.want, g.finished AS at_end, g.low, g.upto, g.cursor, g.batches, g.scanned,
           g.changed, r.rows_estimate, r.journal, r.fence::text AS fence, r.verify::text AS verify,
           r.error ->> 'message' AS error, g.lease_owner,
           to_jsonb(nullif(g.lease_until, '-infinity')) #>> '{}' AS lease_until,
           g.lease_owner IS NOT NULL AND g.lease_until > clock_timestamp()
             AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = g.lease_backend) AS lease_live,
           r.started_by, to_jsonb(r.started_at) #>> '{}' AS started_at, to_jsonb(r.ended_at) #>> '{}' AS ended_at
      FROM evolve.backfill_run r JOIN evolve.backfill_range g USING (run_id)
""")


def latest_run(connection: Connection, name: str) -> RunRecord | None:
    """The newest run of that name; None where there is none, or no journal."""
    if installed_version(connection) is None:
        return None
    query = _SELECT + sql.SQL("WHERE r.name = %s ORDER BY r.run_id DESC LIMIT 1")
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        row = cursor.execute(query, (name,)).fetchone()
    return None if row is None else _record(row)


def latest_runs(connection: Connection) -> list[RunRecord]:
    """The newest run of each name, newest first."""
    if installed_version(connection) is None:
        return []
    query = _SELECT + sql.SQL(
        "WHERE r.run_id = (SELECT max(l.run_id) FROM evolve.backfill_run l WHERE l.name = r.name)"
        " ORDER BY r.run_id DESC"
    )
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        return [_record(row) for row in cursor.execute(query).fetchall()]


def named_run(connection: Connection, name: str) -> RunRecord:
    """
    Raises:
        NoSuchRun: naming those that exist.
    """
    record = latest_run(connection, name)
    if record is None:
        raise NoSuchRun(name, tuple(run.name for run in latest_runs(connection)))
    return record


def events(connection: Connection, run_id: int, limit: int = 10) -> list[Event]:
    """The last events of a run, oldest first."""
    # AccessShare on the journal.
    rows = connection.execute(
        "SELECT to_jsonb(at) #>> '{}', actor, kind, detail FROM evolve.backfill_event WHERE run_id = %s"
        " ORDER BY event_id DESC LIMIT %s",
        (run_id, limit),
    ).fetchall()
    return [
        Event(datetime.fromisoformat(str(at)), str(actor), str(kind), str(detail))
        for at, actor, kind, detail in reversed(rows)
    ]


def rejects(connection: Connection, run_id: int, limit: int = 20) -> list[tuple[Key, str]]:
    """Keys of rows that undo left alone, with the reason."""
    # AccessShare on the journal.
    rows = connection.execute(
        "SELECT array_to_json(key)::text, reason FROM evolve.backfill_reject WHERE run_id = %s ORDER BY key LIMIT %s",
        (run_id, limit),
    ).fetchall()
    return [(tuple(str(part) for part in json.loads(str(key))), str(reason)) for key, reason in rows]


def count_rejects(connection: Connection, run_id: int) -> int:
    with connection.cursor(row_factory=scalar_row) as cursor:
        # AccessShare on the journal.
        counted = cursor.execute(
            "SELECT count(*) FROM evolve.backfill_reject WHERE run_id = %s", (run_id,)
        ).fetchone()
    return int(counted or 0)


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a new run records about its target."""

    table_oid: int
    key: tuple[KeyColumn, ...]
    rows_estimate: int | None
    journal: bool


def open_run(
    connection: Connection,
    spec: Spec,
    new: NewRun,
    *,
    actor: str,
    restart: bool,
    prepare: Callable[[Connection, int], None],
) -> RunRecord:
    """Find the run to go on with, or write a new one down. One transaction.

    Args:
        prepare: called with the id of a new run inside the transaction, to make its undo journal.

    Raises:
        SpecChanged, RunPaused, RunEnded, NotEnded, BeingUndone: see `record.may_start`.
    """
    with connection.transaction():
        # No table lock; two first runs of one name would both insert it.
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext('evolve.backfill'), hashtext(%s))", (spec.name,)
        )
        found = may_start(latest_run(connection, spec.name), spec, restart=restart)
        if found is not None:
            return found
        text = spec.to_json()
        # RowExclusive on the journal only.
        connection.execute(
            "INSERT INTO evolve.backfill (name, spec, fingerprint, created_by) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, fingerprint = excluded.fingerprint",
            (spec.name, text, spec.fingerprint, actor),
        )
        with connection.cursor(row_factory=scalar_row) as cursor:
            # The fence is this very transaction: whoever is older must end before the first batch.
            run_id = int(
                cursor.execute(
                    "INSERT INTO evolve.backfill_run (name, spec, fingerprint, table_oid, key_columns, key_types,"
                    " journal, rows_estimate, fence, started_by)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, pg_current_xact_id(), %s) RETURNING run_id",
                    (
                        spec.name,
                        text,
                        spec.fingerprint,
                        new.table_oid,
                        [column.name for column in new.key],
                        [column.type for column in new.key],
                        new.journal,
                        new.rows_estimate,
                        actor,
                    ),
                ).fetchone()
                or 0
            )
        connection.execute("INSERT INTO evolve.backfill_range (run_id, range_no) VALUES (%s, 1)", (run_id,))
        _event(connection, run_id, actor, "start", "")
        prepare(connection, run_id)
    return named_run(connection, spec.name)


def claim(connection: Connection, run_id: int, owner: str, seconds: float) -> Lease | None:
    """Take the run's range if nobody holds it; None where somebody does.

    A new epoch makes every checkpoint of an earlier holder fail, whatever that holder still believes.
    """
    with connection.transaction(), connection.cursor(row_factory=class_row(_LeaseRow)) as cursor:
        # A row lock in the journal; a row that a checkpoint holds just now is skipped, not waited for.
        row = cursor.execute(
            """
            UPDATE evolve.backfill_range
               SET lease_owner = %(owner)s, lease_backend = pg_backend_pid(), lease_epoch = lease_epoch + 1,
                   lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
             WHERE (run_id, range_no) = (
                   SELECT run_id, range_no FROM evolve.backfill_range g
                    WHERE run_id = %(run)s
                      AND (lease_until < clock_timestamp()
                           OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = g.lease_backend))
                    ORDER BY range_no LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING run_id, range_no, lease_epoch, cursor, upto, finished, batches, scanned, changed
            """,
            {"owner": owner, "seconds": seconds, "run": run_id},
        ).fetchone()
    return None if row is None else row.lease(owner)


@dataclass(frozen=True, slots=True)
class _LeaseRow:
    run_id: int
    range_no: int
    lease_epoch: int
    cursor: list[str] | None
    upto: list[str] | None
    finished: bool
    batches: int
    scanned: int
    changed: int

    def lease(self, owner: str) -> Lease:
        return Lease(
            run_id=self.run_id,
            range_no=self.range_no,
            owner=owner,
            epoch=self.lease_epoch,
            cursor=_key(self.cursor),
            upto=_key(self.upto),
            finished=self.finished,
            batches=self.batches,
            scanned=self.scanned,
            changed=self.changed,
        )


def checkpoint(connection: Connection, old: Lease, new: Lease, seconds: float) -> Want | None:
    """Inside the batch's transaction: move the range on and renew the lease; None where it is not ours any more.

    The cursor is compared too: a COMMIT of a connection that was lost may arrive later than its successor's batch.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        # A row lock in the journal, held until COMMIT.
        want = cursor.execute(
            """
            UPDATE evolve.backfill_range
               SET cursor = %(cursor)s::text[], finished = %(finished)s, batches = %(batches)s, scanned = %(scanned)s,
                   changed = %(changed)s, lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
             WHERE run_id = %(run)s AND range_no = %(range)s AND lease_epoch = %(epoch)s
               AND cursor IS NOT DISTINCT FROM %(before)s::text[]
            RETURNING (SELECT want FROM evolve.backfill_run WHERE run_id = %(run)s)
            """,
            {
                "cursor": None if new.cursor is None else list(new.cursor),
                "before": None if old.cursor is None else list(old.cursor),
                "finished": new.finished,
                "batches": new.batches,
                "scanned": new.scanned,
                "changed": new.changed,
                "seconds": seconds,
                "run": old.run_id,
                "range": old.range_no,
                "epoch": old.epoch,
            },
        ).fetchone()
    return None if want is None else Want(str(want))


def renewed(connection: Connection, lease: Lease, seconds: float) -> Want | None:
    """Renew the lease, inside a transaction or alone; None where it is not ours any more."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        # A row lock in the journal.
        want = cursor.execute(
            """
            UPDATE evolve.backfill_range SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
             WHERE run_id = %(run)s AND range_no = %(range)s AND lease_epoch = %(epoch)s
            RETURNING (SELECT want FROM evolve.backfill_run WHERE run_id = %(run)s)
            """,
            {"seconds": seconds, "run": lease.run_id, "range": lease.range_no, "epoch": lease.epoch},
        ).fetchone()
    return None if want is None else Want(str(want))


class Hold:
    """A worker's hold on its range, across reconnects (`ports.Leases`).

    Args:
        connection: gives the current connection, in autocommit mode.
        reconnect: closes it and opens another.
        seconds: length of a lease.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        reconnect: Callable[[], None],
        *,
        actor: str,
        seconds: float = LEASE,
    ) -> None:
        self._connection = connection
        self._reconnect = reconnect
        self._actor = actor
        self._seconds = seconds

    def retake(self, lease: Lease) -> Lease | None:
        with translated():
            self._reconnect()
        connection = self._connection()
        with translated(connection), connection.transaction():
            # The old connection may be in the middle of COMMIT; its row lock is waited for, but not for ever.
            connection.execute("SET LOCAL lock_timeout = '2s'")
            with connection.cursor(row_factory=class_row(_LeaseRow)) as cursor:
                row = cursor.execute(
                    """
                    UPDATE evolve.backfill_range
                       SET lease_epoch = lease_epoch + 1, lease_backend = pg_backend_pid(),
                           lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
                     WHERE run_id = %(run)s AND range_no = %(range)s AND lease_owner = %(owner)s
                    RETURNING run_id, range_no, lease_epoch, cursor, upto, finished, batches, scanned, changed
                    """,
                    {
                        "seconds": self._seconds,
                        "run": lease.run_id,
                        "range": lease.range_no,
                        "owner": lease.owner,
                    },
                ).fetchone()
        return None if row is None else row.lease(lease.owner)

    def renew(self, lease: Lease) -> Want | None:
        connection = self._connection()
        with translated(connection), connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '2s'")
            return renewed(connection, lease, self._seconds)

    def note(self, lease: Lease, kind: str, detail: str) -> None:
        connection = self._connection()
        with translated(connection):
            _event(connection, lease.run_id, self._actor, kind, detail)


def _fenced(connection: Connection, name: str, lease: Lease) -> None:
    """Lock the range's row for the rest of the transaction, if it is still ours."""
    # A row lock in the journal.
    row = connection.execute(
        "SELECT FROM evolve.backfill_range WHERE run_id = %s AND range_no = %s AND lease_epoch = %s FOR UPDATE",
        (lease.run_id, lease.range_no, lease.epoch),
    ).fetchone()
    if row is None:
        raise LeaseLost(name)


def set_range(connection: Connection, name: str, lease: Lease, low: Key | None, upto: Key | None) -> Lease:
    """Fix the first and last key of the run, which ends its fencing. An empty table is finished at once."""
    with connection.transaction():
        _fenced(connection, name, lease)
        with connection.cursor(row_factory=class_row(_LeaseRow)) as cursor:
            row = cursor.execute(
                "UPDATE evolve.backfill_range SET low = %s, upto = %s, finished = %s"
                " WHERE run_id = %s AND range_no = %s"
                " RETURNING run_id, range_no, lease_epoch, cursor, upto, finished, batches, scanned, changed",
                (
                    None if low is None else list(low),
                    None if upto is None else list(upto),
                    upto is None,
                    lease.run_id,
                    lease.range_no,
                ),
            ).fetchone()
        _turn(connection, lease.run_id, State.RUNNING)
    if row is None:
        raise LeaseLost(name)
    return row.lease(lease.owner)


def enter(connection: Connection, name: str, lease: Lease, state: State, actor: str) -> None:
    """Turn the run into `state` and go on working; an error of an earlier try is forgotten."""
    with connection.transaction():
        _fenced(connection, name, lease)
        _turn(connection, lease.run_id, state)
        connection.execute("UPDATE evolve.backfill_run SET error = NULL WHERE run_id = %s", (lease.run_id,))
        _event(connection, lease.run_id, actor, state.value, "")


def leave(
    connection: Connection,
    name: str,
    lease: Lease,
    state: State,
    *,
    actor: str,
    detail: str = "",
    sqlstate: str | None = None,
    asked: Want | None = None,
    also: Callable[[Connection], None] | None = None,
) -> bool:
    """Turn the run into `state` and give up the lease.

    Args:
        asked: leave only if that is still what the journal wants; somebody may have taken it back meanwhile.
        also: done in the same transaction.

    Returns:
        False where it is wanted no more: go on.
    """
    with connection.transaction():
        # Row locks in the journal, in the order every writer takes them: range, run.
        _fenced(connection, name, lease)
        if asked is not None and _want(connection, lease.run_id) is not asked:
            return False
        _turn(connection, lease.run_id, state)
        error = json.dumps({"sqlstate": sqlstate, "message": detail}) if state is State.FAILED else None
        connection.execute(
            "UPDATE evolve.backfill_run SET error = %s::jsonb,"
            " want = CASE WHEN %s THEN 'pause' ELSE want END WHERE run_id = %s",
            (error, state is State.PAUSED, lease.run_id),
        )
        _release(connection, lease)
        _event(connection, lease.run_id, actor, state.value, detail)
        if also is not None:
            also(connection)
    return True


def release(connection: Connection, lease: Lease) -> None:
    """Give up the lease and leave the state as it is."""
    _release(connection, lease)


def _release(connection: Connection, lease: Lease) -> None:
    connection.execute(
        "UPDATE evolve.backfill_range SET lease_until = '-infinity', lease_owner = NULL, lease_backend = NULL"
        " WHERE run_id = %s AND range_no = %s AND lease_epoch = %s",
        (lease.run_id, lease.range_no, lease.epoch),
    )


def _want(connection: Connection, run_id: int) -> Want:
    with connection.cursor(row_factory=scalar_row) as cursor:
        # A row lock in the journal.
        want = cursor.execute(
            "SELECT want FROM evolve.backfill_run WHERE run_id = %s FOR UPDATE", (run_id,)
        ).fetchone()
    return Want(str(want))


def _turn(connection: Connection, run_id: int, state: State) -> None:
    """
    Raises:
        IllegalStep: the transition table forbids it; the transaction must not commit.
    """
    # A row lock in the journal.
    turned = connection.execute(
        "UPDATE evolve.backfill_run SET state = %s, ended_at = CASE WHEN %s THEN clock_timestamp() END"
        " WHERE run_id = %s AND state = ANY(%s)",
        (state.value, state in ENDED, run_id, [old.value for old in before(state)]),
    ).rowcount
    if turned != 1:
        row = connection.execute(
            "SELECT name, state FROM evolve.backfill_run WHERE run_id = %s", (run_id,)
        ).fetchone()
        if row is None:
            raise NoSuchRun(str(run_id))
        raise IllegalStep(str(row[0]), State(str(row[1])), state)


def ask(connection: Connection, record: RunRecord, want: Want, actor: str) -> bool:
    """Write down what an operator wants of a run; the worker reads it at its next commit.

    Where no worker holds the run there is nobody to read it: a pause or cancel is carried out at once.

    Returns:
        True where a worker holds the run and will obey; False where it was done here, or nobody is there to go on.
    """
    with connection.transaction():
        # Row locks in the journal, in the order every writer takes them: range, run. A checkpoint is waited for.
        row = connection.execute(
            "SELECT g.lease_owner IS NOT NULL AND g.lease_until > clock_timestamp()"
            " AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = g.lease_backend)"
            " FROM evolve.backfill_range g WHERE run_id = %s FOR UPDATE",
            (record.run_id,),
        ).fetchone()
        held = row is not None and bool(row[0])
        connection.execute(
            "UPDATE evolve.backfill_run SET want = %s WHERE run_id = %s", (want.value, record.run_id)
        )
        _event(connection, record.run_id, actor, want.value if want is not Want.RUN else "resume", "")
        if not held:
            match want:
                case Want.PAUSE:
                    _turn(connection, record.run_id, State.PAUSED)
                case Want.CANCEL:
                    _turn(connection, record.run_id, State.CANCELLED)
                case Want.RUN:
                    pass
            if want is not Want.RUN:
                # Whoever held it last and wakes up must not go on.
                connection.execute(
                    "UPDATE evolve.backfill_range SET lease_epoch = lease_epoch + 1, lease_until = '-infinity',"
                    " lease_owner = NULL, lease_backend = NULL WHERE run_id = %s",
                    (record.run_id,),
                )
    return held


def store_verdict(connection: Connection, run_id: int, verdict: Verdict, actor: str) -> None:
    with connection.transaction():
        # A row lock in the journal.
        connection.execute(
            "UPDATE evolve.backfill_run SET verify = %s::jsonb WHERE run_id = %s",
            (json.dumps(asdict(verdict)), run_id),
        )
        _event(connection, run_id, actor, "verified", f"{verdict.misses} of {verdict.rows} rows missed")


def _event(connection: Connection, run_id: int, actor: str, kind: str, detail: str) -> None:
    # RowExclusive on the journal.
    connection.execute(
        "INSERT INTO evolve.backfill_event (run_id, actor, kind, detail) VALUES (%s, %s, %s, %s)",
        (run_id, actor, kind, detail[:500]),
    )


def _record(row: _Row) -> RunRecord:
    verdict = None
    if row.verify is not None:
        stored = json.loads(row.verify)
        verdict = Verdict(
            rows=stored["rows"],
            misses=stored["misses"],
            sample=tuple(tuple(key) for key in stored["sample"]),
            at=stored["at"],
            predicate=stored["predicate"],
        )
    holder = None
    if row.lease_owner is not None and row.lease_until is not None:
        holder = Holder(row.lease_owner, datetime.fromisoformat(row.lease_until), row.lease_live)
    return RunRecord(
        run_id=row.run_id,
        name=row.name,
        spec=Spec.from_json(row.spec),
        fingerprint=row.fingerprint,
        table_oid=row.table_oid,
        key=tuple(KeyColumn(name, type_) for name, type_ in zip(row.key_columns, row.key_types, strict=True)),
        state=State(row.state),
        want=Want(row.want),
        at_end=row.at_end,
        low=_key(row.low),
        upto=_key(row.upto),
        cursor=_key(row.cursor),
        batches=row.batches,
        scanned=row.scanned,
        changed=row.changed,
        rows_estimate=row.rows_estimate,
        journal=row.journal,
        fence=int(row.fence),
        verify=verdict,
        error=row.error,
        holder=holder,
        started_by=row.started_by,
        started_at=datetime.fromisoformat(row.started_at),
        ended_at=None if row.ended_at is None else datetime.fromisoformat(row.ended_at),
    )


def _key(parts: Sequence[str] | None) -> Key | None:
    return None if parts is None else tuple(parts)
