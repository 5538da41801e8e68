"""Whether anybody uses what is to be taken away: the calls that pg_stat_statements counts, over a window of time.

A window begins with the counts of the statements that use the place. When it is over and none of them was called, nor
another came, nobody uses it. Whatever could hide a call closes the gate: counts that were reset or evicted, texts that
may not be read, a server that takes reads and was not asked.

Connections must be in autocommit mode. Looking takes no lock on any table of the application.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

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
from evolve.sql.column_use import table_use

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
        words = " ".join(self.text.split())
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
    """

    server: str
    at: datetime
    reset: datetime | None = None
    evicted: int = 0
    called: tuple[Called, ...] = ()
    trouble: str = ""
    fix: str = ""


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
    verdicts = [verdict for _, verdict in _verdicts(connection, change, gate, rules)]
    if not verdicts:
        if rules.statements == "required":
            return Observation(
                gate,
                False,
                "pg_stat_statements is not in this database",
                "preload it and CREATE EXTENSION pg_stat_statements; or allow that nobody looks: "
                'statements = "where-there" in [tool.evolve.gates]',
            )
        return Observation(gate, True, "pg_stat_statements is not in this database: nobody has looked")
    shut = next((verdict for verdict in verdicts if not verdict.open), None)
    if shut is not None:
        return Observation(gate, False, shut.observed, shut.fix)
    return Observation(gate, True, "; ".join(verdict.observed for verdict in verdicts))


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
    reading = _read(connection, PRIMARY, gate.places)
    if reading is None:
        return []
    windows = _windows(connection, change)
    found = [reading, *_unread(connection, rules), *_replicas(gate.places, rules)]
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
    hidden = next((key for key, calls in window.calls.items() if counted.get(key, -1) < calls), None)
    if reading.reset != window.reset or hidden is not None:
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
def _read(connection: Connection, server: str, places: Sequence[Place]) -> Reading | None:
    """The statements that use one of `places`; None where the extension is not in this database."""
    # No lock, here and below but for catalogs.
    row = connection.execute(
        "SELECT n.nspname::text, clock_timestamp(), pg_has_role('pg_read_all_stats', 'USAGE'),"
        " current_setting('pg_stat_statements.track', true), current_setting('pg_stat_statements.track_utility', true)"
        " FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'"
    ).fetchone()
    if row is None:
        return None
    schema, at, may_read, track, utility = row
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
    )


@dataclass(frozen=True, slots=True)
class _Row:
    role: int
    query_id: int | None
    top: bool
    calls: int
    query: str


def _called(connection: Connection, schema: str, places: Sequence[Place]) -> Iterator[Called]:
    # A quick look for the table's name; the parser tells the rest.
    patterns = [table.name.lower().replace('"', '""') for table, _ in places]
    query = sql.SQL(
        "SELECT userid::bigint AS role, queryid AS query_id, toplevel AS top, calls,"
        " coalesce(query, %(hidden)s) AS query FROM {}"
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (coalesce(query, %(hidden)s) = %(hidden)s OR EXISTS (SELECT FROM unnest(%(patterns)s::text[]) AS p"
        " WHERE strpos(lower(query), p) > 0))"
    ).format(identifier(schema, "pg_stat_statements"))
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        rows = cursor.execute(query, {"hidden": _HIDDEN, "patterns": patterns}).fetchall()
    for row in rows:
        why = None if OWN in row.query or MARKER in row.query else _why(row.query, places)
        if why is not None:
            yield Called((row.role, row.query_id or 0, row.top), row.calls, row.query, why)


def _why(text: str, places: Sequence[Place]) -> str | None:
    if text == _HIDDEN:
        return "its text may not be read"
    for table, column in places:
        use = table_use(text, table)
        if use is not None and (why := use.of(column)) is not None:
            return why
    return None


def _unread(connection: Connection, rules: Rules) -> Iterator[Reading]:
    """A standby that may take reads, and that nobody has named."""
    # No lock. A walsender with a logical slot serves no reader.
    rows = connection.execute(
        "SELECT coalesce(nullif(r.application_name, ''), host(r.client_addr), 'of unknown name')::text,"
        " clock_timestamp() FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid"
        " WHERE coalesce(s.slot_type, 'physical') = 'physical' AND r.application_name <> 'pg_basebackup' ORDER BY 1"
    ).fetchall()
    standing = [(str(name), at) for name, at in rows if str(name) not in rules.standbys_without_reads]
    if len(standing) > len(rules.replicas):
        name, at = standing[-1]
        assert isinstance(at, datetime)  # noqa: S101 - of the statement above
        yield Reading(
            f"standby {name}",
            at,
            trouble="it may take reads, and was not looked at",
            fix="in [tool.evolve.gates], give its URL in replicas, or its name in standbys_without_reads",
        )


def _replicas(places: Sequence[Place], rules: Rules) -> Iterator[Reading]:
    for url in rules.replicas:
        server = redact(url)
        try:
            with closing(connect(url, application_name="evolve evidence", autocommit=True)) as connection:
                reading = _read(connection, server, places)
        except (EvolveError, psycopg.Error) as error:
            reason = str(error).splitlines()[0]
            yield Reading(
                server,
                datetime.now().astimezone(),
                trouble=f"it was not read: {reason}",
                fix="bring it back, or take it out of replicas in [tool.evolve.gates]",
            )
            continue
        if reading is not None:
            yield reading
        else:  # it replays the primary, which has the extension
            yield Reading(
                server,
                datetime.now().astimezone(),
                trouble="it has no pg_stat_statements: is it a replica of this database?",
                fix="check replicas in [tool.evolve.gates]",
            )


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
