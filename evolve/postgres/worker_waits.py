"""What the sessions of a run's workers wait for on the server, and who keeps them waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evolve.backfill.explaining import Waits
from evolve.postgres.blockers import end_sessions
from evolve.postgres.connect import Connection


class WorkerWaits:
    """Counts over several looks.

    A worker whose role may not be seen is one of which nothing is known.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.looks = 0
        self._events: dict[int, Counter[str]] = {}
        self._blockers: dict[int, dict[int, str]] = {}

    def look(self, pids: Sequence[int]) -> None:
        """Once more, at the sessions with these numbers."""
        self.looks += 1
        # AccessShare on catalogs only; reads shared memory. Who waits for its client is between two statements.
        rows = self._connection.execute(
            "SELECT a.pid, CASE WHEN a.wait_event_type NOT IN ('Client', 'Activity')"
            " THEN a.wait_event_type || '/' || a.wait_event END, array_to_json(pg_blocking_pids(a.pid))::text"
            " FROM pg_stat_activity a WHERE a.pid = ANY(%s)",
            (list(pids),),
        ).fetchall()
        for pid, event, blocking in rows:
            counter = self._events.setdefault(int(str(pid)), Counter())
            if event is not None:
                counter[str(event)] += 1
            numbers = [int(each) for each in str(blocking).strip("[]").split(",") if each]
            if numbers:
                named = self._blockers.setdefault(int(str(pid)), {})
                # Nobody is on a list of those that may be ended.
                named.update({each.pid: str(each) for each in end_sessions(self._connection, numbers, ())})

    def found(self) -> tuple[Waits, ...]:
        return tuple(
            Waits(pid, tuple(counter.most_common()), tuple(self._blockers.get(pid, {}).values()))
            for pid, counter in sorted(self._events.items())
        )
