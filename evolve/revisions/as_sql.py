"""Alembic code of safe forms as the SQL that it sends, for whoever writes plain SQL."""

from __future__ import annotations

import ast

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import SQLAlchemyError

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
    anything else, such as words for what the reader is to fill in, and where Alembic cannot say it: tabs become
    spaces in its scripts, and it takes a dot in the name of a key's column for one between names.
    """
    if "\\t" in body:
        return None
    try:
        tree = ast.parse(body)
    except SyntaxError:
        return None
    if not all(_is_plain(node) for node in ast.walk(tree)):
        return None
    statements: list[str] = []
    context = MigrationContext.configure(
        # Named parameters, since those of psycopg would double each percent sign.
        dialect=postgresql.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]
        opts={"as_sql": True, "transactional_ddl": False},
    )
    context.impl.static_output = statements.append  # type: ignore[method-assign, assignment]
    names = {"op": Operations(context), "sa": sa}
    try:
        exec(compile(tree, "safe form", "exec"), names)  # noqa: S102  # nothing but what _is_plain knows
    except SQLAlchemyError:
        return None
    return "\n".join(statements)


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
