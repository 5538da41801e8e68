"""Who stands in the way: sessions that keep ours waiting for a lock, told in words, and ended where that is allowed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import TracebackType

import psycopg
from psycopg import sql

from evolve.postgres.allow_list import Allowance
from evolve.postgres.connect import Connection, connect
from evolve.redaction import shown


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that holds, or queues before us for, a lock that we wait for.

    Args:
        age: of its transaction; of its query where it has none.
        query: first line, at most 80 characters.
        kind: "client backend", "autovacuum worker", …
        ended: it was on the allow-list, and was told to end.
        spared: why it was not, though it was on the list.
    """

    pid: int
    user: str
    application: str
    state: str
    age: timedelta
    query: str
    kind: str
    ended: bool = False
    spared: str = ""

    def __str__(self) -> str:
        who = self.application or self.kind
        doing = f", {self.state} for {self.age.total_seconds():.0f} s" if self.state else ""
        text = f'pid {self.pid} ({self.user or "no user"}, "{who}"{doing}): {self.query or "no query"}'
        return f"{text} [not ended: {self.spared}]" if self.spared else text


# ACCESS SHARE on catalogs only; reads shared memory, so it answers while our own session waits.
_WAITED_FOR = """
SELECT DISTINCT blocking.pid
  FROM unnest(%(ours)s::int[]) AS ours(pid)
 CROSS JOIN LATERAL unnest(pg_blocking_pids(ours.pid)) AS blocking(pid)
 WHERE blocking.pid <> ALL (%(ours)s::int[])
"""
# ACCESS SHARE on catalogs only. A role that may not see other sessions sees neither their state nor their kind, and
# cannot know whom it would end.
_SESSIONS = """
SELECT b.pid, coalesce(b.usename, '') AS usename, coalesce(b.application_name, '') AS application,
       coalesce(b.state, '') AS state,
       coalesce(clock_timestamp() - coalesce(b.xact_start, b.query_start), interval '0') AS age,
       left(split_part(ltrim(coalesce(b.query, '')), E'\\n', 1), 80) AS query, coalesce(b.backend_type, '') AS kind,
       clock_timestamp() - b.xact_start AS transaction_age,
       CASE WHEN b.backend_type IS NULL
                 THEN 'role "' || current_user || '" may not see what it does; GRANT pg_read_all_stats'
            WHEN b.backend_type <> 'client backend' THEN 'it is no client but a ' || b.backend_type
            WHEN b.application_name ~ '^evolve( |$)' THEN 'it is evolve''s own'
            WHEN r.rolsuper THEN 'it is a superuser''s'
            WHEN r.rolreplication THEN 'its role is one for replication'
            WHEN NOT (pg_has_role(b.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
                 THEN 'role "' || current_user || '" may not end sessions of others; GRANT pg_signal_backend'
            ELSE '' END AS spared
  FROM pg_stat_activity AS b LEFT JOIN pg_roles AS r ON r.oid = b.usesysid
"""
# In one statement with the look at who it is: a session must not be another one by the time it is ended.
_LOOK_AND_END = """
SELECT pid, usename, application, state, age, query, kind,
       CASE WHEN allowed AND spared = '' THEN pg_terminate_backend(pid) ELSE false END,
       CASE WHEN allowed THEN spared ELSE '' END
  FROM (SELECT s.*, EXISTS (
                 SELECT FROM unnest(%(applications)s::text[], %(users)s::text[], %(ages)s::interval[], %(idle)s::bool[])
                             AS a(application, usename, age, idle)
                  WHERE s.application ~ a.application AND s.usename ~ a.usename
                    AND (s.kind = '' OR coalesce(s.transaction_age, interval '0') >= a.age
                                        AND (NOT a.idle OR starts_with(s.state, 'idle in transaction')))) AS allowed
          FROM ({sessions}) AS s
         WHERE pid IN ({who})
        OFFSET 0) AS s
"""
_BLOCKERS = sql.SQL(_LOOK_AND_END).format(sessions=sql.SQL(_SESSIONS), who=sql.SQL(_WAITED_FOR))
_THESE = sql.SQL(_LOOK_AND_END).format(
    sessions=sql.SQL(_SESSIONS), who=sql.SQL("SELECT unnest(%(pids)s::int[])")
)


def end_sessions(
    connection: Connection, pids: Sequence[int], allowances: Sequence[Allowance]
) -> list[Blocker]:
    """Look at `pids`, and end those that are allowed and may be; all that are there are returned."""
    rows = connection.execute(_THESE, {"pids": list(pids), **_parameters(allowances)}).fetchall()
    return [_blocker(row) for row in rows]


def _parameters(allowances: Sequence[Allowance]) -> dict[str, object]:
    return {
        "applications": [each.application_regex for each in allowances],
        "users": [each.user_regex for each in allowances],
        "ages": [timedelta(seconds=each.older_than) for each in allowances],
        "idle": [each.state == "idle-in-transaction" for each in allowances],
    }


class BlockerWatch:
    """Looks, from its own connection and thread, at who blocks our sessions; remembers whom it saw.

    `with` starts and stops it. A watch that cannot connect or loses its connection goes quiet: it must never be the
    reason why an upgrade fails.

    Args:
        interval: seconds between two looks.
        allowances: sessions that it ends at once when they block us.
    """

    def __init__(self, url: str, interval: float = 0.1, allowances: Sequence[Allowance] = ()) -> None:
        self._url = url
        self._interval = interval
        self._parameters = _parameters(allowances)
        self._pids: set[int] = set()
        self._seen: dict[int, Blocker] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="evolve-blockers", daemon=True)

    def __enter__(self) -> BlockerWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def add(self, pid: int) -> None:
        """Count the backend `pid` as one of ours."""
        with self._guard:
            self._pids.add(pid)

    def take(self) -> list[Blocker]:
        """Whom it saw since the last call, oldest transaction first."""
        with self._guard:
            seen, self._seen = self._seen, {}
        return sorted(seen.values(), key=lambda blocker: blocker.age, reverse=True)

    def ours(self) -> list[int]:
        with self._guard:
            return sorted(self._pids)

    def _look(self) -> None:
        try:
            with connect(self._url, application_name="evolve blocker watch", autocommit=True) as connection:
                while not self._stop.wait(self._interval):
                    pids = self.ours()
                    if pids:
                        rows = connection.execute(_BLOCKERS, {"ours": pids, **self._parameters}).fetchall()
                        self._note([_blocker(row) for row in rows])
        except (psycopg.Error, OSError):
            return

    def _note(self, found: list[Blocker]) -> None:
        with self._guard:
            for blocker in found:
                before = self._seen.get(blocker.pid)
                ended = blocker.ended or (before is not None and before.ended)
                self._seen[blocker.pid] = replace(blocker, ended=ended)


def _blocker(row: tuple[object, ...]) -> Blocker:
    pid, user, application, state, age, query, kind, ended, spared = row
    if not isinstance(pid, int) or not isinstance(age, timedelta):
        raise TypeError(row)
    return Blocker(
        pid,
        str(user),
        str(application),
        str(state),
        age,
        shown(str(query)),
        str(kind),
        ended is True,
        str(spared),
    )
