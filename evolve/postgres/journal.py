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
from evolve.backfill.ports import Leaf, Lease, Stretch, Want, Window
from evolve.backfill.record import (
    Approval,
    Busy,
    Event,
    Holder,
    NoSuchRun,
    OpenRange,
    RunRecord,
    may_start,
    person,
)
from evolve.backfill.runner import LeaseLost
from evolve.backfill.settings import OPEN, Settings
from evolve.backfill.spec import Spec
from evolve.backfill.status import ENDED, State, before
from evolve.backfill.steering import Doing, Link, brake_of
from evolve.backfill.terms import UNSAID, Terms
from evolve.backfill.twice import adds_up
from evolve.backfill.verify import Verdict, misses_predicate
from evolve.errors import Misuse, Refused
from evolve.postgres.connect import Connection
from evolve.postgres.failure import translated
from evolve.sql.names import QualifiedName

VERSION = 4
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


class JournalTooOld(Misuse):
    def __init__(self, version: int) -> None:
        super().__init__(
            f"the journal in this database has version {version}, this evolve keeps version {VERSION}",
            why="an older evolve made it; whoever only looks does not alter it",
            fix="bring it up to date: evolve backfill resume NAME, or run it, which leaves a done run alone",
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


def readable(connection: Connection) -> bool:
    """Whether there is a journal.

    Raises:
        JournalTooOld, JournalTooNew: this evolve would misread it.
    """
    version = installed_version(connection)
    if version is not None and version < VERSION:
        raise JournalTooOld(version)
    if version is not None and version > VERSION:
        raise JournalTooNew(version)
    return version is not None


def bring_up_to_date(connection: Connection) -> None:
    """Where there is a journal, give it this evolve's shape; the causes of `ensure_journal`."""
    if installed_version(connection) is not None:
        ensure_journal(connection)


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
    cut: bool
    low: list[str] | None
    ranges: int
    open_ranges: str
    batches: int
    scanned: int
    changed: int
    ahead: int
    rows_estimate: int | None
    journal: bool
    fence: str
    verify: str | None
    error: str | None
    leads: str | None
    workers: str
    started_by: str
    started_at: str
    ended_at: str | None
    after: list[str]
    verifiable: bool | None
    newest_first: bool
    key_collations: list[int] | None
    column_numbers: list[int] | None
    sweeps: int
    rejects: int
    max_rejects: int
    unrestored: int
    left_alone: int
    settings: str
    pace: str
    brake: str | None
    approval: str | None
    doing: str


# A lease is live while its time lasts and its session exists: a worker that was killed leaves no session behind, so
# nobody has to wait for the rest of its lease.
_LIVE = sql.SQL(
    "{0}.lease_owner IS NOT NULL AND {0}.lease_until > clock_timestamp()"
    " AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = {0}.lease_backend)"
)
_HOLDER = sql.SQL("jsonb_build_array({0}.lease_owner, {0}.lease_until)")
# Of a brake that has not ended, with the seconds that are left of it.
_BRAKE = sql.SQL(
    "CASE WHEN {0}.brake_until IS NULL THEN {0}.brake"
    " WHEN {0}.brake_until > clock_timestamp() THEN {0}.brake || jsonb_build_object('left',"
    " extract(epoch FROM {0}.brake_until - clock_timestamp())) END"
)
# `steering.Orders`, with a checkpoint.
_ORDERS = sql.SQL(
    "(SELECT jsonb_build_array(r.settings, r.pace, {})::text FROM evolve.backfill_run r WHERE r.run_id = %(run)s)"
).format(_BRAKE.format(sql.Identifier("r")))
# AccessShare on the journal. Times are read as JSON spells them: the driver knows only one DateStyle.
_SELECT = sql.SQL("""
    SELECT r.run_id, r.name, r.spec::text AS spec, r.fingerprint, r.table_oid::bigint AS table_oid, r.key_columns,
           r.key_types, r.state, r.want, r.cut, r.low, g.ranges, g.open_ranges, g.batches, g.scanned, g.changed,
           g.ahead, r.rows_estimate, r.journal, r.fence::text AS fence, r.verify::text AS verify,
           r.error ->> 'message' AS error, CASE WHEN {led} THEN ({lead})::text END AS leads, g.workers, r.started_by,
           to_jsonb(r.started_at) #>> '{{}}' AS started_at, to_jsonb(r.ended_at) #>> '{{}}' AS ended_at,
           r.after, r.verifiable,
           r.newest_first, r.key_collations, r.column_numbers, r.sweeps, r.rejects, r.max_rejects,
           CASE WHEN r.state IN ('undoing', 'undone') THEN
               (SELECT count(*) FROM evolve.backfill_reject j WHERE j.run_id = r.run_id AND j.kind = 'conflict'
                   AND j.sqlstate IS NOT NULL AND j.resolved_at IS NULL) ELSE 0 END AS unrestored,
           CASE WHEN r.state IN ('undoing', 'undone') THEN
               (SELECT count(*) FROM evolve.backfill_reject j WHERE j.run_id = r.run_id AND j.kind = 'conflict'
                   AND j.sqlstate IS NULL) ELSE 0 END AS left_alone,
           r.settings::text AS settings,
           r.pace::text AS pace, ({brake})::text AS brake, r.approval::text AS approval, g.doing
      FROM evolve.backfill_run r
     CROSS JOIN LATERAL (
           SELECT count(*) AS ranges, coalesce(sum(batches), 0)::bigint AS batches,
                  coalesce(sum(scanned), 0)::bigint AS scanned, coalesce(sum(changed), 0)::bigint AS changed,
                  coalesce(sum(coalesce(window_rows * window_done / window_slices, 0)
                               + (SELECT coalesce(sum((b ->> 3)::bigint * (b ->> 2)::bigint / (b ->> 1)::bigint), 0)
                                    FROM jsonb_array_elements(coalesce(beyond, '[]')) AS b)), 0)::bigint AS ahead,
                  coalesce(jsonb_agg(jsonb_build_array(coalesce(low, first), cursor, upto) ORDER BY range_no)
                           FILTER (WHERE NOT finished), '[]')::text AS open_ranges,
                  coalesce(jsonb_agg({worker} ORDER BY range_no) FILTER (WHERE {held}), '[]')::text AS workers,
                  coalesce(jsonb_agg(coalesce(doing, '{{}}') || jsonb_build_object('owner', lease_owner, 'pid',
                                     lease_backend) ORDER BY range_no) FILTER (WHERE {held}), '[]')::text AS doing
             FROM evolve.backfill_range w WHERE w.run_id = r.run_id) g
""").format(
    led=_LIVE.format(sql.Identifier("r")),
    lead=_HOLDER.format(sql.Identifier("r")),
    held=_LIVE.format(sql.Identifier("w")),
    worker=_HOLDER.format(sql.Identifier("w")),
    brake=_BRAKE.format(sql.Identifier("r")),
)


def latest_run(connection: Connection, name: str) -> RunRecord | None:
    """The newest run of that name; None where there is none, or no journal."""
    if not readable(connection):
        return None
    query = _SELECT + sql.SQL("WHERE r.name = %s ORDER BY r.run_id DESC LIMIT 1")
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        row = cursor.execute(query, (name,)).fetchone()
    return None if row is None else _record(row)


def latest_runs(connection: Connection) -> list[RunRecord]:
    """The newest run of each name, newest first."""
    if not readable(connection):
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


def order(connection: Connection) -> dict[str, tuple[str, ...]]:
    """For each backfill that comes after others, by the name of it: the names of those."""
    if not readable(connection):
        return {}
    # AccessShare on the journal.
    rows = connection.execute(
        "SELECT DISTINCT ON (name) name, array_to_json(after)::text FROM evolve.backfill_run ORDER BY name, run_id DESC"
    ).fetchall()
    return {str(name): tuple(after) for name, text in rows if (after := json.loads(str(text)))}


def put_after(connection: Connection, record: RunRecord, after: Sequence[str], actor: str) -> None:
    """Let the run come after those from now on."""
    with connection.transaction():
        # A row lock in the journal.
        connection.execute(
            "UPDATE evolve.backfill_run SET after = %s WHERE run_id = %s", (list(after), record.run_id)
        )
        write_event(connection, record.run_id, actor, "after", ", ".join(after))


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


def server_time(connection: Connection) -> datetime:
    row = connection.execute("SELECT to_jsonb(clock_timestamp()) #>> '{}'").fetchone()
    return datetime.fromisoformat(str(row and row[0]))


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a new run records about its target.

    Args:
        column_numbers: of the columns that are written, by which the catalog knows them.
        approval: why another person must approve it before it begins.
        pace, terms: what the command line says.
    """

    table_oid: int
    key: tuple[KeyColumn, ...]
    rows_estimate: int | None
    journal: bool
    after: tuple[str, ...] = ()
    newest_first: bool = False
    key_collations: tuple[int, ...] = ()
    column_numbers: tuple[int, ...] = ()
    approval: str | None = None
    pace: Settings = OPEN
    terms: Terms = UNSAID


def open_run(
    connection: Connection,
    spec: Spec,
    new: NewRun,
    *,
    actor: str,
    restart: bool,
    allow: Callable[[Connection], None],
    prepare: Callable[[Connection, int], None],
) -> RunRecord:
    """Find the run to go on with, or write a new one down. One transaction.

    Args:
        allow: called inside the transaction before a new run is written down; raises where it may not begin.
        prepare: called with the id of a new run inside the transaction, to make its undo journal.

    Raises:
        SpecChanged, NotApproved, RunPaused, RunEnded, NotEnded, BeingUndone: see `record.may_start`.
    """
    with connection.transaction():
        # No table lock; two first runs of one name would both insert it.
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext('evolve.backfill'), hashtext(%s))", (spec.name,)
        )
        found = may_start(latest_run(connection, spec.name), spec, restart=restart)
        if found is not None:
            return found
        allow(connection)
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
                    " journal, rows_estimate, after, verifiable, adds_up, column_numbers, newest_first, key_collations,"
                    " approval, pace, fence, started_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
                    " %s, %s::jsonb, %s::jsonb, pg_current_xact_id(), %s)"
                    " RETURNING run_id",
                    (
                        spec.name,
                        text,
                        spec.fingerprint,
                        new.table_oid,
                        [column.name for column in new.key],
                        [column.type for column in new.key],
                        new.journal,
                        new.rows_estimate,
                        list(new.after),
                        misses_predicate(spec, tuple(column.name for column in new.key)) is not None,
                        adds_up(spec),
                        list(new.column_numbers),
                        new.newest_first,
                        list(new.key_collations),
                        None if new.approval is None else json.dumps({"reason": new.approval}),
                        json.dumps(new.pace.to_json() | new.terms.to_json()),
                        actor,
                    ),
                ).fetchone()
                or 0
            )
        write_event(connection, run_id, actor, "start", " ".join((*new.pace.words, *new.terms.words)))
        prepare(connection, run_id)
    return named_run(connection, spec.name)


_RANGE = sql.SQL(
    "run_id, range_no, lease_epoch, low, upto, cursor, window_upto, window_slices, window_done, window_rows,"
    " beyond, finished, batches, scanned, changed, first,"
    " leaf::bigint AS leaf, leaf_schema, leaf_name"
)


def claim(connection: Connection, run_id: int, owner: str, seconds: float, state: State) -> Lease | None:
    """Take the first range that is open and that nobody holds; None where there is none, or the run should not go on.

    A new epoch makes every checkpoint of an earlier holder fail, whatever that holder still believes.

    Args:
        state: RUNNING, UNDOING, or DONE for a retry of rejects, whichever way the worker goes; only ranges of a run in
            that state are given out.
    """
    open_ = _open(state)
    with connection.transaction(), connection.cursor(row_factory=class_row(_LeaseRow)) as cursor:
        # A row lock in the journal; a row that a checkpoint holds just now is skipped, not waited for.
        row = cursor.execute(
            sql.SQL("""
            UPDATE evolve.backfill_range
               SET lease_owner = %(owner)s, lease_backend = pg_backend_pid(), lease_epoch = lease_epoch + 1,
                   lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
             WHERE (run_id, range_no) = (
                   SELECT g.run_id, g.range_no FROM evolve.backfill_range g JOIN evolve.backfill_run r USING (run_id)
                    WHERE g.run_id = %(run)s AND {} AND r.state = %(state)s AND r.want = 'run'
                      AND (g.lease_until < clock_timestamp()
                           OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = g.lease_backend))
                    ORDER BY range_no LIMIT 1 FOR UPDATE OF g SKIP LOCKED)
            RETURNING {}
            """).format(open_, _RANGE),
            {"owner": owner, "seconds": seconds, "run": run_id, "state": state.value},
        ).fetchone()
    return None if row is None else row.lease(owner)


def _open(state: State) -> sql.SQL:
    """Whether something is to be done in range `g` of run `r`."""
    match state:
        case State.UNDOING:
            return sql.SQL("NOT g.undone")
        case State.DONE:
            return sql.SQL(
                "EXISTS (SELECT FROM evolve.backfill_reject j WHERE j.run_id = g.run_id AND j.range_no = g.range_no"
                " AND j.kind = 'reject' AND j.resolved_at IS NULL AND j.at < r.retry_at)"
            )
        case _:
            return sql.SQL("NOT g.finished")


def begin_retry(connection: Connection, name: str, lead: Lead, actor: str) -> None:
    """Let every reject of the run be tried once more."""
    with connection.transaction():
        _leading(connection, name, lead)
        # A row lock in the journal.
        connection.execute(
            "UPDATE evolve.backfill_run SET retry_at = clock_timestamp(), want = 'run' WHERE run_id = %s",
            (lead.run_id,),
        )
        write_event(connection, lead.run_id, actor, "retry of rejects", "")


def left_to_do(connection: Connection, run_id: int, state: State) -> tuple[Want, bool]:
    """What is wanted of a run, and whether a range is or will be open, whoever holds it; as `claim` counts them."""
    open_ = _open(state)
    # AccessShare on the journal.
    row = connection.execute(
        sql.SQL(
            "SELECT want, state = 'fencing' OR state = %s"
            " AND EXISTS (SELECT FROM evolve.backfill_range g WHERE g.run_id = r.run_id AND {})"
            " FROM evolve.backfill_run r WHERE run_id = %s"
        ).format(open_),
        (state.value, run_id),
    ).fetchone()
    if row is None:
        raise NoSuchRun(str(run_id))
    return Want(str(row[0])), bool(row[1])


@dataclass(frozen=True, slots=True)
class _LeaseRow:
    run_id: int
    range_no: int
    lease_epoch: int
    low: list[str] | None
    upto: list[str]
    cursor: list[str] | None
    window_upto: list[str] | None
    window_slices: int | None
    window_done: int | None
    window_rows: int | None
    beyond: list[tuple[list[str], int, int, int]] | None
    finished: bool
    batches: int
    scanned: int
    changed: int
    first: list[str] | None
    leaf: int | None
    leaf_schema: str | None
    leaf_name: str | None

    def lease(self, owner: str) -> Lease:
        leaf = window = None
        if self.leaf is not None:
            leaf = Leaf(self.leaf, QualifiedName(self.leaf_name or "", self.leaf_schema or ""))
        if self.window_upto is not None:
            window = Window(
                tuple(self.window_upto), self.window_slices or 1, self.window_done or 0, self.window_rows or 0
            )
        return Lease(
            run_id=self.run_id,
            range_no=self.range_no,
            owner=owner,
            epoch=self.lease_epoch,
            low=_key(self.low),
            upto=tuple(self.upto),
            cursor=_key(self.cursor),
            window=window,
            beyond=tuple(
                Window(tuple(upto), slices, done, rows) for upto, slices, done, rows in self.beyond or ()
            ),
            finished=self.finished,
            batches=self.batches,
            scanned=self.scanned,
            changed=self.changed,
            first=_key(self.first),
            leaf=leaf,
        )


def _to_json(windows: tuple[Window, ...]) -> str | None:
    return json.dumps([[list(w.upto), w.slices, w.done, w.rows] for w in windows]) if windows else None


def orders(connection: Connection, run_id: int) -> str:
    """`steering.Orders` as JSON, as they are now."""
    # AccessShare on the journal.
    row = connection.execute(sql.SQL("SELECT {}").format(_ORDERS), {"run": run_id}).fetchone()
    return str(row and row[0])


@dataclass(frozen=True, slots=True)
class Checked:
    """
    Args:
        mark: see `drift.mark`; of the table as this very batch found it.
    """

    want: str
    orders: str
    mark: str


def checkpointing(mark: sql.Composed) -> bytes:
    """The statement of `checkpoint`: always the same text for a table, so that the server keeps its plan."""
    return (
        sql.SQL("""
        UPDATE evolve.backfill_range
           SET cursor = %(cursor)s::text[], window_upto = %(window)s::text[], window_slices = %(slices)s,
               window_done = %(done)s, window_rows = %(rows)s, beyond = %(beyond)s::jsonb,
               finished = %(finished)s, batches = %(batches)s,
               scanned = %(scanned)s, changed = %(changed)s,
               lease_until = clock_timestamp() + make_interval(secs => %(seconds)s),
               doing = coalesce(%(doing)s::jsonb, doing)
         WHERE run_id = %(run)s AND range_no = %(range)s AND lease_epoch = %(epoch)s AND batches = %(before)s
        RETURNING (SELECT want FROM evolve.backfill_run WHERE run_id = %(run)s) AS want, {} AS orders, {} AS mark
        """)
        .format(_ORDERS, mark)
        .as_bytes()
    )


def checkpoint(
    connection: Connection, statement: bytes, old: Lease, new: Lease, seconds: float, link: Link | None = None
) -> Checked | None:
    """Inside the batch's transaction: move the range on and renew the lease; None where it is not ours any more.

    The number of commits is compared too: a COMMIT of a connection that was lost may arrive later than its successor's
    batch.
    """
    window = new.window
    with connection.cursor(row_factory=class_row(Checked)) as cursor:
        # A row lock in the journal, held until COMMIT.
        checked = cursor.execute(
            statement,
            {
                "cursor": None if new.cursor is None else list(new.cursor),
                "window": None if window is None else list(window.upto),
                "slices": None if window is None else window.slices,
                "done": None if window is None else window.done,
                "rows": None if window is None else window.rows,
                "beyond": _to_json(new.beyond),
                "finished": new.finished,
                "batches": new.batches,
                "before": old.batches,
                "scanned": new.scanned,
                "changed": new.changed,
                "seconds": seconds,
                "run": old.run_id,
                "range": old.range_no,
                "epoch": old.epoch,
                "doing": None if link is None else link.doing(),
            },
        ).fetchone()
    if checked is not None and link is not None:
        link.hear(checked.orders)
    return checked


def renewed(
    connection: Connection, lease: Lease, seconds: float, *, undone: bool = False, link: Link | None = None
) -> Want | None:
    """Renew the lease, inside a transaction or alone; None where it is not ours any more.

    Args:
        undone: nothing of the range is left in the undo journal.
    """
    # A row lock in the journal.
    row = connection.execute(
        sql.SQL("""
            UPDATE evolve.backfill_range
               SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s), undone = %(undone)s,
                   doing = coalesce(%(doing)s::jsonb, doing)
             WHERE run_id = %(run)s AND range_no = %(range)s AND lease_epoch = %(epoch)s
            RETURNING (SELECT want FROM evolve.backfill_run WHERE run_id = %(run)s), {}
        """).format(_ORDERS),
        {
            "doing": None if link is None else link.doing(),
            "seconds": seconds,
            "undone": undone,
            "run": lease.run_id,
            "range": lease.range_no,
            "epoch": lease.epoch,
        },
    ).fetchone()
    if row is None:
        return None
    if link is not None:
        link.hear(str(row[1]))
    return Want(str(row[0]))


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
        link: Link | None = None,
    ) -> None:
        self._link = link
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
                    sql.SQL("""
                    UPDATE evolve.backfill_range
                       SET lease_epoch = lease_epoch + 1, lease_backend = pg_backend_pid(),
                           lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
                     WHERE run_id = %(run)s AND range_no = %(range)s AND lease_owner = %(owner)s
                    RETURNING {}
                    """).format(_RANGE),
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
            return renewed(connection, lease, self._seconds, link=self._link)

    def note(self, lease: Lease, kind: str, detail: str) -> None:
        connection = self._connection()
        with translated(connection):
            write_event(connection, lease.run_id, self._actor, kind, detail)


@dataclass(frozen=True, slots=True)
class Lead:
    """The right to lead a run: to fence it, cut it into ranges, verify and end it.

    Args:
        epoch: grows with each holder; what an older one would write is refused.
    """

    run_id: int
    owner: str
    epoch: int


def take_lead(connection: Connection, run_id: int, owner: str, seconds: float) -> Lead | None:
    """Lead the run if nobody else does; None where somebody does. Whoever led it under that name before is fenced."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        # A row lock in the journal.
        epoch = cursor.execute(
            """
            UPDATE evolve.backfill_run r
               SET lease_owner = %(owner)s, lease_backend = pg_backend_pid(), lease_epoch = lease_epoch + 1,
                   lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
             WHERE run_id = %(run)s
               AND (lease_owner IS NULL OR lease_owner = %(owner)s OR lease_until < clock_timestamp()
                    OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = r.lease_backend))
            RETURNING lease_epoch
            """,
            {"owner": owner, "seconds": seconds, "run": run_id},
        ).fetchone()
    return None if epoch is None else Lead(run_id, owner, int(str(epoch)))


def keep_lead(connection: Connection, name: str, lead: Lead, seconds: float) -> Want:
    """Renew it; what an operator wants of the run.

    Raises:
        LeaseLost: somebody else leads by now.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        # A row lock in the journal.
        want = cursor.execute(
            "UPDATE evolve.backfill_run SET lease_until = clock_timestamp() + make_interval(secs => %s)"
            " WHERE run_id = %s AND lease_epoch = %s RETURNING want",
            (seconds, lead.run_id, lead.epoch),
        ).fetchone()
    if want is None:
        raise LeaseLost(name)
    return Want(str(want))


def _leading(connection: Connection, name: str, lead: Lead) -> None:
    """Lock the run's row for the rest of the transaction, if we still lead it."""
    # A row lock in the journal.
    row = connection.execute(
        "SELECT FROM evolve.backfill_run WHERE run_id = %s AND lease_epoch = %s FOR UPDATE",
        (lead.run_id, lead.epoch),
    ).fetchone()
    if row is None:
        raise LeaseLost(name)


def cut_run(
    connection: Connection, name: str, lead: Lead, stretches: Sequence[Stretch], *, sweep: bool = False
) -> None:
    """Fix the keys that the run walks, which ends its fencing. An empty table has no ranges.

    Args:
        sweep: walk these once more, behind those that are done.
    """
    with connection.transaction():
        _leading(connection, name, lead)
        first = stretches[0].first if stretches else None
        # RowExclusive on the journal.
        connection.execute(
            "UPDATE evolve.backfill_run SET low = %s, cut = true, sweeps = sweeps + %s WHERE run_id = %s",
            (None if first is None else list(first), int(sweep), lead.run_id),
        )
        if sweep:
            # Rows without a key are met once more, and those that still fail are set aside anew.
            connection.execute(
                "WITH met AS (UPDATE evolve.backfill_reject SET resolved_at = clock_timestamp()"
                " WHERE run_id = %(run)s AND kind = 'reject' AND resolved_at IS NULL)"
                " UPDATE evolve.backfill_run SET rejects = 0 WHERE run_id = %(run)s",
                {"run": lead.run_id},
            )
        with connection.cursor(row_factory=scalar_row) as cursor:
            last = cursor.execute(
                "SELECT coalesce(max(range_no), 0) FROM evolve.backfill_range WHERE run_id = %s",
                (lead.run_id,),
            ).fetchone()
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO evolve.backfill_range (run_id, range_no, first, low, upto, leaf, leaf_schema, leaf_name)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        lead.run_id,
                        number,
                        None if each.first is None else list(each.first),
                        None if each.low is None else list(each.low),
                        list(each.upto),
                        None if each.leaf is None else each.leaf.oid,
                        None if each.leaf is None else each.leaf.name.schema,
                        None if each.leaf is None else each.leaf.name.name,
                    )
                    for number, each in enumerate(stretches, start=int(last or 0) + 1)
                ],
            )
        _turn(connection, lead.run_id, State.RUNNING)


def enter(
    connection: Connection,
    name: str,
    lead: Lead,
    state: State,
    actor: str,
    *,
    allow: Callable[[Connection], None] | None = None,
) -> None:
    """Turn the run into `state` and go on working; an error of an earlier try is forgotten.

    Args:
        allow: called inside the transaction before; raises where it may not.
    """
    with connection.transaction():
        _leading(connection, name, lead)
        if allow is not None:
            allow(connection)
        _turn(connection, lead.run_id, state)
        connection.execute("UPDATE evolve.backfill_run SET error = NULL WHERE run_id = %s", (lead.run_id,))
        write_event(connection, lead.run_id, actor, state.value, "")


def leave(
    connection: Connection,
    name: str,
    lead: Lead,
    state: State,
    *,
    actor: str,
    detail: str = "",
    sqlstate: str | None = None,
    asked: Want | None = None,
    also: Callable[[Connection], None] | None = None,
) -> bool:
    """Turn the run into `state` and give up the lead.

    Args:
        asked: leave only if that is still what the journal wants; somebody may have taken it back meanwhile.
        also: done in the same transaction.

    Returns:
        False where it is wanted no more: go on.
    """
    with connection.transaction():
        # A row lock in the journal.
        _leading(connection, name, lead)
        if asked is not None and _want(connection, lead.run_id) is not asked:
            return False
        _turn(connection, lead.run_id, state)
        error = json.dumps({"sqlstate": sqlstate, "message": detail}) if state is State.FAILED else None
        connection.execute(
            "UPDATE evolve.backfill_run SET error = %s::jsonb,"
            " want = CASE WHEN %s THEN 'pause' ELSE want END WHERE run_id = %s",
            (error, state is State.PAUSED, lead.run_id),
        )
        give_up_lead(connection, lead)
        write_event(connection, lead.run_id, actor, state.value, detail)
        if also is not None:
            also(connection)
    return True


def give_up_lead(connection: Connection, lead: Lead) -> None:
    """Leave the run as it is; somebody else may lead it."""
    connection.execute(
        "UPDATE evolve.backfill_run SET lease_until = '-infinity', lease_owner = NULL, lease_backend = NULL"
        " WHERE run_id = %s AND lease_epoch = %s",
        (lead.run_id, lead.epoch),
    )


def release(connection: Connection, lease: Lease) -> None:
    """Give up a range and leave it as it is."""
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
        "UPDATE evolve.backfill_run SET state = %(state)s,"
        " ended_at = CASE WHEN %(ended)s THEN clock_timestamp() END,"
        " ended_lsn = CASE WHEN %(ended)s THEN pg_current_wal_insert_lsn() END"
        " WHERE run_id = %(run)s AND state = ANY(%(before)s)",
        {
            "state": state.value,
            "ended": state in ENDED,
            "run": run_id,
            "before": [old.value for old in before(state)],
        },
    ).rowcount
    if turned != 1:
        row = connection.execute(
            "SELECT name, state FROM evolve.backfill_run WHERE run_id = %s", (run_id,)
        ).fetchone()
        if row is None:
            raise NoSuchRun(str(run_id))
        raise IllegalStep(str(row[0]), State(str(row[1])), state)


def ask(connection: Connection, record: RunRecord, want: Want, actor: str, why: str = "") -> bool:
    """Write down what an operator wants of a run; its workers read it at their next commit.

    Where nobody leads the run there is nobody to carry it out: a pause or cancel is carried out at once, and whoever
    still works on a range is fenced.

    Returns:
        True where the lead will obey; False where it was done here, or nobody is there to go on.
    """
    with connection.transaction():
        # Row locks in the journal.
        row = connection.execute(
            sql.SQL("SELECT {} FROM evolve.backfill_run r WHERE run_id = %s FOR UPDATE").format(
                _LIVE.format(sql.Identifier("r"))
            ),
            (record.run_id,),
        ).fetchone()
        led = row is not None and bool(row[0])
        connection.execute(
            "UPDATE evolve.backfill_run SET want = %s WHERE run_id = %s", (want.value, record.run_id)
        )
        write_event(connection, record.run_id, actor, want.value if want is not Want.RUN else "resume", why)
        if not led and want is not Want.RUN:
            _turn(connection, record.run_id, State.PAUSED if want is Want.PAUSE else State.CANCELLED)
            # Whoever led it last, or wakes up on a range of it, must not go on.
            connection.execute(
                "UPDATE evolve.backfill_run SET lease_epoch = lease_epoch + 1, lease_until = '-infinity',"
                " lease_owner = NULL, lease_backend = NULL WHERE run_id = %s",
                (record.run_id,),
            )
            fence_workers(connection, record.run_id)
    return led


def end_undo(connection: Connection, run_id: int) -> None:
    """Inside a transaction that drops what the undo had left to give back: the rows stay as they are."""
    _turn(connection, run_id, State.CANCELLED)


def fence_workers(connection: Connection, run_id: int) -> None:
    """Take every range from whoever holds it; a batch that is about to commit is waited for."""
    # Row locks in the journal.
    connection.execute(
        "UPDATE evolve.backfill_range SET lease_epoch = lease_epoch + 1, lease_until = '-infinity',"
        " lease_owner = NULL, lease_backend = NULL WHERE run_id = %s AND lease_owner IS NOT NULL",
        (run_id,),
    )


def store_verdict(connection: Connection, run_id: int, verdict: Verdict, actor: str) -> None:
    with connection.transaction():
        # A row lock in the journal.
        connection.execute(
            "UPDATE evolve.backfill_run SET verify = %s::jsonb WHERE run_id = %s",
            (json.dumps(asdict(verdict)), run_id),
        )
        write_event(connection, run_id, actor, "verified", f"{verdict.misses} of {verdict.rows} rows missed")


def end_of(connection: Connection, run_id: int) -> str | None:
    """Position in the WAL behind all that the run wrote; None where it goes on, or ended before that was kept."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        # AccessShare on the journal.
        found = cursor.execute(
            "SELECT ended_lsn::text FROM evolve.backfill_run WHERE run_id = %s", (run_id,)
        ).fetchone()
    return None if found is None else str(found)


def write_event(connection: Connection, run_id: int, actor: str, kind: str, detail: str) -> None:
    """What happened, who did it, and what about it in at most 500 characters."""
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
            nulls=tuple((column, count) for column, count in stored.get("nulls", ())),
            checksum=stored.get("checksum"),
            server=stored.get("server"),
        )
    return RunRecord(
        run_id=row.run_id,
        name=row.name,
        spec=Spec.from_json(row.spec),
        fingerprint=row.fingerprint,
        table_oid=row.table_oid,
        key=tuple(
            KeyColumn(name, type_, row.newest_first)
            for name, type_ in zip(row.key_columns, row.key_types, strict=True)
        ),
        state=State(row.state),
        want=Want(row.want),
        cut=row.cut,
        low=_key(row.low),
        ranges=row.ranges,
        open=tuple(
            OpenRange(_key(low), _key(cursor), tuple(upto))
            for low, cursor, upto in json.loads(row.open_ranges)
        ),
        batches=row.batches,
        scanned=row.scanned,
        changed=row.changed,
        ahead=row.ahead,
        rows_estimate=row.rows_estimate,
        journal=row.journal,
        fence=int(row.fence),
        verify=verdict,
        error=row.error,
        lead=None if row.leads is None else _holder(*json.loads(row.leads)),
        workers=tuple(_holder(*each) for each in json.loads(row.workers)),
        started_by=row.started_by,
        started_at=datetime.fromisoformat(row.started_at),
        ended_at=None if row.ended_at is None else datetime.fromisoformat(row.ended_at),
        after=tuple(row.after),
        verifiable=row.verifiable,
        sweeps=row.sweeps,
        key_collations=None if row.key_collations is None else tuple(row.key_collations),
        column_numbers=None if row.column_numbers is None else tuple(row.column_numbers),
        rejects=row.rejects,
        max_rejects=row.max_rejects,
        unrestored=row.unrestored,
        left_alone=row.left_alone,
        settings=Settings.from_json(json.loads(row.settings)),
        pace=Settings.from_json(json.loads(row.pace)),
        terms=Terms.from_json(json.loads(row.pace)),
        brake=None if row.brake is None else brake_of(json.loads(row.brake)),
        approval=None if row.approval is None else Approval(**json.loads(row.approval)),
        doing=tuple(
            Busy(person(str(each["owner"])), int(each["pid"]), Doing.from_json(each))
            for each in json.loads(row.doing)
        ),
    )


def _holder(owner: str, until: str) -> Holder:
    return Holder(owner, datetime.fromisoformat(until))


def _key(parts: Sequence[str] | None) -> Key | None:
    return None if parts is None else tuple(parts)
