"""A backfill against one bare UPDATE where memory is short, values are wide, an index is GIN, or autovacuum runs."""

from __future__ import annotations

import psycopg
import pytest
from support.backfill import Quiet, fill, spec
from support.backfill_bench import RANDOM, ROWS, bench, told

from evolve.app.backfill_work import Pace

pytestmark = pytest.mark.server

WIDE = min(ROWS, 200_000)  # rows of a table with values out of line, which take 4 kB each
TOASTED = (
    "ALTER TABLE accounts ADD document text STORAGE EXTERNAL",
    "UPDATE accounts SET document = repeat(md5(id::text), 128)",
)
GIN = (
    "ALTER TABLE accounts ADD tags jsonb",
    "UPDATE accounts SET tags = jsonb_build_array(id % 100, id % 1000, status)",
    "CREATE INDEX ON accounts USING gin (tags)",
)
AUTOVACUUM = {
    "autovacuum": "on",
    "autovacuum_naptime": "1s",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_vacuum_scale_factor": "0.05",
}


@pytest.mark.parametrize(
    ("kind", "settings", "also", "rows"),
    [
        ("little memory", {"shared_buffers": "16MB", "max_wal_size": "1GB"}, (), ROWS),
        ("wide values", {}, TOASTED, WIDE),
        ("gin index", {}, GIN, ROWS),
        ("autovacuum", AUTOVACUUM, (), ROWS),
    ],
)
def test_other_tables(kind: str, settings: dict[str, str], also: tuple[str, ...], rows: int) -> None:
    def one_update(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE accounts SET email_norm = lower(email)")

    def backfill(url: str) -> None:
        wanted = spec("accounts", "email_norm", "lower(email)")
        assert fill(url, wanted, Quiet(), pace=Pace(), verify=False).rows == rows

    with bench(settings) as server:
        costs = server.costs(
            server.template(RANDOM, rows=rows, also=also), {"one UPDATE": one_update, "backfill": backfill}
        )
    told(f"backfill_{kind.replace(' ', '_')}", costs, "one UPDATE", rows)
