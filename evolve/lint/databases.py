"""Histories whose revisions run on several databases: each of these has a schema of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from evolve.sql.steps import Recording


def databases(recordings: Iterable[Recording]) -> tuple[str, ...]:
    """Their names, in the order in which they are met; none where the history is of one database."""
    return tuple(
        dict.fromkeys(
            statement.database
            for recording in recordings
            for statement in recording.statements
            if statement.database is not None
        )
    )


def only(recordings: Iterable[Recording], database: str) -> list[Recording]:
    """What one of the databases is sent. Remarks are about the file, and stay."""
    return [of(recording, database) for recording in recordings]


def of(recording: Recording, database: str) -> Recording:
    sent = tuple(each for each in recording.statements if each.database in (None, database))
    return replace(recording, statements=sent)


def apart(
    recordings: Sequence[Recording], downgrades: Mapping[str, Recording]
) -> list[tuple[list[Recording], dict[str, Recording]]]:
    """The upgrades and downgrades of each of several databases; an empty list where there is one."""
    names = databases([*recordings, *downgrades.values()])
    if len(names) < 2:
        return []
    return [
        (only(recordings, name), {revision: of(sent, name) for revision, sent in downgrades.items()})
        for name in names
    ]
