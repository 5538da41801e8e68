"""Arm tripwires on what a change takes away next, and take them away again."""

from __future__ import annotations

from evolve.app.backfill_work import actor as default_actor
from evolve.app.places_to_go import places_to_go
from evolve.errors import Refused
from evolve.plan.change import Place
from evolve.plan.wording import places_text
from evolve.postgres import evidence, tripwire
from evolve.postgres.tripwire import Armed
from evolve.postgres.writable import refuse_read_only
from evolve.revisions.project import Project


class NothingToArm(Refused):
    def __init__(self, places: tuple[Place, ...]) -> None:
        super().__init__(
            f"{places_text(places)} can have no tripwire",
            why="only tables have triggers that tell of every write",
            fix="evolve brown-out finds readers and writers of a view as well",
        )


def arm(project: Project, url: str, identifier: str, actor: str | None = None) -> list[Armed]:
    """Arm them; those that are armed begin anew, and forget who has met them.

    Raises:
        NoSuchChange, BadManifest, CannotConnect, StrangeRevisions; NothingToGo, NotApplied; NothingToArm; TableBusy.
    """
    with evidence.looking(url, "evolve tripwire") as connection:
        refuse_read_only(connection)
        places = places_to_go(project, connection, identifier)
        evidence.ensure_evidence(connection)
        found = tripwire.arm(connection, identifier, places, actor or default_actor())
    if not found:
        raise NothingToArm(places)
    return found


def disarm(url: str, identifier: str) -> bool:
    """Take those of a change away; False where there are none.

    Raises:
        CannotConnect; TableBusy.
    """
    with evidence.looking(url, "evolve tripwire") as connection:
        refuse_read_only(connection)
        return tripwire.disarm(connection, identifier)
