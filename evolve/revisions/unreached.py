"""Operations in the source of a revision that reading it never came to: behind a condition, a loop, an error."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

# They change nothing themselves.
_HARMLESS = frozenset(
    {"f", "get_bind", "get_context", "inline_literal", "migration_context", "batch_alter_table"}
)

# Operations under other names than `op.something`, calls of `downgrade()`, and lines that end in other ways than "\n".
# Each begins with letters, which are looked for at several times the speed of anything else.
_ROUNDABOUT = tuple(
    map(
        re.compile,
        (
            rb"alembic\.op\b",
            rb"op(?<!\wop)(?:\s+as\b|\s*[\\#])",
            rb"batch_alter_table",
            rb"downgrade(?<!def downgrade)(?<!\wdowngrade)\s*\(",
        ),
    )
)
_CALL = re.compile(rb"op(?<!\wop)\s*\.\s*([A-Za-z_]\w*)")
_TOP_LEVEL = re.compile(rb"^(?!def downgrade\()[^\s#)\]}'\"]", re.MULTILINE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation, e.g. "op.add_column"; lines count from 1, the last is included."""

    name: str
    line: int
    last_line: int


def unreached(source: bytes, direction: str, reached: Collection[int]) -> list[Call]:
    """Calls of operations in `upgrade()`, and in functions it calls, on whose lines nothing was ever run.

    Functions that `upgrade()` does not call by name are left out, and so is what `downgrade()` alone calls.
    """
    if direction == "upgrade" and _plainly_reached(source, reached):
        return []
    tree = ast.parse(source)
    aliases = _aliases(tree)
    missed = [
        call
        for call in _operations(tree, direction, aliases)
        if not any(call.line <= line <= call.last_line for line in reached)
    ]
    return sorted(missed, key=lambda call: (call.line, call.name))


def _plainly_reached(source: bytes, reached: Collection[int]) -> bool:
    """True where a look at the text shows that every operation was reached: most revisions need no closer one.

    That is: operations are called as `op.something(` alone, and each such line outside of `downgrade()` was reached.
    """
    if b"\r" in source or b"\f" in source or any(words.search(source) for words in _ROUNDABOUT):
        return False
    at, line = 0, 1
    start = source.find(b"\ndef downgrade(")
    following = _TOP_LEVEL.search(source, start + 1) if start >= 0 else None
    for call in _CALL.finditer(source):
        if 0 <= start < call.start() and (following is None or call.start() < following.start()):
            continue
        line += source.count(b"\n", at, call.start())
        at = call.start()
        if line not in reached and call[1].decode() not in _HARMLESS:
            return False
    return True


def _aliases(tree: ast.Module) -> tuple[frozenset[str], frozenset[str]]:
    """Names that stand for the module `op`, and names that are operations themselves."""
    modules = {"op"}
    functions: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "alembic":
            modules.update(alias.asname or alias.name for alias in node.names if alias.name == "op")
        elif isinstance(node, ast.ImportFrom) and node.module == "alembic.op":
            functions.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            modules.update(
                alias.asname for alias in node.names if alias.name == "alembic.op" and alias.asname
            )
    return frozenset(modules), frozenset(functions)


def _operations(
    tree: ast.Module, direction: str, aliases: tuple[frozenset[str], frozenset[str]]
) -> Iterator[Call]:
    functions = {node.name: node for node in tree.body if isinstance(node, Function)}
    todo = [direction]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        function = functions.get(name)
        if function is None or name in seen:
            continue
        seen.add(name)
        batches = _batches(function, aliases[0])
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in functions:
                todo.append(node.id)
            if isinstance(node, ast.Call):
                called = _called(node, aliases, batches)
                if called is not None:
                    yield Call(called, node.lineno, node.end_lineno or node.lineno)


def _batches(function: Function, modules: frozenset[str]) -> frozenset[str]:
    """Names bound by `with op.batch_alter_table(…) as name`."""
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.With):
            for item in node.items:
                match item:
                    case ast.withitem(
                        context_expr=ast.Call(
                            func=ast.Attribute(value=ast.Name(id=module), attr="batch_alter_table")
                        ),
                        optional_vars=ast.Name(id=name),
                    ) if module in modules:
                        names.add(name)
    return frozenset(names)


def _called(
    call: ast.Call, aliases: tuple[frozenset[str], frozenset[str]], batches: frozenset[str]
) -> str | None:
    modules, functions = aliases
    match call.func:
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if (
            owner in modules | batches and name not in _HARMLESS
        ):
            return f"{owner}.{name}"
        case ast.Name(id=name) if name in functions and name not in _HARMLESS:
            return name
        case _:
            return None
