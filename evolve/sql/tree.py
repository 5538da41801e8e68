"""The parser's trees: how one is had from SQL, and walked. Only this file and parse.py know the parser.

Nodes have no static types of use: in these two files `Any` is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from evolve.late import late

with late({"google.protobuf.internal.python_message": ()}):  # what is done in C where the parser is
    import postgast
    from google.protobuf.message import DecodeError
    from postgast import pg_query_pb2

from evolve.sql.names import QualifiedName

Node = Any
pb: Any = pg_query_pb2
# What is raised where the grammar refuses a text.
NotRead = (postgast.PgQueryError, DecodeError, UnicodeError)


def read_tree(sql: str) -> Node:
    try:
        return postgast.parse(sql)
    except DecodeError:
        # Chains such as a || b || … nest deeper than protobuf's default limit of 100 levels.
        _allow_depth()
        return postgast.parse(sql)


def _allow_depth() -> None:
    try:
        from google._upb import _message  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return
    _message.SetAllowOversizeProtos(True)


def unwrapped(node: Node) -> Node:
    """The concrete node inside the parser's wrapper."""
    return getattr(node, node.WhichOneof("node"))


def kind_of(node: Node) -> str:
    return node.WhichOneof("node") or ""


def walk(node: Node) -> Iterator[Node]:
    """Every concrete node beneath `node`, itself included, outer ones first and in the order they are
    written.
    """
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, pb.Node):
            which = current.WhichOneof("node")
            if which is None:
                continue
            current = getattr(current, which)
        yield current
        children: list[Node] = []
        for field, value in current.ListFields():
            if field.message_type is None:
                continue
            if isinstance(value, Sequence) or hasattr(value, "__getitem__"):
                children.extend(value)
            else:
                children.append(value)
        stack.extend(reversed(children))


def strings_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(node.string.sval for node in nodes)


def relation_of(range_var: Node) -> QualifiedName:
    if range_var.schemaname:
        return QualifiedName(range_var.relname, range_var.schemaname)
    if range_var.relpersistence == "t":
        return QualifiedName(range_var.relname, "pg_temp")
    return name_of((range_var.relname,))


def name_of(parts: Sequence[str]) -> QualifiedName:
    """A name from its dotted parts; a database before the schema is dropped, as the server demands it be its
    own.
    """
    if len(parts) > 1:
        return QualifiedName(parts[-1], parts[-2])
    # The search path ends its walk in pg_catalog before anything else for names that begin so.
    return QualifiedName(parts[-1], "pg_catalog") if parts[-1].startswith("pg_") else QualifiedName(parts[-1])


def column_of(ref: Node) -> str | None:
    last = ref.fields[-1]
    return last.string.sval if kind_of(last) == "string" else None


def text_of(node: Node) -> str:
    """The SQL of an expression's node."""
    tree = pb.ParseResult()
    select = tree.stmts.add().stmt.select_stmt
    select.limit_option = pb.LIMIT_OPTION_DEFAULT
    select.op = pb.SETOP_NONE
    select.target_list.add().res_target.val.CopyFrom(node)
    text: str = postgast.deparse(tree)
    return text.removeprefix("SELECT ")
