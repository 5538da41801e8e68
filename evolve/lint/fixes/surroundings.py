"""What stands before a statement that is to leave the transaction, and whether it may be committed by that.

A revision that failed half way is run again from its start, so that what was committed must be something that can be
done twice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix
from evolve.lint.fixes.site import Site, acts, batch_of, flat, operation
from evolve.lint.fixes.source import Source, keyword, text_of
from evolve.sql import operations as op
from evolve.sql.parse import parse
from evolve.values import dataclass

# Operations that change no row, so that a build before them meets the same rows.
_STRUCTURAL = frozenset(
    {
        "add_column",
        "alter_column",
        "create_check_constraint",
        "create_foreign_key",
        "create_index",
        "create_table",
        "create_table_comment",
        "create_unique_constraint",
        "drop_constraint",
        "drop_index",
    }
)
_STRUCTURAL_SQL = (
    op.AddColumn,
    op.AddConstraint,
    op.CreateIndex,
    op.CreateTable,
    op.DropConstraint,
    op.DropIndex,
)
_EXTRAS = frozenset({"index", "unique", "primary_key"})
_INLINE = frozenset({"ForeignKey", "CheckConstraint", "Identity", "Sequence"})


@dataclass(frozen=True, slots=True)
class Way:
    """How the statement can leave the transaction.

    Args:
        edits: let what stands before be done twice.
        hoist: the statement has to come before this one.
        company: something else is done in the revision as well.
    """

    edits: tuple[Edit, ...] = ()
    hoist: ast.stmt | None = None
    company: bool = False


def way_out(site: Site, words: Sequence[str], *, plain: bool = True, without: ast.stmt | None = None) -> Way:
    """
    Args:
        words: names that the statement needs to be as they are: its table, its index.
        plain: it needs nothing but what `words` names.
        without: a statement that goes.

    Raises:
        CannotFix: what stands before would be committed, and could not be done again.
    """
    lasting = list(_lasting([each for each in site.before if each is not without]))
    if not lasting or site.autocommit:
        company = any(acts(each) for each in (*site.before, *site.behind) if each is not without)
        return Way(company=company)
    outermost = site.function.body[: site.outer]
    if plain and all(_stays_apart(statement, words) for statement in lasting):
        first = next(each for each in outermost if any(inner in lasting for inner in flat([each])))
        return Way(hoist=first, company=True)
    edits = [edit for statement in lasting for edit in _repeatable(site.source, statement)]
    return Way(tuple(edits), company=True)


def is_commit(statement: ast.stmt) -> bool:
    """`op.execute("COMMIT")`."""
    match _sql(statement):
        case (op.TransactionControl(action="commit"),):
            return True
        case _:
            return False


def _lasting(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Those that cannot be done a second time."""
    renewed: set[str] = set()
    for statement in flat(statements):
        if not acts(statement):
            continue
        done = _sql(statement)
        if done is not None and all(_again(operation) or _rebuilds(operation, renewed) for operation in done):
            renewed.update(each.index.name for each in done if isinstance(each, op.DropIndex))
            continue
        if not _builds(statement, renewed):
            yield statement


def _sql(statement: ast.stmt) -> tuple[op.Operation, ...] | None:
    match statement:
        case ast.Expr(value=ast.Call(args=[argument, *_]) as call) if operation(call) == "execute":
            sql = text_of(argument)
            return parse(sql) if sql is not None else None
        case _:
            return None


def _again(operation: op.Operation) -> bool:
    match operation:
        case op.SetParameter(local=False) | op.DropIndex(if_exists=True):
            return True
        case op.AddEnumValue(if_not_exists=True) | op.Reindex(concurrently=True):
            return True
        case op.RefreshMaterializedView(with_data=True):
            return True
        case op.Other(kind=kind):
            return kind in ("ANALYZE", "VACUUM", "COMMENT")
        case _:
            return False


def _rebuilds(operation: op.Operation, renewed: set[str]) -> bool:
    match operation:
        case op.CreateIndex(index, concurrently=True):
            return index.name in renewed
        case _:
            return False


def _builds(statement: ast.stmt, renewed: set[str]) -> bool:
    """An index whose leftover was dropped before; or the drop of one that may be missing, or a repeatable column."""
    match statement:
        case ast.Expr(value=ast.Call(args=[first, *_]) as call):
            pass
        case ast.With(body=[ast.Expr(value=ast.Call()), *_] as body) if batch_of(statement) is not None:
            return all(_builds(each, renewed) for each in body)
        case _:
            return False
    match operation(call):
        case "create_index":
            return _plain_name(first) in renewed and keyword(call, "postgresql_concurrently") is not None
        case "drop_index" | "drop_constraint":
            return keyword(call, "if_exists") is not None
        case "add_column":
            return keyword(call, "if_not_exists") is not None and not _brings_more(call)
        case _:
            return False


def _plain_name(node: ast.expr) -> str | None:
    """Of `"name"` and `op.f("name")`."""
    match node:
        case ast.Call(func=ast.Attribute(attr="f"), args=[inner]):
            return text_of(inner)
        case _:
            return text_of(node)


def _stays_apart(statement: ast.stmt, words: Sequence[str]) -> bool:
    """True where it changes the schema by literals alone, and none of them says one of `words`."""
    said = ast.unparse(statement)
    if any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said) for word in words):
        return False
    done = _sql(statement)
    if done is not None:
        return all(isinstance(each, _STRUCTURAL_SQL) for each in done)
    calls = [statement.value] if isinstance(statement, ast.Expr) else []
    if isinstance(statement, ast.With) and batch_of(statement) is not None:
        calls = [each.value for each in statement.body if isinstance(each, ast.Expr)]
    if not calls or not all(isinstance(c, ast.Call) and operation(c) in _STRUCTURAL for c in calls):
        return False
    # What stands for itself: literals, and calls such as sa.Column(…).
    callees = {
        id(part) for node in ast.walk(statement) if isinstance(node, ast.Call) for part in ast.walk(node.func)
    }
    return not any(
        isinstance(node, ast.Name | ast.JoinedStr)
        and id(node) not in callees
        and not _is_attribute(statement, node)
        for node in ast.walk(statement)
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Store)
    )


def _is_attribute(statement: ast.stmt, name: ast.AST) -> bool:
    """`sa.Text`, a class that is not called."""
    return any(isinstance(node, ast.Attribute) and node.value is name for node in ast.walk(statement))


def _repeatable(source: Source, statement: ast.stmt) -> Iterator[Edit]:
    match statement:
        case ast.Expr(value=ast.Call() as call) if operation(call) == "add_column" and not _brings_more(call):
            yield from source.add_keyword(call, "if_not_exists")
        case _:
            message = (
                f"what stands at line {statement.lineno} would be committed first and could not be done again after a "
                "failure: give it a revision of its own"
            )
            raise CannotFix(message)


def _brings_more(call: ast.Call) -> bool:
    """The column comes with a constraint or an index, which IF NOT EXISTS says nothing of."""
    columns = [node for node in ast.walk(call) if isinstance(node, ast.Call) and node is not call]
    named = (getattr(node.func, "attr", getattr(node.func, "id", "")) for node in columns)
    extras = (each for node in columns for each in node.keywords if each.arg in _EXTRAS)
    written_out = len(call.args) == 2 and isinstance(call.args[1], ast.Call)
    return not written_out or any(name in _INLINE for name in named) or any(extras)
