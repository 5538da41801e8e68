"""Where in `upgrade()` or `downgrade()` the statement of a finding is sent, as far as its source tells for certain."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from evolve.lint.fixes.fix import CannotFix
from evolve.lint.fixes.source import Source, text_of
from evolve.values import dataclass

_DIRECTIONS = ("upgrade", "downgrade")


@dataclass(frozen=True, slots=True)
class Site:
    """
    Args:
        body: the statements among which `statement` stands, at `index`: those of the function, or of the autocommit
            block that it is in.
        statement: one call, or a `with op.batch_alter_table(…)`.
        calls: the call of it, or all those in the batch.
        module: the name under which the file knows `alembic.op`.
        outer: the place of `statement`, or of the autocommit block round it, among the statements of the function.
        batch: the table that a batch is about.
    """

    source: Source
    function: ast.FunctionDef
    outer: int
    body: Sequence[ast.stmt]
    index: int
    calls: tuple[ast.Call, ...]
    module: str
    autocommit: bool
    batch: str | None

    @property
    def statement(self) -> ast.stmt:
        return self.body[self.index]

    @property
    def call(self) -> ast.Call:
        """
        Raises:
            CannotFix: there are several.
        """
        if len(self.calls) != 1:
            message = "its batch does several things"
            raise CannotFix(message)
        return self.calls[0]

    @property
    def before(self) -> Sequence[ast.stmt]:
        """All that the function does before, outermost statements first those of the function."""
        inside = self.body[: self.index] if self.autocommit else ()
        return (*self.function.body[: self.outer], *inside)

    @property
    def behind(self) -> Sequence[ast.stmt]:
        inside = self.body[self.index + 1 :] if self.autocommit else ()
        return (*inside, *self.function.body[self.outer + 1 :])


def site_at(source: Source, line: int) -> Site:
    """
    Raises:
        CannotFix: it cannot be told which call sends the statement, or how often it runs.
    """
    function = next(
        (
            node
            for node in source.tree.body
            if isinstance(node, ast.FunctionDef)
            and node.name in _DIRECTIONS
            and node.lineno <= line <= (node.end_lineno or 0)
        ),
        None,
    )
    if function is None:
        message = "it is sent from outside upgrade() and downgrade()"
        raise CannotFix(message)
    outer = _index_at(function.body, line)
    statement, body, index, autocommit = function.body[outer], function.body, outer, False
    if is_autocommit(statement) and isinstance(statement, ast.With):
        body, autocommit = statement.body, True
        index = _index_at(body, line)
        statement = body[index]
    calls, module, batch = _calls(statement)
    if module not in source.modules and module not in _arguments(function):
        message = "it is no plain call of op"
        raise CannotFix(message)
    return Site(source, function, outer, body, index, calls, module, autocommit, batch)


def acts(statement: ast.stmt) -> bool:
    """Whether a statement does more than explain or bind a name."""
    match statement:
        case ast.Pass() | ast.Import() | ast.ImportFrom():
            return False
        case ast.Expr(value=ast.Constant()):
            return False
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return not _is_harmless(value)
        case _:
            return True


def is_autocommit(statement: ast.stmt) -> bool:
    match statement:
        case ast.With(
            items=[ast.withitem(context_expr=ast.Call(func=ast.Attribute(attr="autocommit_block")))]
        ):
            return True
        case _:
            return False


def operation(call: ast.Call) -> str | None:
    """The method of `op`, or of a batch: "create_index"."""
    match call.func:
        case ast.Attribute(value=ast.Name(), attr=name):
            return name
        case _:
            return None


def flat(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """With the statements of autocommit blocks in their place."""
    for statement in statements:
        if is_autocommit(statement) and isinstance(statement, ast.With):
            yield from flat(statement.body)
        else:
            yield statement


def batch_of(statement: ast.stmt) -> tuple[str, str, str] | None:
    """The module's name, the batch's, and the table of `with op.batch_alter_table("table") as batch:`."""
    match statement:
        case ast.With(
            items=[
                ast.withitem(
                    context_expr=ast.Call(
                        func=ast.Attribute(value=ast.Name(id=module), attr="batch_alter_table"),
                        args=[table, *_],
                    ),
                    optional_vars=ast.Name(id=name),
                )
            ]
        ) if (plain := text_of(table)) is not None:
            return module, name, plain
        case _:
            return None


def _arguments(function: ast.FunctionDef) -> frozenset[str]:
    """`def upgrade(op):`, which `env.py` may give it."""
    return frozenset(each.arg for each in function.args.args if each.arg == "op")


def _index_at(body: Sequence[ast.stmt], line: int) -> int:
    found = [
        index
        for index, statement in enumerate(body)
        if statement.lineno <= line <= (statement.end_lineno or statement.lineno)
    ]
    if len(found) != 1:
        message = "several statements share its line" if found else "no statement of its own sends it"
        raise CannotFix(message)
    return found[0]


def _calls(statement: ast.stmt) -> tuple[tuple[ast.Call, ...], str, str | None]:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=module))) as call):
            return (call,), module, None
        case ast.With(body=body) if (batch := batch_of(statement)) is not None:
            module, name, table = batch
            calls = tuple(call for each in body for call in _of_batch(each, name))
            return calls, module, table
        case ast.For() | ast.While() | ast.AsyncFor():
            message = "it stands in a loop"
        case ast.If() | ast.Try() | ast.Match():
            message = "it is sent under a condition"
        case _:
            message = "it is no plain call of op"
    raise CannotFix(message)


def _of_batch(statement: ast.stmt, name: str) -> Iterator[ast.Call]:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=found))) as call) if found == name:
            yield call
        case ast.Pass():
            return
        case _:
            message = "its batch does more than call operations"
            raise CannotFix(message)


def _is_harmless(value: ast.expr) -> bool:
    """Nothing is sent: `op.get_bind()`, or no call at all."""
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(), attr="get_bind"), args=[], keywords=[]):
            return True
        case _:
            return not any(isinstance(node, ast.Call | ast.Await) for node in ast.walk(value))
