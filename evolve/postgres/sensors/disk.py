"""How many bytes the tablespace of the table takes; how many are free on its disk no server tells."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.sensor import Reading, Unit
from evolve.postgres.sensors.eye import Eye

# AccessShare on catalogs; looks at each file of the tablespace.
_SIZE = sql.SQL("""
    SELECT s.spcname, pg_tablespace_size(s.oid)::float8
      FROM pg_class c JOIN pg_database d ON d.datname = current_database()
      JOIN pg_tablespace s ON s.oid = coalesce(nullif(c.reltablespace, 0), d.dattablespace)
     WHERE c.oid = %(table)s
""")


@dataclass(slots=True)
class Disk:
    eye: Eye
    table_oid: int
    name: str = "disk"
    unit: Unit = Unit.BYTES

    def read(self) -> Reading:
        tablespace, size = self.eye.row(_SIZE, {"table": self.table_oid})
        return Reading(float(str(size)), f'taken by tablespace "{tablespace}"')
