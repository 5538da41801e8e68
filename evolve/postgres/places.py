"""Which of the columns and relations that a change names are in the database."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.plan.change import Place
from evolve.postgres.connect import Connection


def absent(connection: Connection, places: Sequence[Place]) -> tuple[Place, ...]:
    """Those of `places` that are not there, in their order; a role that may not use them sees them all the same."""
    # ACCESS SHARE on catalogs only. A name is asked for without to_regclass(), which a schema may be hidden from.
    found = connection.execute(
        """
        SELECT p.n FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS p (schema, name, col, n)
          JOIN pg_catalog.pg_namespace AS s ON s.nspname = p.schema
          JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND c.relname = p.name
         WHERE p.col IS NULL OR EXISTS (
               SELECT FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attname = p.col AND a.attnum > 0 AND NOT a.attisdropped)
        """,
        (
            [table.schema for table, _ in places],
            [table.name for table, _ in places],
            [column for _, column in places],
        ),
    ).fetchall()
    there = {number for (number,) in found}
    return tuple(place for number, place in enumerate(places, 1) if number not in there)
