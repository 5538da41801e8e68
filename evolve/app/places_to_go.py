"""What a change takes away next."""

from __future__ import annotations

from evolve.app.advance_change import stand
from evolve.app.project_changes import read_change
from evolve.errors import Misuse, Refused
from evolve.plan.change import Place
from evolve.plan.gates import Rules
from evolve.plan.manifest import Manifest
from evolve.plan.retired import retired
from evolve.plan.wording import places_text
from evolve.postgres.connect import Connection
from evolve.postgres.places import absent
from evolve.revisions.project import Project


class NothingToGo(Misuse):
    def __init__(self, manifest: Manifest) -> None:
        following = manifest.following
        super().__init__(
            f'change "{manifest.id}" takes nothing away next: it goes into {following.name}'
            if following is not None
            else f'change "{manifest.id}" is at its end',
            why="one looks for users of what the next phase takes away",
            fix=f"see where it is: evolve status {manifest.id}",
        )


class NotApplied(Refused):
    def __init__(self, manifest: Manifest, missing: tuple[str, ...]) -> None:
        super().__init__(
            f'this database lacks revision {", ".join(missing)} of change "{manifest.id}"',
            why="what the code could use instead is not there",
            fix="run: evolve upgrade",
        )


class GoneAlready(Refused):
    def __init__(self, manifest: Manifest, places: tuple[Place, ...]) -> None:
        super().__init__(
            f"{places_text(places)} is not in this database",
            why=f'somebody dropped or renamed it: change "{manifest.id}" takes it away only next',
            fix=f"see what else differs: evolve drift; then put it back, or go back: evolve undo {manifest.id}",
        )


def places_to_go(project: Project, connection: Connection, identifier: str) -> tuple[Place, ...]:
    """The columns and relations that the next phase takes away, where all before it is applied.

    Raises:
        NoSuchChange, BadManifest, StrangeRevisions; NothingToGo, NotApplied, GoneAlready.
    """
    changes, manifest = read_change(project, identifier)
    standing = stand(connection, changes, manifest, Rules(statements="off"))
    if standing.not_applied:
        raise NotApplied(manifest, standing.not_applied)
    places = retired(standing.following) if standing.following is not None else ()
    if not places:
        raise NothingToGo(manifest)
    gone = absent(connection, places)
    if gone:
        raise GoneAlready(manifest, gone)
    return places
