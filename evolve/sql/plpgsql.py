"""Which SQL a PL/pgSQL program may run, taken from the tree that PostgreSQL's own PL/pgSQL parser gives.

Every branch, loop and exception handler counts as taken: what may run is what has to be judged. Text that is put
together while the program runs is only known where it is put together from literals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """What may run.

    Args:
        statements: SQL in the order of the text; COMMIT and ROLLBACK among them.
        dynamic: expressions given to EXECUTE whose text is not known before it runs.
    """

    statements: tuple[str, ...]
    dynamic: tuple[str, ...]


def read_program(tree: object) -> Program:
    """Read the tree of one DO block or function, as decoded from the parser's JSON."""
    statements: list[str] = []
    dynamic: list[str] = []
    for kind, node in _nodes(tree):
        match kind:
            case "PLpgSQL_stmt_commit":
                statements.append("COMMIT")
            case "PLpgSQL_stmt_rollback":
                statements.append("ROLLBACK")
            case "PLpgSQL_stmt_dynexecute" | "PLpgSQL_stmt_dynfors":
                _add_dynamic(_expression(node, "query"), statements, dynamic)
            case "PLpgSQL_stmt_return_query" | "PLpgSQL_stmt_open":
                _add_dynamic(_expression(node, "dynquery"), statements, dynamic)
                statements.extend(filter(None, [_expression(node, "query")]))
            case "PLpgSQL_stmt_execsql":
                statements.extend(filter(None, [_expression(node, "sqlstmt")]))
            case "PLpgSQL_stmt_perform" | "PLpgSQL_stmt_call":
                statements.extend(filter(None, [_expression(node, "expr")]))
            case "PLpgSQL_stmt_fors":
                statements.extend(filter(None, [_expression(node, "query")]))
            case "PLpgSQL_stmt_assign":
                statements.extend(_calling(_ASSIGNS.sub("", _expression(node, "expr"), count=1)))
            case "PLpgSQL_stmt_return":
                statements.extend(_calling(_expression(node, "expr")))
            case _:
                pass
    return Program(tuple(statements), tuple(dynamic))


def _nodes(tree: object) -> Iterator[tuple[str, dict[str, object]]]:
    """Every node of the tree with its kind, outer ones first."""
    if isinstance(tree, list):
        for item in tree:
            yield from _nodes(item)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key.startswith("PLpgSQL_stmt_") and isinstance(value, dict):
                yield key, value
            yield from _nodes(value)


def _expression(node: dict[str, object], key: str) -> str:
    """The text of an expression below `node`; empty where there is none."""
    holder = node.get(key)
    inner = holder.get("PLpgSQL_expr") if isinstance(holder, dict) else None
    text = inner.get("query") if isinstance(inner, dict) else None
    return text.strip() if isinstance(text, str) else ""


def _add_dynamic(expression: str, statements: list[str], dynamic: list[str]) -> None:
    if not expression:
        return
    text = constant_text(expression)
    if text is None:
        dynamic.append(expression)
    else:
        statements.append(text)


_ASSIGNS = re.compile(r"^.*?:?=", re.DOTALL)
_READS = re.compile(r"\bselect\b", re.IGNORECASE)


def _calling(expression: str) -> Iterator[str]:
    """What is assigned or returned as a statement, where it may call something for what it does: no query does."""
    if "(" in expression and not _READS.search(expression):
        yield f"SELECT {expression}"


# -- text that is known though it is put together ----------------------------------------------------------
_LITERAL = re.compile(r"'((?:[^']|'')*)'|\$(\w*)\$(.*?)\$\2\$", re.DOTALL)
_FORMAT = re.compile(r"format\s*\(", re.IGNORECASE)
_PLACE = re.compile(r"%(?:(?P<position>\d+)\$)?(?P<kind>[sIL%])")
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*")


def constant_text(expression: str) -> str | None:
    """The value of literals, joined by || or put into format(); None for all else.

    format() as PostgreSQL's manual, "String Functions and Operators", has it; without widths.
    """
    call = _FORMAT.match(expression)
    if call is not None and expression.endswith(")"):
        parts = _list(expression[call.end() : -1], ",")
        return None if not parts else _format(parts[0], parts[1:])
    parts = _list(expression, "||")
    return None if parts is None else "".join(parts)


def _list(text: str, separator: str) -> list[str] | None:
    """Literals between separators; None where anything else stands there."""
    values: list[str] = []
    at = 0
    while True:
        literal = _LITERAL.match(text, _blank(text, at))
        if literal is None:
            return None
        values.append(literal[1].replace("''", "'") if literal[1] is not None else literal[3])
        at = _blank(text, literal.end())
        if at == len(text):
            return values
        if not text.startswith(separator, at):
            return None
        at += len(separator)


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _format(template: str, values: list[str]) -> str | None:
    used = 0

    def put(place: re.Match[str]) -> str:
        nonlocal used
        if place["kind"] == "%":
            return "%"
        number = int(place["position"]) - 1 if place["position"] else used
        used = number + 1
        value = values[number]
        if place["kind"] == "I" and not _PLAIN_NAME.fullmatch(value):
            return '"' + value.replace('"', '""') + '"'
        return "'" + value.replace("'", "''") + "'" if place["kind"] == "L" else value

    try:
        return _PLACE.sub(put, template)
    except IndexError:
        return None
