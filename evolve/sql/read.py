"""From what a revision sent to the steps it takes."""

from __future__ import annotations

from evolve.sql.parse import parse
from evolve.sql.steps import Recording, Step


def steps(recording: Recording) -> tuple[Step, ...]:
    """The operations of `recording` in the order they run; what cannot be read is a step with `Unread`."""
    return tuple(
        Step(operation, statement, recording.revision)
        for statement in recording.statements
        for operation in parse(statement.sql)
    )
