"""Fill an empty table with a year of events: `python -m events.seed --size demo`."""

from __future__ import annotations

import argparse
import os
import sys
import time

from sqlalchemy import Connection, text

from events.database import create_engine

SIZES = {"small": 10_000, "demo": 1_000_000, "large": 10_000_000}

# Everything but the clock comes from the row's own number, so that every run makes the same events.
EVENTS = text("""
    INSERT INTO events (id, occurred_at, device_id, kind, payload)
    SELECT n,
           now() - interval '365 days' * ((:events - n)::float8 / :events),
           1 + n * 2654435761 % 500,
           (ARRAY['temperature', 'humidity', 'door', 'battery'])[1 + n * 7919 / 11 % 4],
           jsonb_build_object('value', n * 104729 % 1000)
    FROM generate_series(1::bigint, :events) AS n
""")


def seed(connection: Connection, events: int) -> None:
    """Insert ids 1, 2, 3, …; the next id handed out follows them. Runs in the caller's transaction."""
    indexes = connection.exec_driver_sql("""
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
        FROM pg_index WHERE indrelid = 'events'::regclass AND NOT indisprimary
    """).all()
    # One build of each index at the end, in half the time of an entry for every row.
    for name, _ in indexes:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    connection.execute(EVENTS, {"events": events})
    for _, create in indexes:
        connection.exec_driver_sql(create)
    connection.exec_driver_sql(
        "SELECT setval(pg_get_serial_sequence('events', 'id'), (SELECT max(id) FROM events))"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m events.seed", description=__doc__)
    parser.add_argument("--database-url", default=os.environ.get("EVENTS_DATABASE_URL"))
    parser.add_argument("--size", choices=SIZES, default="demo")
    parser.add_argument("--events", type=int, help="instead of the size's")
    options = parser.parse_args()
    if not options.database_url:
        parser.error("give --database-url or set EVENTS_DATABASE_URL")
    events = SIZES[options.size] if options.events is None else options.events
    if events < 0:
        parser.error("--events cannot be negative")

    engine = create_engine(options.database_url, application_name="events-seed")
    started = time.monotonic()
    with engine.begin() as connection:
        if connection.exec_driver_sql("SELECT EXISTS (SELECT FROM events)").scalar_one():
            print("error: there are events already; seed an empty table", file=sys.stderr)
            return 1
        seed(connection, events)
    # Leaves nothing for autovacuum to do in the middle of a demonstration.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE) events")
    print(f"{events:,} events in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
