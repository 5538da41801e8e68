"""What the server's statistics say of where the keys of a table lie."""

from __future__ import annotations

from psycopg import sql

from evolve.backfill.histogram import Histogram, histogram
from evolve.backfill.keyset import NUMBERS, KeyColumn
from evolve.postgres.composing import type_name
from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName

COMMON = 0.01  # share of rows with values that are listed one by one, beside the bounds


def key_histogram(connection: Connection, table: QualifiedName, column: KeyColumn) -> Histogram | None:
    """Of the first column of a key; None where it has none, where it is no number, and for a partitioned table: each of
    its leaves begins again with a first key.
    """
    if column.type not in NUMBERS:
        return None
    # AccessShare on catalogs only.
    row = connection.execute(
        sql.SQL(
            "SELECT ARRAY(SELECT to_jsonb(bound) #>> '{{}}' FROM unnest(histogram_bounds::text::{}[]) AS bound)"
            " FROM pg_stats WHERE (schemaname, tablename, attname) = (%(schema)s, %(table)s, %(column)s)"
            " AND NOT inherited AND histogram_bounds IS NOT NULL"
            " AND coalesce((SELECT sum(share) FROM unnest(most_common_freqs) AS share), 0) < %(common)s"
        ).format(type_name(column.type)),
        {"schema": table.schema, "table": table.name, "column": column.name, "common": COMMON},
    ).fetchone()
    if row is None or not isinstance(row[0], list):
        return None
    return histogram(column, [str(bound) for bound in row[0]])
