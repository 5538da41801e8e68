"""Follows calls of the functions that a history made: what a call may run stands behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from evolve.sql.names import QualifiedName, parse_name
from evolve.sql.operations import Body, CreateFunction, DoBlock, Operation, Other, Query


def with_calls(
    operations: Iterable[Operation], functions: Mapping[QualifiedName, Body]
) -> tuple[Operation, ...]:
    """`operations`, and behind each that calls one of `functions` what the call may run.

    A function that is made by an earlier one of `operations` is known as well. One that calls itself is followed once.
    """
    known = dict(functions)
    followed: list[Operation] = []
    for operation in operations:
        if isinstance(operation, CreateFunction):
            known[operation.function] = operation.runs
        followed += _follow(operation, known, frozenset())
    return tuple(followed)


def _follow(
    operation: Operation, functions: Mapping[QualifiedName, Body], inside: frozenset[QualifiedName]
) -> Iterator[Operation]:
    yield operation
    for name in _called(operation):
        runs = functions.get(name)
        if runs is None or name in inside:
            continue
        if runs.gaps:
            yield DoBlock("", gaps=runs.gaps, function=name)
        for inner in runs.operations:
            yield from _follow(inner, functions, inside | {name})


def _called(operation: Operation) -> Iterator[QualifiedName]:
    match operation:
        case Query(functions=names):
            yield from map(parse_name, names)
        case Other(kind="CALL", target=QualifiedName() as name):
            yield name
        case _:
            return
