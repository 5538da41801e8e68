"""The casts that PostgreSQL applies on assignment, held against a server."""

from __future__ import annotations

from itertools import product

import pytest

from evolve.postgres.connect import connect
from evolve.sql.schema import Schema
from evolve.sql.type_casts import TYPES, assigned

ARRAYS = {f"{type_}[]" for type_ in ("integer", "bigint", "text", "date", "jsonb")}

TRY = """
DO $do$
DECLARE pair record;
BEGIN
    CREATE TEMPORARY TABLE answer (old text, new text, done boolean);
    FOR pair IN SELECT a AS old, b AS new FROM unnest(TYPES) a, unnest(TYPES) b LOOP
        EXECUTE format('CREATE TEMPORARY TABLE tried (c %s)', pair.old);
        BEGIN
            EXECUTE format('ALTER TABLE tried ALTER c TYPE %s', pair.new);
            INSERT INTO answer VALUES (pair.old, pair.new, true);
        EXCEPTION WHEN datatype_mismatch THEN
            INSERT INTO answer VALUES (pair.old, pair.new, false);
        END;
        DROP TABLE tried;
    END LOOP;
END $do$
"""


@pytest.mark.server
def test_casts_are_those_of_the_server(database_url: str) -> None:
    types = sorted(TYPES | ARRAYS)
    listed = "ARRAY[" + ", ".join(f"'{type_}'" for type_ in types) + "]"
    with connect(database_url, autocommit=True) as connection:
        connection.execute(TRY.replace("TYPES", listed).encode())
        rows = connection.execute("SELECT old, new, done FROM answer").fetchall()
    told = {(str(old), str(new)): bool(done) for old, new, done in rows}

    assert {pair: assigned(*pair, Schema()) for pair in product(types, types)} == told
