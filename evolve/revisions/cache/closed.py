"""Whether what a revision sends follows from its own text and from the schema before it, and leaves nothing behind.

Judged by the text alone, and with suspicion: what is not known to be harmless is taken to depend on something else, be
it the clock, the environment, a file, or a module of the project. Such a revision is read anew each time.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

# Modules without state of their own that a revision could see or change, all of them loaded before any revision runs,
# so that no file of the project can take their place. None: any name of theirs.
_HARMLESS: Mapping[str, frozenset[str] | None] = {
    "__future__": None,
    "alembic": frozenset({"op", "context"}),
    "collections": None,
    "collections.abc": None,
    "contextlib": None,
    "dataclasses": None,
    "datetime": None,
    "decimal": None,
    "enum": None,
    "functools": None,
    "itertools": None,
    "json": None,
    "re": None,
    "sqlalchemy": None,
    "sqlalchemy.dialects": None,
    "sqlalchemy.dialects.postgresql": None,
    "sqlalchemy.schema": None,
    "sqlalchemy.sql": None,
    "sqlalchemy.sql.expression": None,
    "sqlalchemy.sql.sqltypes": None,
    "sqlalchemy.types": None,
    "textwrap": None,
    "typing": None,
    "uuid": None,
}
# Built-in names that lead to files, to other modules, or past what the text says.
_SUSPECT_NAMES = frozenset(
    {
        "open", "exec", "eval", "compile", "globals", "locals", "vars", "dir", "getattr", "setattr", "delattr",
        "input", "breakpoint", "id", "hash", "help", "exit", "quit",
    }
)  # fmt: skip
# Attributes that lead to the clock or to chance, to parts of the libraries that keep state, or that change these or the
# session for whoever comes next.
_SUSPECT_ATTRIBUTES = frozenset(
    {
        "today", "utcnow", "fromtimestamp", "utcfromtimestamp", "timestamp", "astimezone", "uuid1", "uuid4", "getnode",
        "orm", "ext", "event", "events", "engine", "pool", "log", "inspection", "testing", "util", "compiler", "base",
        "create_engine", "create_mock_engine", "engine_from_config", "ischema_names", "colspecs", "registry",
        "dispatch", "listen", "listens_for", "register", "register_operation", "implementation_for", "compiles", "opts",
        "attributes", "set_main_option", "set_section_option", "configure", "environment_context", "operations",
        "runtime", "autogenerate", "command", "config_file_name", "cmd_opts", "execution_options", "begin",
        "begin_nested", "commit", "rollback", "close", "connect", "connection", "detach", "invalidate", "info",
    }
)  # fmt: skip
# Of `datetime`; SQL's own `func.now()` only writes the word down.
_CLOCKS = frozenset({"now"})


def is_closed(source: bytes) -> bool:
    """True where nothing but its text and the schema decides what the revision sends."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return not any(type(node) in _LOOKED_AT and _suspect(node) for node in _nodes(tree))


def _nodes(tree: ast.AST) -> list[ast.AST]:
    """As `ast.walk`, which takes twice as long: a first run asks about every revision."""
    found = [tree]
    for node in found:
        for name in node._fields:
            value = getattr(node, name)
            if isinstance(value, list):
                found += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found


_LOOKED_AT = frozenset({ast.Import, ast.ImportFrom, ast.Name, ast.Attribute, ast.Subscript, ast.Call})


def _suspect(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            # `import a.b` binds a, and with it whatever else a leads to: attributes are looked at below.
            return any(_HARMLESS.get(alias.name, frozenset()) is not None for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            allowed = _HARMLESS.get(module or "", frozenset())
            return level > 0 or any(
                alias.name == "*"
                or alias.name in _SUSPECT_ATTRIBUTES
                or alias.name.startswith("_")
                or (allowed is not None and alias.name not in allowed)
                for alias in names
                if module != "__future__"
            )
        case ast.Name(id=name):
            return name in _SUSPECT_NAMES or name.startswith("__")
        case ast.Attribute(value=value, attr=attribute, ctx=context):
            return (
                attribute in _SUSPECT_ATTRIBUTES
                or attribute.startswith("_")
                or (attribute in _CLOCKS and not _is_sql_function(value))
                # Whatever else has attributes that can be set outlives the revision.
                or (not isinstance(context, ast.Load) and not _is_self(value))
            )
        case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
            return not isinstance(value, ast.Name)
        case ast.Call(func=ast.Attribute(value=ast.Attribute() as owner, attr=called)):
            return called in _CHANGES and not _is_self(owner)
        case _:
            return False


_CHANGES = frozenset(
    {
        "add",
        "append",
        "clear",
        "discard",
        "extend",
        "insert",
        "pop",
        "popitem",
        "remove",
        "setdefault",
        "update",
    }
)


def _is_sql_function(value: ast.expr) -> bool:
    return (isinstance(value, ast.Name) and value.id == "func") or (
        isinstance(value, ast.Attribute) and value.attr == "func"
    )


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")
