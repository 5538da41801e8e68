"""The project, its history and its changes in flight, as the commands of the plan lane need them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from evolve.app.branches import Branches, find_branches
from evolve.errors import Misuse, Refused
from evolve.plan.change import Change, Place, Uses
from evolve.plan.manifest import BadManifest, Manifest, TakenBack, load_all, load_named, path_of
from evolve.plan.model import PHASES
from evolve.revisions.history import History, RevisionFile, read_history
from evolve.revisions.project import Project


class ChangeInFlight(Refused):
    def __init__(self, other: Manifest, places: Iterable[Place]) -> None:
        names = ", ".join(
            sorted({table.plain if column is None else f"{table.plain}.{column}" for table, column in places})
        )
        super().__init__(
            f'change "{other.id}" is in flight on "{names}"',
            why="it is not over: what one of the two rests on, the other would change under it",
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
            why="what was done to it cannot be told",
            fix="check --database-url, and that this checkout is the one that was deployed",
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What the files say."""

    project: Project
    history: History
    branches: Branches
    manifests: tuple[Manifest, ...]

    def missing(self, manifest: Manifest) -> tuple[str, ...]:
        """Revisions that the manifest names and no file holds: a run of evolve was cut short between the two."""
        return tuple(revision for revision in manifest.revisions if revision not in self.history.revisions)

    def not_undone(self, manifest: Manifest) -> tuple[TakenBack, ...]:
        """What `evolve undo` was to take back, and was cut short before it wrote the revision."""
        return tuple(back for back in manifest.taken_back if back.revision not in self.history.revisions)

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
        SeveralHeads, MultipleHeads, NoSuchBranch: it is not clear where revisions go.
        BadManifest: a manifest cannot be trusted.
    """
    history = read_history(project)
    changes = Changes(project, history, find_branches(project, history), load_all(project.script_directory))
    for manifest in changes.manifests:
        _refuse_strangers(changes, manifest)
    return changes


def _refuse_strangers(changes: Changes, manifest: Manifest) -> None:
    """Raise `BadManifest` where manifest and revisions disagree on what belongs to the change."""
    path = path_of(changes.project.script_directory, manifest.id)
    revisions = changes.history.revisions
    for number, record in enumerate(manifest.phases, 1):
        for revision in record.revisions:
            file = revisions.get(revision)
            if file is not None and _claims(file) != (manifest.id, record.name):
                raise BadManifest(
                    path,
                    f"phase[{number}].revisions",
                    f'names "{revision}", and {file.path.name} does not say that it belongs there',
                    'its attribute "evolve" names change and phase',
                )
    # A revision named wrongly looks like one that a crash left unwritten; writing it would do the phase twice.
    done = changes.history.ancestors(revision for revision in manifest.revisions if revision in revisions)
    undone = {back.of for back in manifest.taken_back} | {back.revision for back in manifest.taken_back}
    left = [
        file
        for file in revisions.values()
        if _claims(file)[0] == manifest.id
        and file.revision not in manifest.revisions
        and file.revision not in done | undone
    ]
    for number, record in enumerate(manifest.phases, 1):
        absent = [revision for revision in record.revisions if revision not in revisions]
        # Where the change was done once before, revisions of its later phases are there as well.
        own = [file for file in left if _claims(file)[1] == record.name]
        later = [file for file in left if _claims(file)[1] in PHASES[PHASES.index(record.name) + 1 :]]
        if absent and own and not later:
            raise BadManifest(
                path,
                f"phase[{number}].revisions",
                f'names "{absent[0]}", which no file is, and not "{own[0].revision}", which says that it belongs there',
                f'name "{own[0].revision}" there',
            )


def _claims(file: RevisionFile) -> tuple[str, str]:
    """The change and the phase that a revision says it belongs to."""
    said = dict(file.metadata)
    return said.get("change", ""), said.get("phase", "")


def read_change(project: Project, identifier: str) -> tuple[Changes, Manifest]:
    """As `read_changes`, and the manifest of one change.

    Raises:
        NoSuchChange: there is none of that name.
    """
    manifest = load_named(project.script_directory, identifier)
    return read_changes(project), manifest


def refuse_conflicts(changes: Changes, change: Change, uses: Uses | None = None) -> None:
    """Raise `ChangeInFlight` where another change that is not at its end touches the same columns, and
    `AlreadyDone` where this very change was planned to its end before.

    Args:
        uses: what its plan needs; None where there is no plan yet.
    """
    needed = uses or change.uses()
    identifier = change.id
    for manifest in changes.manifests:
        if manifest.id == identifier:
            if manifest.change != change or not changes.missing(manifest):
                if manifest.following is None:
                    path = path_of(changes.project.script_directory, identifier)
                    raise AlreadyDone(manifest, str(path))
                raise ChangeInFlight(manifest, change.uses().writes)
            continue
        if manifest.following is None:
            continue
        shared = manifest.plan.uses.conflicts(needed)
        if shared:
            raise ChangeInFlight(manifest, shared)
