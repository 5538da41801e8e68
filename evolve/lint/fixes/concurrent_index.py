"""`CREATE INDEX` → CONCURRENTLY in an autocommit block."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from evolve.lint import alembic_code as code
from evolve.lint.fixes.blocks import block_behind, lines_of, step_out
from evolve.lint.fixes.columns import column_call
from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import Site, operation, site_at
from evolve.lint.fixes.source import Source, keyword, text_of
from evolve.lint.fixes.sql_words import concurrently, only_statement
from evolve.lint.fixes.statement import edit, is_sql
from evolve.lint.fixes.surroundings import Way, way_out
from evolve.lint.model import Finding
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName

_BUILD, _DROP = "create_index", "drop_index"


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    if len(finding.safe) != 1 or "concurrently" not in finding.safe[0].lower():
        message = "its table is partitioned: the index is built on each partition, in revisions of their own"
        raise CannotFix(message)
    built = only_statement(finding.sql or "")
    if not isinstance(built, op.CreateIndex):
        message = "what the server gets is no plain CREATE INDEX"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    title = "Build the index concurrently"
    if site.batch is not None:
        return Fix(title, batch(site, built.table.schema))
    if operation(site.call) == "add_column":
        return Fix(title, _with_a_column(site, built))
    if is_sql(site.call):
        edits = edit(source, site.call, concurrently)
    elif operation(site.call) == _BUILD:
        edits = list(source.add_keyword(site.call, "postgresql_concurrently"))
        if (given := keyword(site.call, "if_not_exists")) is not None:
            edits.append(source.remove_argument(site.call, given))
    else:
        message = "another operation makes the index"
        raise CannotFix(message)
    way = _way(site, built)
    renewed = way.company or built.if_not_exists
    return Fix(title, step_out(site, way, edits=edits, first=_leftover(site, built) if renewed else ()))


def batch(site: Site, schema: str) -> tuple[Edit, ...]:
    """Of a batch that makes and drops indexes and does nothing else."""
    names = {call: text for call in site.calls if (text := index_name(call)) is not None}
    if not all(operation(call) in (_BUILD, _DROP) for call in site.calls) or len(names) != len(site.calls):
        message = "its batch does more than make and drop indexes: give the index a revision of its own"
        raise CannotFix(message)
    way = way_out(site, (site.batch or "", *names.values()))
    several = way.company or len(site.calls) > 1
    edits = [each for call in site.calls for each in site.source.add_keyword(call, "postgresql_concurrently")]
    first: list[str] = []
    if several:
        for call, name in names.items():
            if operation(call) == _BUILD:
                first += lines_of(site, drop_if_exists(QualifiedName(name, schema)))
            else:
                edits += site.source.add_keyword(call, "if_exists")
    return step_out(site, way, edits=edits, first=first)


def index_name(call: ast.Call) -> str | None:
    """Of `"name"` and `op.f("name")`, its first argument."""
    match call.args:
        case [ast.Call(func=ast.Attribute(attr="f"), args=[inner]), *_]:
            return text_of(inner)
        case [first, *_]:
            return text_of(first)
        case _:
            return None


def drop_if_exists(index: QualifiedName) -> str:
    return code.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")


def build(index: op.IndexDefinition, name: str) -> Sequence[str]:
    """The call, without the block that `alembic_code` puts it in."""
    return [line[4:] for line in code.create_index_concurrently(index, name).splitlines()[1:]]


def _way(site: Site, built: op.CreateIndex) -> Way:
    plain = all(key.column and not key.opclass for key in built.index.keys) and built.index.where is None
    way = way_out(
        site,
        (built.table.name, built.index.name or built.table.name),
        # Rows that are duplicates when it is built may be none when it stands.
        plain=plain and built.index.method == "btree",
    )
    if way.company and built.index.name is None:
        message = "the index has no name by which what a failed build leaves behind could be dropped"
        raise CannotFix(message)
    return way


def _leftover(site: Site, built: op.CreateIndex) -> list[str]:
    name = built.index.name
    return lines_of(site, drop_if_exists(QualifiedName(name, built.table.schema))) if name else []


def _with_a_column(site: Site, built: op.CreateIndex) -> tuple[Edit, ...]:
    """`sa.Column(index=True)`: the column first, and as one that may be there already."""
    column = column_call(site.call, next((key.column for key in built.index.keys if key.column), ""))
    given = keyword(column, "index")
    others = [each for each in column.keywords if each.arg == "unique"]
    name = built.index.name
    if given is None or name is None or len(built.index.keys) != 1:
        message = "it cannot be told where the index comes from"
        raise CannotFix(message)
    if any(isinstance(node, ast.Call) and "ForeignKey" in ast.unparse(node.func) for node in column.args):
        message = "the column comes with a foreign key, which is to be added first"
        raise CannotFix(message)
    way = way_out(site, (), plain=False)
    lines = [*_leftover(site, built), *lines_of(site, "\n".join(build(built.index, name)))]
    return (
        *way.edits,
        *site.source.add_keyword(site.call, "if_not_exists"),
        *(site.source.remove_argument(column, each) for each in (given, *others)),
        block_behind(site, lines),
    )
