"""The hash by which copies are compared tells any two values apart that are not the same bytes."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from evolve.postgres.row_hash import exact_hash

pytestmark = pytest.mark.server

# A column's type, and two values of it that its own equality, or its own hash, might take for one.
PAIRS = [
    ("numeric", "1.0", "1.00"),
    ("bigint", "-1", "4294967295"),
    ("bigint", "5", "21474836480"),
    ("double precision", "0", "-0"),
    ("jsonb", '{"a": 1.0}', '{"a": 1.00}'),
    ("json", '{"a": 1}', '{"a":1}'),
    ("interval", "1 month", "30 days"),
    ("point", "(1,2)", "(2,1)"),
    ("text", "a", "A"),
    ("character varying(9)", "a", "a "),
    ("bytea", "\\x00", "\\x0000"),
    ("timestamp with time zone", "2026-01-01 00:00:00+00", "2026-01-01 00:00:00.000001+00"),
    ("integer[]", "{1,2}", "{2,1}"),
    ("timestamp without time zone", "2000-01-01 00:00:00.000005", "2000-01-01 05:57:54.83648"),
    ("time without time zone", "00:00:00.000005", "05:57:54.83648"),
]


def test_values_that_differ_differ(database_url: str) -> None:
    alike = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for kind, one, other in PAIRS:
            hashed = exact_hash((("id", "bigint"), ("value", kind)))
            rows = connection.execute(
                sql.SQL(
                    "SELECT {} FROM (VALUES (1::bigint, {}::{kind}), (1, {}::{kind}), (1, {}::{kind})) AS t (id, value)"
                ).format(
                    hashed,
                    one,
                    one,
                    other,
                    kind=sql.SQL(kind),
                )
            ).fetchall()
            hashes = [row[0] for row in rows]
            alike += [kind] if hashes[0] != hashes[1] or hashes[0] == hashes[2] else []
    assert alike == []
