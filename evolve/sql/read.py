"""From what a revision sent to the steps it takes."""

from __future__ import annotations

from collections.abc import Iterable

from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.routines import with_calls
from evolve.sql.schema import Schema
from evolve.sql.steps import Recording, Step


def steps(recording: Recording) -> tuple[Step, ...]:
    """The operations of `recording` in the order they run; what cannot be read is a step with `Unread`."""
    return tuple(
        Step(operation, statement, recording.revision)
        for statement in recording.statements
        for operation in parse(statement.sql)
    )


def follow(schema: Schema, recording: Recording) -> None:
    """Change `schema` as the statements of `recording` would, and note where those are not all that it may send."""
    replay(schema, (statement.sql for statement in recording.statements))
    if not recording.whole:
        schema.gaps.add("revision")


def replay(schema: Schema, statements: Iterable[str]) -> None:
    """Change `schema` as these statements would, and as the functions would that they call."""
    for sql in statements:
        for operation in with_calls(parse(sql), schema.functions):
            apply(schema, operation)
