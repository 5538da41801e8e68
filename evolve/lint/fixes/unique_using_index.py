"""`ADD UNIQUE` and `ADD PRIMARY KEY` → an index built concurrently first, which the constraint takes over."""

from __future__ import annotations

import ast

from evolve.lint.fixes.blocks import block_behind, lines_behind, lines_of, step_out
from evolve.lint.fixes.columns import column_call
from evolve.lint.fixes.concurrent_index import drop_if_exists
from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import Site, operation, site_at
from evolve.lint.fixes.source import Source, keyword
from evolve.lint.fixes.sql_words import only_statement
from evolve.lint.fixes.statement import is_sql
from evolve.lint.fixes.surroundings import way_out
from evolve.lint.model import Finding
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse

_CALLS = ("create_unique_constraint", "create_primary_key")


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    added = only_statement(finding.sql or "")
    if not isinstance(added, op.AddConstraint) or len(finding.safe) != 2:
        message = (
            "its columns are to be proven NOT NULL first: evolve plan set-not-null"
            if len(finding.safe) > 2
            else "it is part of another statement, or its table is partitioned"
        )
        raise CannotFix(message)
    if any(word in (finding.sql or "").upper() for word in ("DEFERRABLE", "WITH (", "TABLESPACE")):
        message = "it says more than USING INDEX would"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    if site.batch is not None:
        message = "it stands in a batch"
        raise CannotFix(message)
    block, use = finding.safe
    build = [line[4:] for line in block.splitlines()[1:]]
    name = _name_taken_over(use)
    first = lines_of(site, drop_if_exists(QualifiedName(name, added.table.schema)))
    lines = [*first, *lines_of(site, "\n".join(build))]
    title = "Build the index concurrently, and let the constraint take it over"
    if operation(site.call) == "add_column":
        return Fix(title, _with_a_column(site, added, lines, lines_of(site, use)))
    if not (is_sql(site.call) or operation(site.call) in _CALLS):
        message = "another operation adds it"
        raise CannotFix(message)
    if site.autocommit:
        message = "it stands in an autocommit block already"
        raise CannotFix(message)
    way = way_out(site, (added.table.name, name))
    return Fix(title, step_out(site, way, instead=lines, stays=lines_of(site, use)))


def _name_taken_over(use: str) -> str:
    """Of the index that stands in `op.execute("ALTER TABLE … USING INDEX …")`."""
    match ast.parse(use).body:
        case [ast.Expr(value=ast.Call(args=[ast.Constant(value=str(sql))]))]:
            match parse(sql):
                case (
                    op.AddConstraint(
                        constraint=op.Unique(using_index=str(name)) | op.PrimaryKey(using_index=str(name))
                    ),
                ):
                    return name
                case _:
                    pass
        case _:
            pass
    message = "the name of its index is not known"
    raise CannotFix(message)


def _with_a_column(site: Site, added: op.AddConstraint, lines: list[str], use: list[str]) -> tuple[Edit, ...]:
    """`sa.Column(unique=True)`: the column first, and as one that may be there already."""
    constraint = added.constraint
    if not isinstance(constraint, op.Unique) or len(constraint.columns) != 1:
        message = "it cannot be told where it comes from"
        raise CannotFix(message)
    column = column_call(site.call, constraint.columns[0])
    given = keyword(column, "unique")
    if given is None or keyword(column, "index") is not None or "ForeignKey" in ast.unparse(column):
        message = "the column comes with more than that, which is to be added first"
        raise CannotFix(message)
    way = way_out(site, (), plain=False)
    behind = block_behind(site, lines)
    after = lines_behind(site, use)
    return (
        *way.edits,
        *site.source.add_keyword(site.call, "if_not_exists"),
        site.source.remove_argument(column, given),
        Edit(behind.start, behind.end, behind.text + after.text.removeprefix(site.source.newline)),
    )
