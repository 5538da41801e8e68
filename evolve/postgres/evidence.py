"""Look at gates in the live database, and keep what was seen and said in schema `evolve`.

Connections must be in autocommit mode: each function that writes is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.resources import files
from typing import assert_never

import psycopg
from psycopg import sql
from psycopg.rows import class_row, scalar_row

from evolve.backfill.dependencies import unsettled
from evolve.backfill.status import State
from evolve.counted import counted
from evolve.errors import Misuse, Refused
from evolve.plan.change import Place
from evolve.plan.gates import Observation, Rules
from evolve.plan.lost_rows import accepted, word
from evolve.plan.model import (
    BackfillDone,
    ColumnNotNull,
    Gate,
    Holds,
    LostRows,
    NoOlderTransaction,
    NoRows,
    NotMapped,
    NotMissed,
    NotTripped,
    NotUsed,
    RegretOver,
    TriggerArmed,
    Validated,
    ValidIndex,
    Word,
)
from evolve.plan.wording import duration, exact_gate, gate_name
from evolve.postgres import brown_out, registry, statement_use, tripwire
from evolve.postgres.composing import table_name, written
from evolve.postgres.connect import Connection, connect
from evolve.postgres.fence import older_transactions
from evolve.postgres.journal import latest_run
from evolve.postgres.refusal import forbidden
from evolve.postgres.upgrade_record import applied_at
from evolve.postgres.writable import is_standby
from evolve.sql.names import QualifiedName

VERSION = 3
_WITH_NOTES = 2  # since when events have them
_PATIENCE = 5  # seconds that looking waits for a lock; nobody who reads or writes queues behind it
_COUNT_UP_TO = 1000  # rows that shut a gate; the exact number of more does not matter


class EvidenceDenied(Misuse):
    def __init__(self, role: str, reason: str) -> None:
        super().__init__(
            f'role "{role}" may not keep evidence in schema "evolve": {reason}',
            why="what was seen before each phase is kept in the database it was seen in",
            fix=f"have an administrator run once: CREATE SCHEMA IF NOT EXISTS evolve; "
            f'GRANT ALL ON SCHEMA evolve TO "{role}"',
        )


class Denied(Misuse):
    def __init__(self, role: str, reason: str) -> None:
        super().__init__(
            f'role "{role}" may not look or write where it must: {reason}',
            why="a change is planned and gated by what is in its table, and in schema evolve",
            fix=f'GRANT what is missing to "{role}", or connect as the role that owns the tables',
        )


class ServerRefused(Refused):
    def __init__(self, sqlstate: str | None, reason: str) -> None:
        super().__init__(
            f"the server refused a statement: {reason}",
            why=f"SQLSTATE {sqlstate}" if sqlstate else "the connection was lost",
            fix="mend that and run it again; whatever was written before stays right",
        )


class EvidenceTooNew(Misuse):
    def __init__(self, version: int) -> None:
        super().__init__(
            f"the evidence in this database has version {version}, this evolve knows version {VERSION}",
            why="a newer evolve has worked here; an older one could misread what it wrote",
            fix="install that evolve here as well",
        )


_BROWN_OUT = {
    "begun": "brown-out begun: {} is hidden",
    "clean": "brown-out: nobody missed it",
    "ended": "brown-out ended before its time",
}


class TableLocked(Refused):
    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"a table that evolve looks at was locked by another session for longer than {seconds} s",
            why="whoever holds ACCESS EXCLUSIVE lets nobody read, and evolve waits for no lock without end",
            fix="run it again when that session has ended; see who it is: SELECT * FROM pg_stat_activity WHERE pid IN "
            "(SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted)",
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a change.

    Args:
        kind: "begun", "word", "override", "undone" or "brown-out".
        name: what a word confirmed, the gate that was overridden, or how a brown-out stands: "begun", "clean",
            "denied", or "ended" before its time.
        note: why it was overridden; what was hidden, and who missed it.
    """

    phase: str
    kind: str
    name: str
    note: str
    actor: str
    at: datetime

    @property
    def told(self) -> str:
        match self.kind:
            case "begun":
                return f"{self.phase} begun"
            case "undone":
                return f"{self.phase} undone"
            case "brown-out":
                return _BROWN_OUT.get(self.name, f"brown-out: {self.note}").format(self.note)
            case "override":
                return f"{self.name} before {self.phase} overridden: {self.note}"
            case _:
                return f"{self.name} confirmed"


@contextmanager
def looking(url: str, application_name: str) -> Iterator[Connection]:
    """A connection in autocommit mode, whose errors are ones a person can act on.

    Raises:
        CannotConnect: there is none; Denied, ServerRefused: the server said no to something done with it.
    """
    with (
        closing(connect(url, application_name=application_name, autocommit=True)) as connection,
        telling(connection),
    ):
        # No lock. Rows that row security hides are not to count as none.
        connection.execute(
            "SELECT set_config('lock_timeout', %s, false), set_config('row_security', 'off', false)",
            (f"{_PATIENCE}s",),
        )
        yield connection


@contextmanager
def telling(connection: Connection) -> Iterator[None]:
    """Tell errors of `connection` as ones a person can act on.

    Raises:
        Denied, ServerRefused: the server said no to something done with it; TableLocked: it let it wait too long.
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise TableLocked(_PATIENCE) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise Denied(connection.info.user, error.diag.message_primary or "permission denied") from error
    except psycopg.Error as error:
        refused = ServerRefused(error.sqlstate, error.diag.message_primary or str(error))
        raise forbidden(error) or refused from error


# -- storage ------------------------------------------------------------------------------------------------
def installed_version(connection: Connection) -> int | None:
    """None where nothing was ever kept."""
    # ACCESS SHARE on catalogs only. to_regclass() would fail for a role that may not use the schema.
    row = connection.execute(
        "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evolve' AND c.relname = 'change_event'"
    ).fetchone()
    if row is None:
        return None
    last = str(row[0]).rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def ensure_evidence(connection: Connection) -> None:
    """Create schema and tables where they are missing.

    Raises:
        EvidenceDenied: the role may not; EvidenceTooNew: a newer evolve made them.
    """
    version = installed_version(connection)
    if version is not None and version > VERSION:
        raise EvidenceTooNew(version)
    if version == VERSION:
        return
    ddl = files("evolve.postgres.schema").joinpath("change.sql").read_bytes()
    try:
        with connection.transaction():
            # No table lock; two first uses at once would both create the schema and one would fail.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve'), hashtext('evidence'))")
            connection.execute(ddl)
    except psycopg.errors.InsufficientPrivilege as error:
        raise EvidenceDenied(
            connection.info.user, error.diag.message_primary or "permission denied"
        ) from error


def keep(connection: Connection, change: str, phase: str, seen: Sequence[Observation], actor: str) -> None:
    """Keep that `phase` has begun, and what was seen at its gates; once, however often it is called."""
    ensure_evidence(connection)
    with connection.transaction():
        # ROW EXCLUSIVE on our own tables.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve.change'), hashtext(%s))", (change,))
        begun = connection.execute(
            "INSERT INTO evolve.change_event (change, phase, kind, actor) SELECT %(change)s, %(phase)s, 'begun', "
            "%(actor)s WHERE NOT EXISTS (SELECT FROM evolve.change_event WHERE change = %(change)s "
            "AND phase = %(phase)s AND kind = 'begun' AND event_id > coalesce((SELECT max(event_id) "
            "FROM evolve.change_event WHERE change = %(change)s AND phase = %(phase)s AND kind = 'undone'), 0)) "
            "RETURNING event_id",
            {"change": change, "phase": phase, "actor": actor},
        ).fetchone()
        if begun is None:
            return
        for observation in seen:
            if isinstance(observation.gate, NotUsed) and not observation.because:
                statement_use.settle(connection, change)
            if observation.because:
                _override(connection, change, phase, observation, actor)
            _kept(connection, change, phase, observation, actor)


def judge(
    connection: Connection, change: str, phase: str, seen: Sequence[Observation], actor: str, rules: Rules
) -> None:
    """Keep what was seen of the statements that use what `phase` takes away: its revision asks for that.

    That nobody is to ask, since the settings say so, holds for good.
    """
    used = next((observation for observation in seen if isinstance(observation.gate, NotUsed)), None)
    if used is not None and used.because:
        return  # the override stands by itself, for as long as the phase does
    ensure_evidence(connection)
    # ROW EXCLUSIVE on our own table.
    connection.execute(
        "INSERT INTO evolve.verdict (change, phase, open, observed, actor, holds_until)"
        " VALUES (%(change)s, %(phase)s, %(open)s, %(observed)s, %(actor)s,"
        " CASE WHEN %(asked)s THEN clock_timestamp() + make_interval(secs => %(age)s) ELSE 'infinity' END)"
        " ON CONFLICT (change, phase) DO UPDATE SET open = excluded.open, observed = excluded.observed,"
        " actor = excluded.actor, at = clock_timestamp(), holds_until = excluded.holds_until",
        {
            "change": change,
            "phase": phase,
            "open": used is None or used.open,
            "observed": "not asked: statements = off" if used is None else used.observed,
            "actor": actor,
            "asked": used is not None,
            "age": rules.verdict_age,
        },
    )


def judged(connection: Connection, change: str, phase: str) -> bool:
    """Whether anybody has ever looked at the statements before `phase`."""
    # ACCESS SHARE on catalogs only.
    there = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evolve' AND c.relname = 'verdict'"
    ).fetchone()
    if there is None:
        return False
    # ACCESS SHARE on our own table.
    kept = "SELECT 1 FROM evolve.verdict WHERE change = %s AND phase = %s"
    return connection.execute(kept, (change, phase)).fetchone() is not None


def passed(connection: Connection, change: str, phase: str) -> dict[str, str]:
    """The gates before `phase` that somebody has overridden, by name, and why; what was undone since does not count."""
    told = events(connection, change)
    undone_at = max((n for n, e in enumerate(told) if (e.kind, e.phase) == ("undone", phase)), default=-1)
    return {e.name: e.note for e in told[undone_at + 1 :] if (e.kind, e.phase) == ("override", phase)}


def witness(connection: Connection, change: str, phase: str, seen: Sequence[Observation], actor: str) -> None:
    """Keep what was seen once more at gates of a phase that has begun."""
    ensure_evidence(connection)
    with connection.transaction():
        for observation in seen:
            _kept(connection, change, phase, observation, actor)


def overrule(
    connection: Connection, change: str, phase: str, seen: Sequence[Observation], actor: str
) -> None:
    """Keep which gates were overridden of a phase that has begun already: its revisions ask again."""
    ensure_evidence(connection)
    with connection.transaction():
        for observation in seen:
            if observation.because:
                _override(connection, change, phase, observation, actor)


def undone(
    connection: Connection, change: str, phases: Sequence[str], seen: Sequence[Observation], actor: str
) -> None:
    """Keep that `phases` were gone back on: what was said before them counts no longer. One transaction."""
    ensure_evidence(connection)
    with connection.transaction():
        # ROW EXCLUSIVE on our own tables.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve.change'), hashtext(%s))", (change,))
        for phase in phases:
            connection.execute(
                "INSERT INTO evolve.change_event (change, phase, kind, actor) VALUES (%s, %s, 'undone', %s)",
                (change, phase, actor),
            )
            connection.execute("DELETE FROM evolve.verdict WHERE change = %s AND phase = %s", (change, phase))
        for observation in seen:
            if observation.because and isinstance(observation.gate, NotMapped):
                _override(connection, change, observation.gate.phase, observation, actor)


def begin_brown_out(
    connection: Connection, change: str, places: Sequence[Place], actor: str, seconds: float
) -> None:
    """Hide `places` and keep that it was done; one transaction, as `brown_out.hide`."""
    ensure_evidence(connection)
    with connection.transaction():
        hidden = brown_out.hide(connection, change, places, actor, seconds)
        _keep_brown_out(connection, change, "begun", hidden.places, actor)


def end_brown_out(
    connection: Connection, change: str, how: str, note: str, actor: str, *, as_it_is: bool = False
) -> bool:
    """Give back what is hidden, and keep how it ended; False where nothing is hidden. One transaction.

    Args:
        how: "clean", "denied" or "ended" before its time.
        note: who missed what.

    Raises:
        NotGivenBack.
    """
    with connection.transaction():
        given = brown_out.give_back(connection, change, as_it_is=as_it_is)
        if given:
            # Who may give it back need not be one who may keep that.
            with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
                _keep_brown_out(connection, change, how, note, actor)
    return given


def _keep_brown_out(connection: Connection, change: str, how: str, note: str, actor: str) -> None:
    # ROW EXCLUSIVE on our own table.
    connection.execute(
        "INSERT INTO evolve.change_event (change, phase, kind, name, note, actor)"
        " VALUES (%s, 'switch', 'brown-out', %s, %s, %s)",
        (change, how, note, actor),
    )


def _override(connection: Connection, change: str, phase: str, observation: Observation, actor: str) -> None:
    connection.execute(
        "INSERT INTO evolve.change_event (change, phase, kind, name, note, actor)"
        " VALUES (%s, %s, 'override', %s, %s, %s)",
        (change, phase, gate_name(observation.gate), observation.because, actor),
    )


def _kept(connection: Connection, change: str, phase: str, observation: Observation, actor: str) -> None:
    # ROW EXCLUSIVE on our own table.
    connection.execute(
        "INSERT INTO evolve.evidence (change, phase, gate, observed, actor) VALUES (%s, %s, %s, %s, %s)",
        (change, phase, exact_gate(observation.gate), observation.observed, actor),
    )


def watch(
    connection: Connection, change: str, seen: Sequence[Observation], rules: Rules
) -> tuple[Observation, ...]:
    """What was seen, with the windows of time begun that a gate waits for and that have not begun or cannot go on."""
    return tuple(
        _watched(connection, change, observation, rules)
        if isinstance(observation.gate, NotUsed) and not observation.open
        else observation
        for observation in seen
    )


def _watched(connection: Connection, change: str, observation: Observation, rules: Rules) -> Observation:
    gate = observation.gate
    if not isinstance(gate, NotUsed):
        return observation
    ensure_evidence(connection)
    if not statement_use.renew(connection, change, gate, rules):
        return observation
    now = f"it is watched from now on: come back in {duration(rules.statement_window)}"
    return replace(observation, fix=observation.fix.replace(statement_use.until(rules.statement_window), now))


def say(connection: Connection, change: str, phase: str, word: str, actor: str) -> None:
    """Keep that `actor` confirmed `word`; the first time counts."""
    ensure_evidence(connection)
    if _said(connection, change, word) is not None:
        return
    # ROW EXCLUSIVE on our own table.
    connection.execute(
        "INSERT INTO evolve.change_event (change, phase, kind, name, actor) VALUES (%s, %s, 'word', %s, %s)",
        (change, phase, word, actor),
    )


def events(connection: Connection, change: str) -> list[Event]:
    """What happened to `change` in this database, oldest first."""
    version = installed_version(connection)
    if version is None:
        return []
    note = sql.SQL("note") if version >= _WITH_NOTES else sql.SQL("'' AS note")
    query = sql.SQL(
        "SELECT phase, kind, name, {}, actor, at FROM evolve.change_event WHERE change = %s ORDER BY event_id"
    ).format(note)
    with connection.cursor(row_factory=class_row(Event)) as cursor:
        # ACCESS SHARE on our own table.
        return cursor.execute(query, (change,)).fetchall()


def _said(connection: Connection, change: str, word: str) -> Event | None:
    told = events(connection, change)
    word_of = [number for number, e in enumerate(told) if e.kind == "word" and e.name == word]
    undone_at = {e.phase: number for number, e in enumerate(told) if e.kind == "undone"}
    return next((told[n] for n in word_of if n > undone_at.get(told[n].phase, -1)), None)


# -- gates --------------------------------------------------------------------------------------------------
def observe(connection: Connection, change: str, gate: Gate, rules: Rules | None = None) -> Observation:
    """Look at one gate now. Reads only; the counts scan their table under ACCESS SHARE.

    Where it asks of a table or column that somebody has dropped by hand, it is shut.
    """
    try:
        return _observed(connection, change, gate, rules or Rules())
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        missing = error.diag.message_primary or "something that it asks is not there"
        return Observation(gate, False, missing, "see: evolve drift")


def _observed(connection: Connection, change: str, gate: Gate, rules: Rules) -> Observation:
    match gate:
        case TriggerArmed(table, trigger, fires):
            return _trigger(connection, gate, table, trigger, fires)
        case NoOlderTransaction(table, trigger):
            return _older(connection, gate, table, trigger)
        case BackfillDone(name):
            return _backfill(connection, gate, name)
        case NoRows(table, predicate, backfill=backfill, fix=fix):
            return _no_rows(connection, backfill or change, gate, table, predicate, fix)
        case LostRows():
            return _lost(connection, change, gate)
        case Validated(table, constraint):
            return _validated(connection, gate, table, constraint)
        case ColumnNotNull(table, column):
            return _not_null(connection, gate, table, column)
        case ValidIndex(index):
            return _index(connection, gate, index)
        case Holds(condition, _, fix):
            return _holds(connection, gate, condition, fix)
        case NotMapped():
            return registry.observe(connection, gate, rules)
        case NotUsed():
            return statement_use.observe(connection, change, gate, rules)
        case NotMissed():
            return _missed(connection, change, gate)
        case NotTripped():
            return tripwire.observe(connection, change, gate)
        case RegretOver():
            return _regret(connection, change, gate)
        case Word(name):
            said = _said(connection, change, name)
            if said is not None:
                return Observation(gate, True, f"{said.actor} said so at {said.at:%Y-%m-%d %H:%M}")
            return Observation(
                gate, False, "nobody has said so", f"once it is true: evolve advance {change} {gate.option}"
            )
        case _:
            assert_never(gate)


def _trigger(
    connection: Connection, gate: Gate, table: QualifiedName, trigger: str, fires: int
) -> Observation:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        """
        SELECT t.tgenabled::text,
               t.tgtype = %s AND t.tgattr::text = '' AND t.tgqual IS NULL AND n.nspname = 'evolve'
          FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE t.tgrelid = to_regclass(%s) AND t.tgname = %s
        """,
        (fires, table.full, trigger),
    ).fetchone()
    if row is None:
        return Observation(gate, False, "it is not there", "apply its revision: evolve upgrade")
    if not row[1]:
        return Observation(
            gate,
            False,
            "another trigger has its name, or it has been made to miss some writes",
            f'drop it and make it again as the expand revision does: DROP TRIGGER "{trigger}" ON {table}',
        )
    if row[0] in ("A", "O"):
        return Observation(gate, True, "always enabled" if row[0] == "A" else "enabled")
    enable = f'ALTER TABLE {table} ENABLE ALWAYS TRIGGER "{trigger}"'
    return Observation(
        gate,
        False,
        "it does not fire",
        f"rows written meanwhile are out of step; run {enable}, then the backfill again with --restart",
    )


def _older(connection: Connection, gate: Gate, table: QualifiedName, trigger: str) -> Observation:
    if is_standby(connection):
        return Observation(gate, False, "a standby does not know who works on its primary", "ask the primary")
    # ACCESS SHARE on catalogs only. xmin is the 32-bit id of the transaction that made the trigger; the snapshot
    # tells the epoch.
    row = connection.execute(
        """
        SELECT (s.top - mod(s.top - t.xmin::text::bigint, 4294967296))::text
          FROM pg_trigger t, (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS top) s
         WHERE t.tgrelid = to_regclass(%s) AND t.tgname = %s
        """,
        (table.full, trigger),
    ).fetchone()
    if row is None:
        return Observation(gate, False, "the trigger is not there", "apply its revision: evolve upgrade")
    older = older_transactions(connection, int(str(row[0])))
    if not older:
        return Observation(gate, True, "none")
    names = "; ".join(str(transaction) for transaction in older[:3])
    return Observation(gate, False, names, "let them end, or end them: SELECT pg_terminate_backend(PID)")


def _backfill(connection: Connection, gate: Gate, name: str) -> Observation:
    run = latest_run(connection, name)
    if run is None:
        # Where no row needs work, as in an empty table, nobody has to run it; the count beside this gate tells.
        return Observation(gate, True, "never run, and only needed where rows are left")
    why = unsettled(name, run)
    if why is not None:
        return Observation(gate, False, why.reason, f"run: {why.command}")
    return Observation(gate, True, f"done, {counted(run.changed, 'row')} written")


def _no_rows(
    connection: Connection, backfill: str, gate: Gate, table: QualifiedName, predicate: str, fix: str | None
) -> Observation:
    if hidden := _hidden_rows(connection, gate, table):
        return hidden
    query = sql.SQL("SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS found").format(
        table_name(table), written(predicate), sql.Literal(_COUNT_UP_TO)
    )
    with connection.cursor(row_factory=scalar_row) as cursor:
        # ACCESS SHARE, for as long as reading the table takes.
        count = cursor.execute(query, ()).fetchone()
    if not count:
        return Observation(gate, True, "0 rows")
    shown = counted(count, "row") if count < _COUNT_UP_TO else f"{_COUNT_UP_TO} rows or more"
    if fix is not None:
        return Observation(gate, False, shown, fix)
    run = latest_run(connection, backfill)
    again = " --restart" if run is not None and run.state is State.DONE else ""
    return Observation(gate, False, shown, f"run: evolve backfill run {backfill}{again}")


def _hidden_rows(connection: Connection, gate: Gate, table: QualifiedName) -> Observation | None:
    # ACCESS SHARE on catalogs only.
    row = connection.execute("SELECT row_security_active(to_regclass(%s)::oid)", (table.full,)).fetchone()
    if row is None or not row[0]:
        return None
    return Observation(
        gate,
        False,
        f'row security hides rows of "{table}" from the role that looks, "{connection.info.user}"',
        f"run as the owner of {table} where its policies are not forced upon it, or as a role with BYPASSRLS",
    )


def _lost(connection: Connection, change: str, gate: LostRows) -> Observation:
    if hidden := _hidden_rows(connection, gate, gate.table):
        return hidden
    query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
        table_name(gate.table), written(gate.predicate)
    )
    with connection.cursor(row_factory=scalar_row) as cursor:
        # ACCESS SHARE, for as long as reading the table takes.
        found = int(str(cursor.execute(query, ()).fetchone()))
    shown = counted(found, "row")
    by_plan = f"{gate.accepted or 'none'} accepted with the plan"
    if found <= gate.accepted:
        return Observation(gate, True, f"{shown}, {by_plan}" if found else shown)
    said = most_lost(connection, change)
    if said is not None and found <= said[0]:
        return Observation(
            gate, True, f"{shown}, {said[1].actor} accepted {said[0]} at {said[1].at:%Y-%m-%d %H:%M}"
        )
    before = by_plan if said is None else f"{said[0]} accepted by {said[1].actor}"
    return Observation(
        gate,
        False,
        f"{shown}, {before}",
        f"{gate.fix}, or accept that {'it loses' if found == 1 else 'they lose'} it: "
        f"evolve advance {change} --confirm {word(found)}",
    )


def most_lost(connection: Connection, change: str) -> tuple[int, Event] | None:
    """How many rows somebody has accepted in this database to lose something, at most, and who."""
    told = events(connection, change)
    undone_at = {e.phase: number for number, e in enumerate(told) if e.kind == "undone"}
    said = [
        (number, event)
        for at, event in enumerate(told)
        if event.kind == "word" and at > undone_at.get(event.phase, -1)
        if (number := accepted(event.name)) is not None
    ]
    return max(said, key=lambda each: each[0], default=None)


def _validated(connection: Connection, gate: Gate, table: QualifiedName, constraint: str) -> Observation:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s",
        (table.full, constraint),
    ).fetchone()
    if row is None:
        return Observation(gate, False, "it is not there", "apply its revision: evolve upgrade")
    if row[0]:
        return Observation(gate, True, "validated")
    return Observation(
        gate, False, "not validated", f'run: ALTER TABLE {table} VALIDATE CONSTRAINT "{constraint}"'
    )


def _not_null(connection: Connection, gate: Gate, table: QualifiedName, column: str) -> Observation:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s",
        (table.full, column),
    ).fetchone()
    if row is None:
        return Observation(gate, False, "there is no such column", "apply its revision: evolve upgrade")
    if row[0]:
        return Observation(gate, True, "NOT NULL")
    return Observation(gate, False, "it may be null", "apply its revision: evolve upgrade")


def _index(connection: Connection, gate: Gate, index: QualifiedName) -> Observation:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (index.full,)
    ).fetchone()
    if row is None:
        return Observation(gate, False, "it is not there", "apply its revision: evolve upgrade")
    if row[0]:
        return Observation(gate, True, "valid")
    return Observation(gate, False, "invalid", f"run: REINDEX INDEX CONCURRENTLY {index}")


def last_brown_out(connection: Connection, change: str) -> Event | None:
    """What was told last of one since `change` was last taken back."""
    told = events(connection, change)
    undone_at = max((number for number, e in enumerate(told) if e.kind == "undone"), default=-1)
    return next((e for e in reversed(told[undone_at + 1 :]) if e.kind == "brown-out"), None)


def probed(connection: Connection, change: str, places: Sequence[Place]) -> tuple[Gate, ...]:
    """The gates before `places` are taken away where somebody has tried something: a brown-out, a tripwire."""
    if not places:
        return ()
    found: list[Gate] = []
    if brown_out.hidden(connection, change) or last_brown_out(connection, change) is not None:
        found.append(NotMissed(tuple(places)))
    if tripwire.armed(connection, change):
        found.append(NotTripped(tuple(places)))
    return tuple(found)


def _missed(connection: Connection, change: str, gate: NotMissed) -> Observation:
    for hidden in brown_out.hidden(connection, change):
        return Observation(
            gate,
            False,
            f"{hidden.places} is hidden since {hidden.began:%Y-%m-%d %H:%M} ({hidden.actor})",
            f"wait until it ends, at {hidden.ends:%H:%M}, or run: evolve brown-out {change} --end",
        )
    last = last_brown_out(connection, change)
    if last is None:
        return Observation(gate, True, "none was tried")
    if last.name == "clean":
        return Observation(gate, True, f"nobody, {last.at:%Y-%m-%d %H:%M} ({last.actor})")
    if last.name != "denied":
        # Somebody may have ended it because of what they saw.
        return Observation(
            gate,
            False,
            f"{last.at:%Y-%m-%d %H:%M}: it ended before its time",
            f"once more: evolve brown-out {change}",
        )
    return Observation(
        gate,
        False,
        f"{last.at:%Y-%m-%d %H:%M}: {last.note}",
        f"let it do without, then once more: evolve brown-out {change}",
    )


def _regret(connection: Connection, change: str, gate: RegretOver) -> Observation:
    phase, seconds = gate.phase, gate.seconds
    told = reversed(events(connection, change))  # the newest: it may have been undone, and begun once more
    begun = next((e.at for e in told if (e.kind, e.phase) == ("begun", phase)), None)
    if begun is None:
        return Observation(
            gate, False, f"this database never saw {phase} begin", f"see: evolve status {change}"
        )
    with connection.cursor(row_factory=scalar_row) as cursor:
        # No lock. The server's clock, which wrote the moment as well.
        passed = cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - %s)::float8",
            (max(begun, applied_at(connection, gate.revisions) or begun),),
        ).fetchone()
    waited = float(passed or 0.0)
    observed = f"it began {duration(waited)} ago"
    if waited >= seconds:
        return Observation(gate, True, observed)
    return Observation(
        gate,
        False,
        observed,
        f"come back in {duration(seconds - waited)}; until then the way back loses nothing",
    )


def _holds(connection: Connection, gate: Gate, condition: str, fix: str) -> Observation:
    with connection.cursor(row_factory=scalar_row) as cursor:
        # ACCESS SHARE on what the condition names.
        true = cursor.execute(sql.SQL("SELECT ({}\n) IS TRUE").format(written(condition)), ()).fetchone()
    return Observation(gate, True, "it is so") if true else Observation(gate, False, "not yet", fix)
