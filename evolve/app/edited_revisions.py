"""Revisions of a change that no longer send what its plan says."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.app.project_changes import Changes
from evolve.errors import Refused
from evolve.plan.manifest import Manifest
from evolve.revisions.history import RevisionFile
from evolve.revisions.read import record


class Edited(Refused):
    def __init__(self, file: RevisionFile, statement: str) -> None:
        first = " ".join(statement.split())
        shown = first if len(first) <= 100 else first[:97] + "…"
        super().__init__(
            f"{file.path} does not send what the plan of its change says: {shown}",
            why="the phases to come build on what this one made",
            fix=f"restore it: git checkout -- {file.path}; statements may be added, and comments; where the edit is "
            "meant: --accept-edits",
        )


def refuse_edited(changes: Changes, manifest: Manifest) -> None:
    """Raise `Edited` for the first revision of `manifest` that lacks a statement of the plan, or has it elsewhere.

    The revisions are run against a connection that records, as the linter does it; no database is touched.
    """
    for file, statement in _missing(changes, manifest):
        raise Edited(file, statement)


def _missing(changes: Changes, manifest: Manifest) -> Iterator[tuple[RevisionFile, str]]:
    parts = {part.name: part for part in manifest.plan.phases}
    wanted = [
        (changes.history.revisions[revision], part)
        for phase in manifest.phases
        if phase.state == "begun"
        for revision, part in zip(phase.revisions, parts[phase.name].parts, strict=True)
        if revision in changes.history.revisions
    ]
    recordings = {
        recording.revision: recording for recording in record(changes.project, [file for file, _ in wanted])
    }
    for file, part in wanted:
        sent = iter([_plain(statement.sql) for statement in recordings[file.revision].statements])
        for statement in part.statements:
            # Searching goes on where the last one was found: what comes between may have been added.
            if _plain(statement.sql) not in sent:
                yield file, statement.sql
                break


def _plain(sql: str) -> str:
    """`sql` however it is laid out: a revision indents it."""
    return " ".join(sql.split()).removesuffix(";").rstrip()
