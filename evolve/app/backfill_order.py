"""Refuse a backfill while one that it comes after is not settled."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.backfill.dependencies import Unsettled, WaitsForOthers, refuse_circles, waits_for
from evolve.postgres import journal
from evolve.postgres.connect import Connection


def refuse_waiting(connection: Connection, name: str, after: Sequence[str]) -> None:
    """
    Raises:
        CircularOrder: `name` would wait for itself.
        WaitsForOthers: one of `after` is not settled.
    """
    if not after:
        return
    refuse_circles(name, after, journal.order(connection))
    waits = unsettled_of(connection, after)
    if waits:
        raise WaitsForOthers(name, waits)


def unsettled_of(connection: Connection, after: Sequence[str]) -> list[tuple[str, Unsettled]]:
    """Those of `after` that are not settled."""
    return waits_for(after, {other: journal.latest_run(connection, other) for other in after})
