"""Where every change in flight stands: its phase, what it waits for, and the next command."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.app.advance_change import Standing, next_command, stand
from evolve.app.project_changes import Changes, read_changes
from evolve.plan.gates import Rules
from evolve.plan.manifest import Manifest, NoSuchChange
from evolve.postgres.connect import Connection
from evolve.postgres.evidence import Event, events, looking
from evolve.revisions.project import Project


@dataclass(frozen=True, slots=True)
class Status:
    """One change.

    Args:
        missing: revisions the manifest names and no file holds.
        standing: as seen in the database; None where only the files were looked at, or where a revision is missing.
        history: what happened to it in that database, oldest first.
        command: the next one; empty at the end.
    """

    manifest: Manifest
    missing: tuple[str, ...]
    standing: Standing | None
    history: tuple[Event, ...]
    command: str


def change_status(
    project: Project, identifier: str | None, url: str | None, rules: Rules
) -> tuple[Status, ...]:
    """The changes of the project, or the one named.

    Args:
        project: whose changes.
        identifier: of one change; None for all.
        url: the database to look at; None looks at the files alone.
        rules: what the project asks of its gates.

    Raises:
        NoSuchChange, BadManifest, MultipleHeads, CannotConnect, StrangeRevisions.
    """
    changes = read_changes(project)
    wanted = [m for m in changes.manifests if identifier in (None, m.id)]
    if identifier is not None and not wanted:
        raise NoSuchChange(identifier, [manifest.id for manifest in changes.manifests])
    if url is None or not wanted:
        return tuple(_from_files(changes, manifest) for manifest in wanted)
    with looking(url, "evolve status") as connection:
        return tuple(_from_database(connection, changes, manifest, rules) for manifest in wanted)


def _from_files(changes: Changes, manifest: Manifest) -> Status:
    missing = changes.missing(manifest)
    done = manifest.following is None and not missing
    return Status(manifest, missing, None, (), "" if done else f"evolve advance {manifest.id}")


def _from_database(connection: Connection, changes: Changes, manifest: Manifest, rules: Rules) -> Status:
    standing = stand(connection, changes, manifest, rules)
    return Status(
        manifest,
        standing.missing,
        standing,
        tuple(events(connection, manifest.id)),
        next_command(standing),
    )
