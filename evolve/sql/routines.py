"""Follows calls of functions: what a call may run stands behind it, or that nobody knows what it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace

from evolve.sql.known_functions import functions_of, is_known
from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    AlterFunction,
    Body,
    CreateFunction,
    DoBlock,
    DropFunction,
    DropSchema,
    MoveToSchema,
    Operation,
    Other,
    Query,
    RenameSchema,
)

_KINDS = ("FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE")
_RENAMES = frozenset(f"RENAME {kind}" for kind in _KINDS)


def with_calls(
    operations: Iterable[Operation], functions: Mapping[QualifiedName, Body]
) -> tuple[Operation, ...]:
    """`operations`, and behind each that calls one of `functions` what the call may run.

    A function that is made by an earlier one of `operations` is known as well. One that calls itself is followed once.
    A gap stands behind the call of one that neither is among them nor comes with PostgreSQL.
    """
    known = dict(functions)
    followed: list[Operation] = []
    for operation in operations:
        remember(known, operation)
        followed += _follow(operation, known, frozenset())
    return tuple(followed)


def remember(functions: MutableMapping[QualifiedName, Body], operation: Operation) -> None:
    """Change `functions` as `operation` makes, drops, renames or moves functions; overloads count as one."""
    match operation:
        case CreateFunction(function=name, runs=runs):
            functions[name] = runs
        case Other(kind="CREATE AGGREGATE", target=QualifiedName() as name):
            functions[name] = Body()
        case Other(kind="CREATE EXTENSION", target=QualifiedName(extension, namespace)) if (
            namespace != "public"
        ):
            functions.update((QualifiedName(name, namespace), Body()) for name in functions_of(extension))
        case AlterFunction(function=name, options=options) if name in functions:
            for option in options:
                if option in ("volatile", "stable", "immutable"):
                    functions[name] = replace(functions[name], volatile=option == "volatile")
        case DropFunction(function=name):
            functions.pop(name, None)
        case Other(kind=kind, target=QualifiedName() as name, detail=str(to)) if kind in _RENAMES:
            _rename(functions, name, QualifiedName(to, name.schema))
        case MoveToSchema(kind=kind, name=name, to_schema=to_schema) if kind.upper() in _KINDS:
            _rename(functions, name, QualifiedName(name.name, to_schema))
        case RenameSchema(schema=namespace, to=to):
            for name in [name for name in functions if name.schema == namespace]:
                _rename(functions, name, QualifiedName(name.name, to))
        case DropSchema(schema=namespace):
            for name in [name for name in functions if name.schema == namespace]:
                del functions[name]
        case _:
            pass


def _rename(functions: MutableMapping[QualifiedName, Body], name: QualifiedName, to: QualifiedName) -> None:
    if name in functions:
        functions[to] = functions.pop(name)


def _follow(
    operation: Operation, functions: Mapping[QualifiedName, Body], inside: frozenset[QualifiedName]
) -> Iterator[Operation]:
    yield operation
    called, asked = _called(operation)
    for name in (*called, *asked):
        runs = functions.get(name)
        if runs is None:
            # A condition asks; who calls something for what it does selects it.
            if name in called and not is_known(name):
                yield DoBlock("", gaps=("no revision makes it",), function=name, known=False)
            continue
        if name in inside:
            continue
        if runs.gaps:
            yield DoBlock("", gaps=runs.gaps, function=name)
        for inner in runs.operations:
            yield from _follow(inner, functions, inside | {name})


def _called(operation: Operation) -> tuple[tuple[QualifiedName, ...], tuple[QualifiedName, ...]]:
    """The functions called for what they do or give, and those of conditions."""
    match operation:
        case Query(calls=calls, conditions=conditions):
            return calls, conditions
        case Other(kind="CALL", target=QualifiedName() as name):
            return (name,), ()
        case _:
            return (), ()
