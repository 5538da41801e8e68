"""Runs the rules over recorded revisions, step by step, beside a replay of the schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evolve.lint.advance import advance, enter, open_revision, release
from evolve.lint.history import OLDEST_SUPPORTED, History
from evolve.lint.model import Coverage, Finding
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema
from evolve.sql.steps import Mark, Recording, Step

_INCOMPLETE = frozenset({Mark.RAISED, Mark.TIMED_OUT, Mark.NOT_LOADED})
_DEPENDS = frozenset({Mark.READ_ROWS, Mark.READ_CATALOG})


@dataclass(frozen=True, slots=True)
class Result:
    """Findings in the order of revisions and steps; the findings about a whole rollout come last."""

    findings: tuple[Finding, ...]
    coverage: Coverage


def replay(recordings: Iterable[Recording]) -> Schema:
    """The schema that `recordings`, applied to an empty database, leave behind."""
    schema = Schema()
    for recording in recordings:
        for statement in recording.statements:
            for operation in parse(statement.sql):
                apply(schema, operation)
    return schema


def check(
    schema: Schema,
    recordings: Sequence[Recording],
    rules: Sequence[Rule],
    *,
    postgres_version: int = OLDEST_SUPPORTED,
    together: bool = True,
) -> Result:
    """Judge `recordings`. A rule that raises is a bug and is not caught.

    Args:
        schema: before the first of them; it is changed to the one after the last.
        recordings: in the order in which they will be applied.
        rules: those that are asked.
        postgres_version: the oldest major version that the revisions must run on.
        together: they are not applied yet and reach the database in one rollout, so that a table made in one
            is new in the next; else each is judged as if all before it were in use.
    """
    history = History(schema, postgres_version)
    findings: list[Finding] = []
    statements = read = 0
    for recording in recordings:
        parsed = [(statement, parse(statement.sql)) for statement in recording.statements]
        statements += len(parsed)
        read += sum(_is_read(operations) for _, operations in parsed)
        clauses = [operations for _, operations in parsed for _ in operations]
        steps = [
            Step(operation, sent, recording.revision)
            for sent, operations in parsed
            for operation in operations
        ]
        findings += _check_recording(recording, steps, clauses, rules, history)
        if not together:
            findings += _finish(rules, history)
            release(history)
    if together:
        findings += _finish(rules, history)
    return Result(tuple(findings), _coverage(recordings, statements, read))


def _check_recording(
    recording: Recording,
    steps: Sequence[Step],
    clauses: Sequence[tuple[op.Operation, ...]],
    rules: Sequence[Rule],
    history: History,
) -> Iterator[Finding]:
    for remark in recording.remarks:
        for rule in rules:
            yield from rule.check_remark(remark, recording)
    open_revision(history, recording, steps)
    for step, siblings in zip(steps, clauses, strict=True):
        enter(history, step, siblings)
        for rule in rules:
            if not (history.gated and rule.answered_by_gate):
                yield from rule.check(step, history)
        advance(history, step)


def _finish(rules: Sequence[Rule], history: History) -> Iterator[Finding]:
    for rule in rules:
        yield from rule.finish(history)


def _is_read(operations: tuple[op.Operation, ...]) -> bool:
    return not any(isinstance(operation, op.Unread | op.DoBlock) for operation in operations)


def _coverage(recordings: Sequence[Recording], statements: int, read: int) -> Coverage:
    marks = [{remark.mark for remark in recording.remarks} for recording in recordings]
    return Coverage(
        revisions=len(recordings),
        statements=statements,
        read=read,
        data_dependent=sum(not found.isdisjoint(_DEPENDS) for found in marks),
        incomplete=sum(not found.isdisjoint(_INCOMPLETE) for found in marks),
    )
