"""A primary that dies under a backfill, and a standby that takes its place, each of which the URL names."""

from __future__ import annotations

import os
import signal
import threading

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec
from support.standby import Streaming, streaming

from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode

pytestmark = pytest.mark.server


def kill(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    os.kill(int(str(row[0]).split()[0]), signal.SIGKILL)


def promote(pair: Streaming, seen: threading.Event) -> None:
    """Not before the run has come to the standby."""
    seen.wait(60)
    with psycopg.connect(pair.standby, autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")


def test_it_waits_at_the_standby_and_goes_on_once_that_is_promoted() -> None:
    """Commits that were not replicated are lost together with their cursor, so they are made again."""
    with streaming({}) as pair:
        numbers(pair.primary, 3000)
        pair.caught_up()
        first, second = (url.partition("@")[2].partition("/")[0] for url in (pair.primary, pair.standby))
        both = pair.primary.replace(first, f"{first},{second}")
        seen = threading.Event()
        promoting = threading.Thread(target=promote, args=(pair, seen))

        class Failing(Quiet):
            def say(self, message: str) -> None:
                super().say(message)
                if "this server is a standby now" in message:
                    seen.set()

        def between(batches: int) -> None:
            if batches == 2:
                pair.caught_up()  # the run itself is not lost, and some of its batches may be
            elif batches == 5:
                kill(pair.primary)

        quiet = Failing(between=between)
        promoting.start()
        try:
            outcome = fill(both, spec("numbers", "n", "n + 1"), quiet, undo_journal_mode=JournalMode.ON)
            assert seen.is_set()
        finally:
            seen.set()
            promoting.join()
        assert (outcome.state, outcome.rows) == (State.DONE, 3000)
        assert by_value(pair.standby) == {1: 3000}
