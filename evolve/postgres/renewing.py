"""Keeps a lease while something takes its time that needs no connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from evolve.backfill.ports import DatabaseFailure
from evolve.postgres.connect import Connection
from evolve.postgres.session import Session


@contextmanager
def renewing(session: Session, seconds: float, renew: Callable[[Connection], object]) -> Iterator[None]:
    """Call `renew` every third of a lease while the block runs, over the session, which the block leaves alone."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(seconds / 3):
            # Where the lease was lost, what needs it is refused.
            with suppress(DatabaseFailure), session.transaction() as connection:
                renew(connection)

    thread = threading.Thread(target=work, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
