"""The project, its history and its changes in flight, as the commands of the plan lane need them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from evolve.errors import Misuse, Refused
from evolve.plan.manifest import Manifest, load_all, load_named, path_of
from evolve.plan.model import Change, change_id, columns_of
from evolve.revisions.history import History, read_history
from evolve.revisions.project import Project


class ChangeInFlight(Refused):
    def __init__(self, other: Manifest, columns: Iterable[str]) -> None:
        names = ", ".join(f'"{name}"' for name in sorted(columns))
        super().__init__(
            f'change "{other.id}" is in flight on column {names} of "{other.change.table.plain}"',
            why="two sync triggers on one column would answer each other's writes",
            fix=f"bring it to its end first; see: evolve status {other.id}",
        )


class AlreadyDone(Refused):
    def __init__(self, other: Manifest, path: str) -> None:
        super().__init__(
            f'change "{other.id}" is planned to its end already: {path}',
            fix="to do it once more, delete that file first (git keeps it)",
        )


class StrangeRevisions(Misuse):
    def __init__(self, unknown: Collection[str]) -> None:
        super().__init__(
            f"the database is at {', '.join(sorted(unknown))}, which this project does not have",
            why="how far the change has come cannot be told",
            fix="check --database-url, and that this checkout is the one that was deployed",
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What the files say.

    Args:
        head: of the one chain; None where there is no revision yet.
    """

    project: Project
    history: History
    head: str | None
    manifests: tuple[Manifest, ...]

    def missing(self, manifest: Manifest) -> tuple[str, ...]:
        """Revisions that the manifest names and no file holds: a run of evolve was cut short between the two."""
        return tuple(revision for revision in manifest.revisions if revision not in self.history.revisions)

    def applied(self, heads: Collection[str]) -> frozenset[str]:
        """Revisions that a database at `heads` has.

        Raises:
            StrangeRevisions: it is at one that the project does not have.
        """
        unknown = [head for head in heads if head not in self.history.revisions]
        if unknown:
            raise StrangeRevisions(unknown)
        return self.history.ancestors(heads)


def read_changes(project: Project) -> Changes:
    """Read history and manifests.

    Raises:
        MultipleHeads: there is more than one head; BadManifest: a manifest cannot be trusted.
    """
    history = read_history(project)
    return Changes(project, history, history.head(), load_all(project.script_directory))


def read_change(project: Project, identifier: str) -> tuple[Changes, Manifest]:
    """As `read_changes`, and the manifest of one change.

    Raises:
        NoSuchChange: there is none of that name.
    """
    manifest = load_named(project.script_directory, identifier)
    return read_changes(project), manifest


def refuse_conflicts(changes: Changes, change: Change) -> None:
    """Raise `ChangeInFlight` where another change that is not at its end touches the same columns, and
    `AlreadyDone` where this very change was planned to its end before.
    """
    identifier = change_id(change)
    for manifest in changes.manifests:
        if manifest.id == identifier:
            if manifest.change != change or not changes.missing(manifest):
                if manifest.following is None:
                    path = path_of(changes.project.script_directory, identifier)
                    raise AlreadyDone(manifest, str(path))
                raise ChangeInFlight(manifest, columns_of(change))
            continue
        shared = columns_of(manifest.change) & columns_of(change)
        if manifest.following is not None and manifest.change.table == change.table and shared:
            raise ChangeInFlight(manifest, shared)
