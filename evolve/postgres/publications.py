"""Publications of all tables: those that evolve makes for itself go out with the others."""

from __future__ import annotations

from evolve.postgres.connect import Connection


def of_all_tables(connection: Connection) -> tuple[str, ...]:
    """Their names."""
    # ACCESS SHARE on a catalog only.
    rows = connection.execute(
        "SELECT pubname::text FROM pg_publication WHERE puballtables ORDER BY 1"
    ).fetchall()
    return tuple(str(name) for (name,) in rows)
