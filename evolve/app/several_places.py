"""Changes in phases are for one schema: a project whose env.py runs each revision in several places is refused."""

from __future__ import annotations

from evolve.errors import Misuse
from evolve.postgres.connect import Connection
from evolve.postgres.stamps import server_identity
from evolve.revisions.project import Project


class SeveralPlaces(Misuse):
    def __init__(self, project: Project, line: int, places: int) -> None:
        super().__init__(
            f"env.py runs each revision in {places} places (line {line} of {project.script_directory / 'env.py'})",
            why="a change in phases looks at one table, and keeps its evidence and its backfill for that: of the "
            "others nobody would know whether they may go on",
            fix="write such revisions by hand (evolve lint tells what is unsafe in them, evolve upgrade runs them for "
            "each tenant); or plan in a project of its own, whose env.py runs in one schema",
        )


def refuse_several_places(project: Project, url: str, connection: Connection) -> None:
    """Ask env.py, as `alembic current` does, where its text has a loop; nothing is run.

    Raises:
        SeveralPlaces; RevisionBroken: env.py raised.
    """
    line = project.environment.looped
    if line is None:
        return
    from evolve.revisions.run import (
        Limits,
        Runner,
        ServerIdentity,
        WrongDatabase,
    )  # Alembic takes a while to import

    expected = ServerIdentity(*server_identity(connection))
    try:
        places = len(Runner(project, url, Limits(500, 500), expected=expected).survey())
    except WrongDatabase:  # a plan may ask another database than env.py would change
        return
    if places > 1:
        raise SeveralPlaces(project, line, places)
