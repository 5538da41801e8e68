"""Alembic code of safe forms as the SQL that it sends, for whoever writes plain SQL."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

_KNOWN = (
    ast.Module,
    ast.Expr,
    ast.With,
    ast.withitem,
    ast.Call,
    ast.keyword,
    ast.Attribute,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.List,
    ast.Tuple,
)


def as_sql(body: str) -> str | None:
    """The statements that `body` sends, each on a line of its own and with its semicolon.

    A body is what rules suggest for `upgrade()`: calls of `op` with constants and types of SQLAlchemy. None where it is
    anything else, such as words for what the reader is to fill in.
    """
    try:
        tree = ast.parse(body)
    except SyntaxError:
        return None
    if not all(_is_plain(node) for node in ast.walk(tree)):
        return None
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={"as_sql": True, "output_buffer": written, "transactional_ddl": False},
    )
    names = {"op": Operations(context), "sa": sa}
    exec(compile(tree, "safe form", "exec"), names)  # noqa: S102  # nothing but what _is_plain knows
    return "\n".join(_lines(written.getvalue()))


def _is_plain(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name):
            return name in ("op", "sa")
        case ast.Attribute(value=ast.Name(id="sa"), attr=name):
            return name[:1].isupper() or name == "text"
        case ast.Attribute(value=ast.Name(id="op"), attr=name):
            return not name.startswith("_")
        case ast.Attribute(attr=name):
            return name == "autocommit_block"
        case _:
            return isinstance(node, _KNOWN)


def _lines(script: str) -> Iterator[str]:
    return (line.rstrip() for line in script.splitlines() if line.strip())
