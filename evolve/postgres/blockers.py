"""Who stands in the way: the sessions that keep ours waiting for a lock, told in words."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType

import psycopg

from evolve.postgres.connect import connect


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that holds, or queues before us for, a lock that we wait for."""

    pid: int
    user: str
    application: str
    state: str
    age: timedelta  # of its transaction; of its query where it has none
    query: str  # first line, at most 80 characters
    kind: str  # "client backend", "autovacuum worker", …

    def __str__(self) -> str:
        who = self.application or self.kind
        doing = f", {self.state} for {self.age.total_seconds():.0f} s" if self.state else ""
        return f'pid {self.pid} ({self.user or "no user"}, "{who}"{doing}): {self.query or "no query"}'


# ACCESS SHARE on catalogs only; reads shared memory, so it answers while our own session waits.
_BLOCKERS = """
SELECT DISTINCT b.pid, coalesce(b.usename, ''), coalesce(b.application_name, ''), coalesce(b.state, ''),
       coalesce(clock_timestamp() - coalesce(b.xact_start, b.query_start), interval '0'),
       left(split_part(ltrim(coalesce(b.query, '')), E'\\n', 1), 80), coalesce(b.backend_type, '')
  FROM unnest(%s::int[]) AS ours(pid)
 CROSS JOIN LATERAL unnest(pg_blocking_pids(ours.pid)) AS blocking(pid)
  JOIN pg_stat_activity AS b ON b.pid = blocking.pid
 WHERE b.pid <> ALL (%s::int[])
"""


class BlockerWatch:
    """Looks, from its own connection and thread, at who blocks our sessions; remembers whom it saw.

    `with` starts and stops it. A watch that cannot connect or loses its connection goes quiet: it must never be the
    reason why an upgrade fails.
    """

    def __init__(self, url: str, interval: float = 0.1) -> None:
        self._url = url
        self._interval = interval
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

    def _look(self) -> None:
        try:
            with connect(self._url, application_name="evolve blocker watch", autocommit=True) as connection:
                while not self._stop.wait(self._interval):
                    with self._guard:
                        pids = list(self._pids)
                    if pids:
                        self._note(connection.execute(_BLOCKERS, (pids, pids)).fetchall())
        except (psycopg.Error, OSError):
            return

    def _note(self, rows: list[tuple[object, ...]]) -> None:
        found = [_blocker(row) for row in rows]
        with self._guard:
            self._seen.update({blocker.pid: blocker for blocker in found})


def _blocker(row: tuple[object, ...]) -> Blocker:
    pid, user, application, state, age, query, kind = row
    if not isinstance(pid, int) or not isinstance(age, timedelta):
        raise TypeError(row)
    return Blocker(pid, str(user), str(application), str(state), age, str(query), str(kind))
