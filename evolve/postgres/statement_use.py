"""Whether anybody uses what is to be taken away: the calls that pg_stat_statements counts, over a window of time.

A window begins with the counts of the statements that use the place. When it is over and none of them was called, nor
another came, nobody uses it. Whatever could hide a call closes the gate: counts that were reset or evicted, texts that
may not be read, a server that takes reads and was not asked.

Connections must be in autocommit mode. Looking takes no lock on any table of the application.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from evolve.errors import EvolveError
from evolve.plan.change import Place
from evolve.plan.gate_sql import MARKER
from evolve.plan.gates import Observation, Rules
from evolve.plan.model import NotUsed
from evolve.plan.wording import duration
from evolve.postgres.composing import identifier
from evolve.postgres.connect import OWN, Connection, connect, redact
from evolve.redaction import shown
from evolve.sql.column_use import table_use, worded
from evolve.sql.names import QualifiedName

PRIMARY = "primary"
_HIDDEN = "<insufficient privilege>"
_SHOWN = 120  # characters of a statement's text

# One normalized statement of one role in this database: (role's oid, query id, at the top level).
Key = tuple[int, int, bool]


@dataclass(frozen=True, slots=True)
class Called:
    """A statement that uses the place.

    Args:
        why: how it does: "names it", "selects *".
    """

    key: Key
    calls: int
    text: str
    why: str

    def __str__(self) -> str:
        words = shown(" ".join(self.text.split()))
        return f"{words if len(words) <= _SHOWN else words[: _SHOWN - 1] + '…'} ({self.why})"


@dataclass(frozen=True, slots=True)
class Reading:
    """One server, read once.

    Args:
        server: "primary", or where a replica is.
        reset: when its counts began.
        evicted: how often it has dropped entries to make room.
        trouble: why it tells nothing; empty where it does.
        fix: what to do about that.
        origin: which server it is; None where it was not asked.
        nested: what functions run is counted as well.
        standbys: names of those that follow it and may take reads.
    """

    server: str
    at: datetime
    reset: datetime | None = None
    evicted: int = 0
    called: tuple[Called, ...] = ()
    trouble: str = ""
    fix: str = ""
    nested: bool = False
    origin: Origin | None = None
    standbys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Which server it is, by whatever name one comes to it.

    Args:
        system: the same for a primary and its standbys; None where the role may not ask.
        started: to the microsecond, so that no two servers share it.
    """

    system: int | None
    started: datetime
    in_recovery: bool


@dataclass(frozen=True, slots=True)
class Window:
    """What a server's counts were when one began to watch."""

    server: str
    since: datetime
    reset: datetime | None
    evicted: int
    calls: dict[Key, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a reading says of a window; `broken` where the window cannot go on."""

    observed: str
    open: bool = False
    broken: bool = False
    fix: str = ""
    used: str = ""


# -- what the gate says -------------------------------------------------------------------------------------
def observe(connection: Connection, change: str, gate: NotUsed, rules: Rules) -> Observation:
    """Look at the gate; writes nothing."""
    found = _verdicts(connection, change, gate, rules)
    if not found:
        if rules.statements == "required":
            return Observation(
                gate,
                False,
                "pg_stat_statements is not in this database",
                "preload it and CREATE EXTENSION pg_stat_statements; or allow that nobody looks: "
                'statements = "where-there" in [tool.evolve.gates]',
            )
        return Observation(gate, True, "pg_stat_statements is not in this database: nobody has looked")
    # Use first, then what nobody can look at: beside them it does not matter that a window is young.
    found.sort(key=lambda each: (not each[1].used, not each[0].trouble))
    shut = next((verdict for _, verdict in found if not verdict.open), None)
    if shut is not None:
        return Observation(gate, False, shut.observed, shut.fix)
    return Observation(gate, True, "; ".join(verdict.observed for _, verdict in found))


def renew(connection: Connection, change: str, gate: NotUsed, rules: Rules) -> bool:
    """Begin a window where there is none, and anew where it cannot go on; one transaction a server. Whether one began.

    ROW EXCLUSIVE on our own tables, which must be there.
    """
    broken = [
        (reading, verdict)
        for reading, verdict in _verdicts(connection, change, gate, rules)
        if verdict.broken and not reading.trouble
    ]
    for reading, verdict in broken:
        _keep(connection, change, reading, verdict.used)
    return bool(broken)


def settle(connection: Connection, change: str) -> None:
    """Nobody uses it any more: what ended an earlier window no longer counts.

    ROW EXCLUSIVE on our own table, which must be there.
    """
    connection.execute(
        "UPDATE evolve.statement_window SET used = '' WHERE change = %s AND used <> ''", (change,)
    )


def until(seconds: float) -> str:
    """What to do where no window is under way."""
    return f"come back {duration(seconds)} after the next evolve advance, which begins to watch"


def _verdicts(
    connection: Connection, change: str, gate: NotUsed, rules: Rules
) -> list[tuple[Reading, _Verdict]]:
    """Each server with what it says; none where the primary has no statistics."""
    places = [*gate.places, *of_children(connection, gate.places)]
    reading = _read(connection, PRIMARY, places, rules)
    if reading is None:
        return []
    windows = _windows(connection, change)
    read = [reading, *_replicas(reading, places, rules)]
    found = [*read, *_unread(read, rules), *_in_functions(connection, reading, places)]
    return [(each, _judge(each, windows.get(each.server), rules.statement_window)) for each in found]


def _judge(reading: Reading, window: Window | None, seconds: float) -> _Verdict:
    place = "" if reading.server == PRIMARY else f"{reading.server}: "
    if reading.trouble:
        return _Verdict(place + reading.trouble, fix=reading.fix)
    again = until(seconds)
    if window is None:
        return _Verdict(f"{place}nobody has watched yet", broken=True, fix=again)
    age = (reading.at - window.since).total_seconds()
    since = f"since {window.since:%Y-%m-%d %H:%M}"
    used = [each for each in reading.called if each.calls > window.calls.get(each.key, 0)]
    if used:
        more = f", and {len(used) - 1} more" if len(used) > 1 else ""
        return _Verdict(
            f"{place}used {since}: {used[0]}{more}",
            broken=True,
            fix=f"find who runs it, and let it do without; {again}",
            used=str(used[0]),
        )
    counted = {each.key: each.calls for each in reading.called}
    lost = any(counted.get(key, -1) < calls for key, calls in window.calls.items())
    if reading.reset != window.reset or (lost and reading.evicted == window.evicted):
        return _Verdict(f"{place}the statistics were reset {since}", broken=True, fix=again)
    if reading.evicted != window.evicted:
        return _Verdict(
            f"{place}the server had no room for all statements {since}: calls may have gone uncounted",
            broken=True,
            fix=f"raise pg_stat_statements.max; {again}",
        )
    if age < seconds:
        return _Verdict(
            f"{place}no use {since}, for {duration(age)} of {duration(seconds)}",
            fix=f"come back in {duration(seconds - age)}",
        )
    return _Verdict(f"{place}no use {since}", open=True)


# -- reading a server ---------------------------------------------------------------------------------------
def _read(connection: Connection, server: str, places: Sequence[Place], rules: Rules) -> Reading | None:
    """The statements that use one of `places`; None where the extension is not in this database."""
    # No lock, here and below but for catalogs.
    row = connection.execute(
        "SELECT n.nspname::text, clock_timestamp(), pg_has_role('pg_read_all_stats', 'USAGE'), e.extversion,"
        " current_setting('pg_stat_statements.track', true), current_setting('pg_stat_statements.track_utility', true)"
        " FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'"
    ).fetchone()
    if row is None:
        return None
    schema, at, may_read, version, track, utility = row
    assert isinstance(at, datetime)  # noqa: S101 - of a statement above
    if track is None:
        return Reading(
            server,
            at,
            trouble="pg_stat_statements is not loaded",
            fix="add it to shared_preload_libraries and restart the server",
        )
    if track == "none" or utility == "off":
        setting = "track" if track == "none" else "track_utility"
        return Reading(
            server,
            at,
            trouble=f"pg_stat_statements.{setting} is {track if setting == 'track' else utility}: not all calls count",
            fix=f"ALTER SYSTEM SET pg_stat_statements.{setting} = {'top' if setting == 'track' else 'on'}; "
            "SELECT pg_reload_conf()",
        )
    if not may_read:
        return Reading(
            server,
            at,
            trouble="what other roles run may not be read",
            fix=f'GRANT pg_read_all_stats TO "{connection.info.user}"',
        )
    if [int(part) for part in re.findall(r"\d+", str(version))] < [1, 9]:
        return Reading(
            server,
            at,
            trouble=f"pg_stat_statements is of version {version}, which does not tell when it was reset",
            fix="ALTER EXTENSION pg_stat_statements UPDATE",
        )
    info = connection.execute(
        sql.SQL("SELECT stats_reset, dealloc FROM {}").format(
            identifier(str(schema), "pg_stat_statements_info")
        ),
        (),
    ).fetchone()
    reset, evicted = info if info is not None else (None, 0)
    return Reading(
        server,
        at,
        reset if isinstance(reset, datetime) else None,
        int(str(evicted)),
        tuple(_called(connection, str(schema), places)),
        nested=track == "all",
        origin=_origin(connection),
        standbys=tuple(_standbys(connection, rules)),
    )


def _origin(connection: Connection) -> Origin:
    recovery, started, may_ask = _one(
        connection,
        "SELECT pg_is_in_recovery(), pg_postmaster_start_time(),"
        " has_function_privilege('pg_control_system()', 'EXECUTE')",
    )
    assert isinstance(started, datetime)  # noqa: S101 - of the statement above
    system = _one(connection, "SELECT system_identifier FROM pg_control_system()")[0] if may_ask else None
    return Origin(None if system is None else int(str(system)), started, recovery is True)


def _standbys(connection: Connection, rules: Rules) -> Iterator[str]:
    """Those that follow this server, and those that have left a slot here."""
    # No lock. A walsender with a logical slot serves no reader.
    rows = connection.execute(
        "SELECT coalesce(nullif(r.application_name, ''), host(r.client_addr), 'of unknown name')::text AS name,"
        " s.slot_name::text FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid"
        " WHERE coalesce(s.slot_type, 'physical') = 'physical' AND r.application_name <> 'pg_basebackup'"
        " UNION ALL SELECT slot_name::text, slot_name::text FROM pg_replication_slots"
        " WHERE slot_type = 'physical' AND NOT active AND restart_lsn IS NOT NULL ORDER BY name"
    ).fetchall()
    for name, slot in rows:
        if not {name, slot} & {*rules.standbys_without_reads}:
            yield str(name)


def _one(connection: Connection, question: LiteralString) -> tuple[object, ...]:
    row = connection.execute(question).fetchone()
    assert row is not None  # noqa: S101 - each of these answers with one row
    return row


@dataclass(frozen=True, slots=True)
class _Row:
    role: int
    query_id: int | None
    top: bool
    calls: int
    query: str


def _called(connection: Connection, schema: str, places: Sequence[Place]) -> Iterator[Called]:
    # A quick look for the table's name; the parser tells the rest.
    # The server folds both in collation C: Python, or a language's own rules, would fold other letters than the
    # server folds of names. A name may be hidden in U&"…".
    patterns = [_quoted(table) for table, _ in places]
    query = sql.SQL(
        "SELECT userid::bigint AS role, queryid AS query_id, toplevel AS top, calls,"
        " coalesce(query, %(hidden)s) AS query FROM {}"
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (coalesce(query, %(hidden)s) = %(hidden)s OR EXISTS (SELECT FROM unnest(%(patterns)s::text[]) AS p"
        ' WHERE strpos(lower(query COLLATE "C"), lower(p COLLATE "C")) > 0)'
        ' OR strpos(lower(query COLLATE "C"), \'u&"\') > 0)'
    ).format(identifier(schema, "pg_stat_statements"))
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        rows = cursor.execute(query, {"hidden": _HIDDEN, "patterns": patterns}).fetchall()
    for row in rows:
        why = None if OWN in row.query or MARKER in row.query else _why(row.query, places)
        if why is not None:
            yield Called((row.role, row.query_id or 0, row.top), row.calls, row.query, why)


def _quoted(table: QualifiedName) -> str:
    return table.name.replace('"', '""')


def _why(text: str, places: Sequence[Place]) -> str | None:
    if text == _HIDDEN:
        return "its text may not be read"
    for table, column in places:
        use = table_use(text, table)
        if use is not None and (why := use.of(column)) is not None:
            return why
    return None


def of_children(connection: Connection, places: Sequence[Place]) -> list[Place]:
    """The same columns of partitions, and of what else inherits the tables: they go with those."""
    # No lock but on catalogs.
    query = (
        "WITH RECURSIVE child AS (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(%s)"
        " UNION SELECT i.inhrelid FROM pg_inherits i JOIN child c ON i.inhparent = c.inhrelid)"
        " SELECT c.relname::text, n.nspname::text FROM child JOIN pg_class c ON c.oid = inhrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
    )
    return [
        (QualifiedName(str(name), str(schema)), column)
        for table, column in places
        for name, schema in connection.execute(query, (table.full,)).fetchall()
    ]


def _in_functions(connection: Connection, primary: Reading, places: Sequence[Place]) -> Iterator[Reading]:
    """A function whose text names the place, where what functions run is not counted."""
    if primary.trouble or primary.nested:
        return
    # No lock but on catalogs.
    rows = connection.execute(
        "SELECT p.oid::regprocedure::text, l.lanname::text, p.prosrc FROM pg_proc p"
        " JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE l.lanname NOT IN ('internal', 'c')"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'evolve', 'evolve_client')"
        " AND EXISTS (SELECT FROM unnest(%s::text[]) AS t"
        ' WHERE strpos(lower(p.prosrc COLLATE "C"), lower(t COLLATE "C")) > 0) ORDER BY 1',
        ([_quoted(table) for table, _ in places],),
    ).fetchall()
    for name, language, text in rows:
        if any(_names(str(text), str(language), place) for place in places):
            yield Reading(
                f"function {name}",
                primary.at,
                trouble="it names what goes, and what is called inside of functions is not counted",
                fix="let it do without; or have that counted too: ALTER SYSTEM SET pg_stat_statements.track = 'all'; "
                "SELECT pg_reload_conf()",
            )


def _names(text: str, language: str, place: Place) -> bool:
    table, column = place
    if language == "sql":
        return _why(text, [place]) is not None
    return worded(text, table.name) and (column is None or worded(text, column) or "*" in text)


def _unread(read: Sequence[Reading], rules: Rules) -> Iterator[Reading]:
    """Standbys that may take reads, and that nobody has named: more follow these servers than were looked at."""
    names = [name for reading in read for name in reading.standbys]
    if len(names) > len(rules.replicas):
        yield Reading(
            f"standby {', '.join(names)}",
            read[0].at,
            trouble="it may take reads, and was not looked at"
            if len(names) == 1
            else f"they may take reads, and {len(rules.replicas) or 'none'} of them was looked at",
            fix="in [tool.evolve.gates], give the URL in replicas, or the name in standbys_without_reads; "
            "drop the slot of one that is gone",
        )


def _replicas(primary: Reading, places: Sequence[Place], rules: Rules) -> Iterator[Reading]:
    known = [primary.origin]
    for url in rules.replicas:
        reading = _replica(url, places, rules)
        if not reading.trouble and (strange := _strange(reading.origin, known)):
            reading = replace(reading, trouble=strange, fix="check replicas in [tool.evolve.gates]")
        known.append(reading.origin)
        yield reading


def _replica(url: str, places: Sequence[Place], rules: Rules) -> Reading:
    server = redact(url)
    try:
        with closing(connect(url, application_name="evolve evidence", autocommit=True)) as connection:
            reading = _read(connection, server, places, rules)
    except (EvolveError, psycopg.Error) as error:
        return Reading(
            server,
            datetime.now().astimezone(),
            trouble=f"it was not read: {str(error).splitlines()[0]}",
            fix="bring it back, or take it out of replicas in [tool.evolve.gates]",
        )
    return reading or Reading(  # it replays the primary, which has the extension
        server,
        datetime.now().astimezone(),
        trouble="it has no pg_stat_statements: is it a replica of this database?",
        fix="check replicas in [tool.evolve.gates]",
    )


def _strange(origin: Origin | None, known: Sequence[Origin | None]) -> str:
    """Why it is not one more standby of the primary, the first of `known`; empty where it is."""
    primary = known[0]
    if origin is None or primary is None:
        return ""
    if not origin.in_recovery:
        return "it is no standby"
    if None not in (origin.system, primary.system) and origin.system != primary.system:
        return "it is a standby of another server"
    return "it is named twice" if origin in known else ""


# -- storage ------------------------------------------------------------------------------------------------
def _windows(connection: Connection, change: str) -> dict[str, Window]:
    # ACCESS SHARE on our own tables and catalogs.
    there = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evolve' AND c.relname = 'statement_window'"
    ).fetchone()
    if there is None:
        return {}
    windows: dict[str, Window] = {}
    for server, since, reset, evicted in connection.execute(
        "SELECT server, since, reset, evicted FROM evolve.statement_window WHERE change = %s", (change,)
    ).fetchall():
        assert isinstance(since, datetime)  # noqa: S101 - NOT NULL
        moment = reset if isinstance(reset, datetime) else None
        windows[str(server)] = Window(str(server), since, moment, int(str(evicted)))
    for server, role, query_id, top, calls in connection.execute(
        "SELECT server, role, query_id, top, calls FROM evolve.statement_count WHERE change = %s", (change,)
    ).fetchall():
        key = (int(str(role)), int(str(query_id)), bool(top))
        windows[str(server)].calls[key] = int(str(calls))
    return windows


def _keep(connection: Connection, change: str, reading: Reading, used: str) -> None:
    """The window of one server begins with `reading`."""
    with connection.transaction():
        # ROW EXCLUSIVE on our own tables.
        connection.execute(
            "INSERT INTO evolve.statement_window (change, server, since, reset, evicted, used)"
            " VALUES (%(change)s, %(server)s, %(since)s, %(reset)s, %(evicted)s, %(used)s)"
            " ON CONFLICT (change, server) DO UPDATE SET since = excluded.since, reset = excluded.reset,"
            " evicted = excluded.evicted, used = excluded.used",
            {
                "change": change,
                "server": reading.server,
                "since": reading.at,
                "reset": reading.reset,
                "evicted": reading.evicted,
                "used": used,
            },
        )
        connection.execute(
            "DELETE FROM evolve.statement_count WHERE change = %s AND server = %s", (change, reading.server)
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO evolve.statement_count (change, server, role, query_id, top, calls)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (change, server, role, query_id, top)"
                " DO UPDATE SET calls = evolve.statement_count.calls + excluded.calls",
                [(change, reading.server, *each.key, each.calls) for each in reading.called],
            )
