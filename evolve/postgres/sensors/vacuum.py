"""How many dead rows the table has for each live one, and whether it is vacuumed just now."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Degree, Reading, Unit
from evolve.postgres.sensors.eye import Blind, Eye

_SMALL = 10_000  # rows; fewer are not worth a wait
# AccessShare on catalogs; everybody may see it. A partitioned table has its rows in its leaves.
_DEAD = sql.SQL("""
    WITH tables AS (SELECT relid::oid FROM pg_partition_tree(%(table)s::oid::regclass)
                    UNION SELECT %(table)s::oid)
    SELECT coalesce(sum(s.n_dead_tup), 0)::float8, coalesce(sum(s.n_live_tup), 0)::float8,
           EXISTS (SELECT FROM pg_stat_progress_vacuum v JOIN tables USING (relid)),
           current_setting('autovacuum')::boolean AND NOT EXISTS (
               SELECT FROM pg_class c JOIN tables t ON t.relid = c.oid, pg_options_to_table(c.reloptions) o
                WHERE o.option_name = 'autovacuum_enabled' AND lower(o.option_value) IN ('false', 'off', '0', 'no'))
      FROM tables JOIN pg_stat_all_tables s USING (relid)
""")


@dataclass(slots=True)
class Vacuum:
    eye: Eye
    table_oid: int
    name: str = "dead rows"
    unit: Unit = Unit.SHARE

    def read(self) -> Reading:
        dead, live, running, automatic = self.eye.row(_DEAD, {"table": self.table_oid})
        if not automatic and not running:
            raise Blind("autovacuum is off, so that waiting would not take dead rows away")
        share = float(str(dead)) / max(float(str(live)), _SMALL)
        if running:
            return Reading(share, "of the live ones, and the table is being vacuumed", Degree.SOFT)
        return Reading(share, "of the live ones")
