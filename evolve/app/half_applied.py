"""Takes back what an upgrade did of a revision before it was cut short, since Alembic reverts whole revisions; finds
what a downgrade has left half-done, before an upgrade passes over it.

Only what commits by itself can be left, and of that only indexes stand in the way of going back: one that was built,
and one that was dropped. What else a plan sends outside of transactions is undone by the revisions before (VALIDATE),
or by nobody (ADD VALUE).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence

from evolve.app.upgrade_ledger import StillAtWork
from evolve.errors import EvolveError, Refused
from evolve.plan import index_build
from evolve.plan.manifest import load_all
from evolve.plan.model import Part
from evolve.postgres.connect import Connection
from evolve.postgres.half_applied import half_reverted, left_half_done, settle, state_of_index, undo
from evolve.postgres.stamps import stamp
from evolve.revisions.project import Project
from evolve.sql.names import QualifiedName
from evolve.sql.operations import CreateIndex, DropIndex
from evolve.sql.parse import parse
from evolve.sql.statements import Statement

_PAUSE = 0.2  # seconds between two looks at a session


class CutShortDowngrade(Refused):
    def __init__(self, revision: str, done: Sequence[str]) -> None:
        super().__init__(
            f"a downgrade was cut short in revision {revision}, which the database still has: {'; '.join(done)}",
            why="going up would leave out what that has taken away, and what else it would take away is not for evolve "
            "to decide",
            fix=f"end it, then go up again: evolve downgrade {revision}@-1; or make by hand what is missing of "
            f"{revision}, then: evolve upgrade --unfinished restart",
        )


def take_back(
    project: Project,
    connection: Connection,
    version_table: str,
    applied: Collection[str],
    *,
    lock_timeout: int,
    on_undo: Callable[[str, str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Undo what is left of revisions that are not among `applied`; only those of evolve's own changes are known.

    Each statement commits by itself; where it is cut short, the next run does the rest.

    Args:
        connection: in autocommit mode.
        lock_timeout: milliseconds, for statements that nobody queues behind; also how long a session of the upgrade
            that was cut short may work on.
        on_undo: told the revision and each statement before it is sent.

    Raises:
        StillAtWork: a session of that upgrade works on after that time.
        CannotTakeBack: the server refused a statement.
    """
    waited = 0.0
    while left := left_half_done(connection, version_table, applied):
        live = next((each for each in left if each.at_work is not None), None)
        if live is None or live.at_work is None:
            break
        if waited * 1000 > lock_timeout:
            raise StillAtWork(live.revision, *live.at_work)
        sleep(_PAUSE)
        waited += _PAUSE
    for each in left:
        part = _part(project, each.revision)
        if part is None:
            continue
        for statement in _undoing(connection, part):
            on_undo(each.revision, statement.sql)
            undo(connection, each.revision, statement.sql, lock_timeout)
        settle(connection, version_table, each.revision)


def to_end_first(
    project: Project, connection: Connection, version_table: str, applied: Collection[str], *, settled: bool
) -> list[str]:
    """Revisions among `applied` that a downgrade was cut short in, newest first: to be reverted before going up.

    Only those of evolve's own changes, whose way back loses nothing that its plan has not told. Where Alembic itself
    has passed there since, nothing of it is left.

    Args:
        settled: somebody has made by hand what was missing.

    Raises:
        CutShortDowngrade: it was in another revision.
    """
    found: list[str] = []
    for each in half_reverted(connection, version_table, applied):
        now = stamp(connection, project.version_table, project.version_table_schema, [each.revision])
        if settled or (each.stamp and now != each.stamp):
            settle(connection, version_table, each.revision, "downgrade")
        elif _part(project, each.revision) is None:
            raise CutShortDowngrade(each.revision, each.done)
        else:
            found.append(each.revision)
    return found


def _part(project: Project, revision: str) -> Part | None:
    """What the revision holds; None where no change of the project says that it is its own."""
    try:
        manifests = load_all(project.script_directory)
    except EvolveError:  # told by whoever works with the change
        return None
    for manifest in manifests:
        for record in manifest.phases:
            phase = manifest.plan.phase(record.name) if revision in record.revisions else None
            if phase is not None:
                return phase.parts[record.revisions.index(revision)]
    return None


def _undoing(connection: Connection, part: Part) -> Iterator[Statement]:
    built, dropped = _indexes(part)
    if any(state_of_index(connection, index) != "valid" for index in dropped):
        yield from part.undo
    for index in reversed(built):
        if state_of_index(connection, index) != "missing":
            yield index_build.drop(index)


def _indexes(part: Part) -> tuple[list[QualifiedName], list[QualifiedName]]:
    """Those that the part builds, and those that it drops, both beside the traffic.

    A build with IF NOT EXISTS is of an index that belongs to an earlier part, and a drop that clears the way for a
    build drops nothing that is in use.
    """
    built: list[QualifiedName] = []
    dropped: list[QualifiedName] = []
    for statement in part.statements:
        if statement.transactional:
            continue
        match parse(statement.sql):
            case (CreateIndex(index=index, if_not_exists=False),) if index.name is not None:
                built.append(QualifiedName(index.name, index.table.schema))
            case (DropIndex(index=name),):
                dropped.append(name)
            case _:
                pass
    return built, [name for name in dropped if name not in built]
