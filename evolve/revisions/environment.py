"""What a project's `env.py` says about transactions and the version table, read from its source and never run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from evolve.values import dataclass

_RUNS_REVISIONS = frozenset({"configure", "run_migrations", "run_sync"})
_READS_OPTION = frozenset({"get_main_option", "get_alembic_option"})
_SENDS = frozenset({"execute", "exec_driver_sql", "scalar", "scalars"})
_ENDS = frozenset({"commit", "rollback"})
_BEGINS = frozenset({"begin", "begin_twophase"})


@dataclass(frozen=True, slots=True)
class Environment:
    """Alembic's options as `env.py` passes them to `context.configure()`; Alembic's own defaults where it is silent.

    Args:
        outer_transaction: line of `env.py` that opens a transaction before Alembic does, so that Alembic opens none of
            its own and `autocommit_block()` cannot work; None where it leaves transactions to Alembic.
        outer_may_end: that transaction began with a statement, so that a revision's `commit()` ends it.
        given: names that it gives to the module `sqlalchemy`, for revisions to find there.
        asynchronous: it runs coroutines, as an asynchronous driver needs.
        looped: line of a loop that runs revisions, it may be for each of several schemas or databases; None where there
            is none.
        unread: options it sets from something that only running it would tell; the default stands for them here.
    """

    transaction_per_migration: bool = False
    transactional_ddl: bool = True
    include_schemas: bool = False
    version_table: str = "alembic_version"
    version_table_schema: str | None = None
    outer_transaction: int | None = None
    outer_may_end: bool = False
    given: tuple[str, ...] = ()
    asynchronous: bool = False
    looped: int | None = None
    unread: tuple[str, ...] = ()


class _Unreadable(Exception):
    """The value is known only when the file runs."""


def read_environment(file: Path, options: Mapping[str, str]) -> Environment:
    """Read `env.py`; `options` are those of alembic.ini, for `config.get_main_option("…")`.

    A file that is missing or does not parse says nothing: Alembic's defaults, and "env.py" among `unread`.
    """
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (OSError, SyntaxError, ValueError):
        return Environment(unread=("env.py",))
    constants = _constants(tree)
    unread: list[str] = []
    keywords = list(_configure_keywords(tree, constants, unread))

    def flag(name: str, default: bool) -> bool:
        value = setting(name, lambda value: isinstance(value, bool))
        return value if isinstance(value, bool) else default

    def word(name: str) -> str | None:
        value = setting(name, lambda value: value is None or isinstance(value, str))
        return value if isinstance(value, str) else None

    def setting(name: str, fits: Callable[[object], bool]) -> object:
        found: list[object] = []
        for key, node in keywords:
            if key != name:
                continue
            try:
                value = _value(node, constants, options)
            except _Unreadable:
                unread.append(name)
                return None
            if value not in found:
                found.append(value)
        if len(found) > 1 or (found and not fits(found[0])):
            unread.append(name)
            return None
        return found[0] if found else None

    begun, sent = _begun_outside(tree) or _begun_before_configure(tree), _sent_outside(tree)
    return Environment(
        transaction_per_migration=flag("transaction_per_migration", default=False),
        transactional_ddl=flag("transactional_ddl", default=True),
        include_schemas=flag("include_schemas", default=False),
        version_table=word("version_table") or "alembic_version",
        version_table_schema=word("version_table_schema"),
        asynchronous=any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree)),
        looped=_looped(tree),
        outer_transaction=begun if begun is not None else sent,
        outer_may_end=begun is None and sent is not None,
        given=tuple(_given_to_sqlalchemy(tree)),
        unread=tuple(dict.fromkeys(unread)),
    )


def _looped(tree: ast.Module) -> int | None:
    """The first loop that comes to `run_migrations`, by itself or through functions of the file."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    running = {"run_migrations"}
    while more := {each.name for each in functions if each.name not in running and running & _names(each)}:
        running |= more
    loops = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, loops) and running & _names(node)]
    return min(lines, default=None)


def _names(tree: ast.AST) -> set[str]:
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }


def _given_to_sqlalchemy(tree: ast.Module) -> Iterator[str]:
    """`sa.GUID = GUID`: types of the application's own, so that autogenerated revisions find them."""
    aliases = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "sqlalchemy"
    }
    for node in tree.body if aliases else ():
        for target in node.targets if isinstance(node, ast.Assign) else ():
            match target:
                case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in aliases:
                    yield name
                case _:
                    pass


def _configure_keywords(
    tree: ast.Module, constants: Mapping[str, ast.expr], unread: list[str]
) -> Iterator[tuple[str, ast.expr]]:
    """Keywords of the `configure()` calls that serve a live connection; of all of them where none can be told apart."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) == "configure"]
    online = [call for call in calls if _has_keyword(call, "connection")]
    online = online or [call for call in calls if not _has_keyword(call, "url", "literal_binds")]
    for call in online or calls:
        for keyword in call.keywords:
            if keyword.arg is not None:
                yield keyword.arg, keyword.value
                continue
            spread = keyword.value
            if isinstance(spread, ast.Name):
                spread = constants.get(spread.id, spread)
            if isinstance(spread, ast.Dict):
                for key, value in zip(spread.keys, spread.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield key.value, value
            else:
                # `**conf_args` of the Flask template carries autogenerate's options, `**kwargs` may carry anything.
                unread.append(f"**{ast.unparse(spread)}")


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the file assigns exactly once, anywhere in it."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            values.setdefault(node.target.id, []).append(node.value)
    return {name: found[0] for name, found in values.items() if len(found) == 1}


def _value(
    node: ast.expr, constants: Mapping[str, ast.expr], options: Mapping[str, str], depth: int = 0
) -> object:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in constants and depth < 10:
            return _value(constants[name], constants, options, depth + 1)
        case ast.Call(args=[ast.Constant(value=str() as option), *rest]) if _called(node) in _READS_OPTION:
            if option in options:
                return options[option]
            rest = rest or [keyword.value for keyword in node.keywords if keyword.arg == "default"]
            return _value(rest[0], constants, options, depth + 1) if rest else None
        case _:
            raise _Unreadable


def _begun_outside(tree: ast.Module) -> int | None:
    """Line of a `with connection.begin()` round the run of the revisions."""
    runners = _RUNS_REVISIONS | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _calls(node.body, _RUNS_REVISIONS)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.With | ast.AsyncWith) and _calls(node.body, runners):
            for item in node.items:
                if isinstance(item.context_expr, ast.Call) and _called(item.context_expr) == "begin":
                    return item.context_expr.lineno
    return None


def _begun_before_configure(tree: ast.Module) -> int | None:
    """Line of a `begin()` that is still open when `configure()` sees the connection.

    The templates for several databases begin a transaction in each, so that all commit or none.
    """
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        configured = [
            call.lineno for call in calls if _called(call) == "configure" and _has_keyword(call, "connection")
        ]
        bounded = {
            id(item.context_expr)
            for node in ast.walk(function)
            if isinstance(node, ast.With | ast.AsyncWith)
            for item in node.items
        }
        if not configured:
            continue
        ended = [call.lineno for call in calls if _called(call) in _ENDS]
        begun = [
            call.lineno
            for call in calls
            if _called(call) in _BEGINS
            and isinstance(call.func, ast.Attribute)
            and id(call) not in bounded
            and call.lineno < configured[0]
            and not any(call.lineno < line < configured[0] for line in ended)
        ]
        if begun:
            return min(begun)
    return None


def _sent_outside(tree: ast.Module) -> int | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            line = _statement_before_configure(node)
            if line is not None:
                return line
    return None


def _statement_before_configure(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int | None:
    """Line of an `execute()` on the connection that is still uncommitted when `configure(connection=…)` sees it."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    opened: dict[str, int] = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            owner = call.func.value.id
            if call.func.attr in _SENDS:
                opened.setdefault(owner, call.lineno)
            elif call.func.attr in _ENDS:
                opened.pop(owner, None)
        if _called(call) == "configure":
            for keyword in call.keywords:
                if keyword.arg == "connection" and isinstance(keyword.value, ast.Name):
                    line = opened.get(keyword.value.id)
                    if line is not None:
                        return line
    return None


def _calls(body: list[ast.stmt], names: frozenset[str] | set[str]) -> bool:
    return any(
        isinstance(node, ast.Call) and _called(node) in names
        for statement in body
        for node in ast.walk(statement)
    )


def _called(call: ast.Call) -> str | None:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return None


def _has_keyword(call: ast.Call, *names: str) -> bool:
    return any(keyword.arg in names for keyword in call.keywords)
