"""How many segments of WAL wait for the archiver."""

from __future__ import annotations

import re
from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye

# AccessShare on catalogs only; everybody may see it.
_ARCHIVER = sql.SQL("""
    SELECT current_setting('archive_mode') <> 'off', pg_walfile_name(pg_current_wal_lsn()),
           pg_size_bytes(current_setting('wal_segment_size'))::bigint, last_archived_wal, last_failed_wal,
           coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
      FROM pg_stat_archiver
""")
_SEGMENT = re.compile(r"[0-9A-F]{24}")


@dataclass(slots=True)
class Archiver:
    eye: Eye
    name: str = "archiver"
    unit: Unit = Unit.NUMBER

    def read(self) -> Reading:
        on, now, size, archived, failed, failing = self.eye.row(_ARCHIVER)
        if not on:
            return Reading(0.0)
        size = int(str(size))
        # A history or a backup file tells no position; the next segment will.
        done = _segment(archived, size)
        if done is None and failing:
            first = _segment(failed, size)
            done = None if first is None else first - 1
        current = _segment(now, size)
        waiting = 0 if done is None or current is None else max(0, current - done - 1)
        return Reading(
            float(waiting), "segments waiting" + (", the archive command fails" if failing else "")
        )


def _segment(name: object, size: int) -> int | None:
    """Its number, counted over all timelines; None where `name` is none."""
    found = _SEGMENT.match(str(name))
    if found is None:
        return None
    return int(found[0][8:16], 16) * (2**32 // size) + int(found[0][16:24], 16)
