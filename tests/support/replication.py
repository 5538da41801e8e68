"""A publisher and a subscriber: two databases of one server, joined by logical replication."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from evolve.postgres import scratch

Connection = psycopg.Connection[tuple[object, ...]]
SETTINGS = {
    "wal_level": "logical",
    "wal_retrieve_retry_interval": "100ms",  # how long a subscriber waits after an error
    "max_logical_replication_workers": "8",
}
_SECONDS = 20.0


class Replicated:
    """
    Args:
        publisher, subscriber: in autocommit mode.
    """

    def __init__(self, publisher: Connection, subscriber: Connection, slot: str, log: Path) -> None:
        self.publisher = publisher
        self.subscriber = subscriber
        self._slot = slot
        self._log = log
        self._read = len(log.read_bytes())

    def arrives(self) -> bool:
        """Wait until the subscriber has all that was committed; False where it stops with an error meanwhile."""
        ((end,),) = self.publisher.execute("SELECT pg_current_wal_insert_lsn()::text").fetchall()
        until = time.monotonic() + _SECONDS
        self.errors()
        while time.monotonic() < until:
            ((there,),) = self.publisher.execute(
                "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
                (end, self._slot),
            ).fetchall()
            if there:
                return True
            if self._new_errors():
                return False
            time.sleep(0.05)
        raise AssertionError("the subscriber neither stopped nor came to the end")

    def errors(self) -> list[str]:
        """What the server has complained of since it was asked last."""
        found = self._new_errors()
        self._read = len(self._log.read_bytes())
        return found

    def _new_errors(self) -> list[str]:
        text = self._log.read_bytes()[self._read :].decode(errors="replace")
        return [line.partition("ERROR:")[2].strip() for line in text.splitlines() if "ERROR:" in line]


@contextmanager
def replicated(server: scratch.Server, schema: str, publication: str) -> Iterator[Replicated]:
    """Both have `schema`; the rows of the publisher have arrived.

    Args:
        server: started with `SETTINGS`.
        publication: what CREATE PUBLICATION says behind the name.
    """
    with server.database() as of_publisher, server.database() as of_subscriber:
        slot = f"slot_{scratch.database_name(of_subscriber)}"
        with (
            psycopg.connect(of_publisher, autocommit=True) as publisher,
            psycopg.connect(of_subscriber, autocommit=True) as subscriber,
        ):
            for connection in (publisher, subscriber):
                connection.execute(schema.encode())
            publisher.execute(f"CREATE PUBLICATION p {publication}".encode())
            # Made beforehand: CREATE SUBSCRIPTION would wait for a slot on its own server for ever.
            publisher.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
            subscriber.execute(
                f"CREATE SUBSCRIPTION s CONNECTION '{of_publisher}' PUBLICATION p"
                f" WITH (create_slot = false, slot_name = '{slot}', copy_data = false)".encode()
            )
            ((data,),) = publisher.execute("SHOW data_directory").fetchall()
            try:
                yield Replicated(publisher, subscriber, slot, Path(str(data)).parent / "log")
            finally:
                subscriber.execute("ALTER SUBSCRIPTION s DISABLE")
                subscriber.execute("ALTER SUBSCRIPTION s SET (slot_name = NONE)")
                subscriber.execute("DROP SUBSCRIPTION s")
                _drop_slot(publisher, slot)


def _drop_slot(publisher: Connection, slot: str) -> None:
    until = time.monotonic() + _SECONDS
    while True:
        try:
            publisher.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
