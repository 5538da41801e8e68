"""What a change of type costs, for each pair of common types, against the server."""

from __future__ import annotations

import psycopg

from evolve.postgres.connect import connect
from evolve.postgres.measure import measure
from evolve.sql.type_changes import Cost, type_change

# A type, and a value of it.
VALUES = {
    "smallint": "1",
    "integer": "1",
    "bigint": "1",
    "numeric": "1.5",
    "numeric(10,2)": "1.5",
    "numeric(12,2)": "1.5",
    "numeric(12,4)": "1.5",
    "real": "1",
    "double precision": "1",
    "text": "'1'",
    "character varying": "'1'",
    "character varying(50)": "'1'",
    "character varying(100)": "'1'",
    "character(5)": "'1'",
    "character(9)": "'1'",
    "bpchar": "'1'",
    "timestamp without time zone": "now()",
    "timestamp(3) without time zone": "now()",
    "timestamp with time zone": "now()",
    "timestamp(3) with time zone": "now()",
    "date": "now()",
    "time without time zone": "now()",
    "time(2) without time zone": "now()",
    "interval": "'1 day'",
    "interval(3)": "'1 day'",
    "interval day to second": "'1 day'",
    "bit(3)": "B'101'",
    "bit(5)": "B'10101'",
    "bit varying": "B'101'",
    "bit varying(8)": "B'101'",
    "bit varying(16)": "B'101'",
    "json": "'1'",
    "jsonb": "'1'",
    "uuid": "gen_random_uuid()",
    "xml": "'<a/>'",
    "inet": "'1.1.1.1'",
    "cidr": "'1.1.1.1'",
    "oid": "1",
    "regclass": "'pg_class'",
    "integer[]": "'{1}'",
    "text[]": "'{1}'",
    "character varying[]": "'{1}'",
    "character varying(50)[]": "'{1}'",
    "character varying(100)[]": "'{1}'",
    "boolean": "true",
    "citext": "'1'",
}
WITHOUT_INDEX = ("json", "xml")


def test_each_pair_of_types_costs_what_is_predicted(database_url: str) -> None:
    differing, measured = [], 0
    with connect(database_url, autocommit=True) as connection:
        # Not UTC, so that a change between the two timestamps shows its worst.
        connection.execute("SET timezone = 'Europe/Oslo'")
        values = dict(VALUES)
        for name, needed in (("citext", "CREATE EXTENSION citext"), ("xml", "SELECT '<a/>'::xml")):
            try:
                connection.execute(needed.encode())
            except psycopg.Error:  # an embedded server has no contrib modules and no libxml
                del values[name]
        for number, (old, value) in enumerate(values.items()):
            table = f"t{number}"
            connection.execute(
                f"CREATE TABLE {table} (c {old}); INSERT INTO {table} VALUES ({value})".encode()
            )
            if old not in WITHOUT_INDEX:
                connection.execute(f"CREATE INDEX ON {table} (c)".encode())
            for new in values:
                seen = measure(connection, f"ALTER TABLE {table} ALTER c TYPE {new} USING c::{new}")
                if seen.error is not None:
                    continue
                measured += 1
                predicted = type_change(old, new)
                rewrites = predicted.cost is not Cost.NOTHING
                rebuilds = not rewrites and predicted.rebuilds_indexes and old not in WITHOUT_INDEX
                if (rewrites, rebuilds) != (bool(seen.rewritten), not seen.rewritten and bool(seen.rebuilt)):
                    differing.append((old, new, predicted, seen))
    assert differing == []
    assert measured > 600
