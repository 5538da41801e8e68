"""The way back from every phase of a change, by what the catalog says."""

from __future__ import annotations

from evolve.plan.change import Change
from evolve.plan.model import PhaseName
from evolve.postgres.catalog import read_schema
from support.changes import Carried, Connection


def phases(connection: Connection, change: Change) -> tuple[PhaseName, ...]:
    return tuple(phase.name for phase in Carried(connection, change).plan.phases)


def restores(connection: Connection, change: Change) -> bool:
    """From every phase forward, backward, and forward once more: the schema is what it was at each point."""
    carried = Carried(connection, change)
    names = [phase.name for phase in carried.plan.phases]
    for end in range(len(names)):
        seen = [read_schema(connection)]
        for name in names[: end + 1]:
            carried.up(name)
            seen.append(read_schema(connection))
        # One part back and forth again, as `downgrade -1; upgrade` would.
        for part in carried.parts(names[end])[-1:]:
            carried.down((part,))
            carried.again(part)
        if read_schema(connection) != seen[-1]:
            return False
        for name in reversed(names[: end + 1]):
            seen.pop()
            carried.down(carried.parts(name))
        if read_schema(connection) != seen[-1]:
            return False
    return True
