"""A foreign key or a CHECK → NOT VALID, and VALIDATE in a transaction of its own at the end."""

from __future__ import annotations

import ast
import re

from evolve.lint.fixes.blocks import block_at_the_end, lines_behind, lines_of
from evolve.lint.fixes.columns import column_call
from evolve.lint.fixes.concurrent_index import index_name
from evolve.lint.fixes.edits import Edit
from evolve.lint.fixes.fix import CannotFix, Fix
from evolve.lint.fixes.site import Site, acts, operation, site_at
from evolve.lint.fixes.source import Source
from evolve.lint.fixes.sql_words import not_valid, only_statement
from evolve.lint.fixes.statement import edit, is_sql, literal
from evolve.lint.model import Finding
from evolve.sql import operations as op

_UNSAID = re.compile(r"\b(?:INITIALLY|MATCH)\b", re.IGNORECASE)


def fix(finding: Finding, source: Source) -> Fix:
    """
    Raises:
        CannotFix: it is not sure.
    """
    added = only_statement(finding.sql or "")
    if isinstance(added, op.AddColumn) and _is_plain(added) and len(finding.safe) == 2:
        return _with_its_column(finding, source, added)
    if len(finding.safe) != 2 or not isinstance(added, op.AddConstraint):
        message = finding.fix or "it is added with its column, in one statement"
        raise CannotFix(message)
    constraint = added.constraint
    if not isinstance(constraint, op.ForeignKey | op.Check):
        message = "it is neither a foreign key nor a CHECK"
        raise CannotFix(message)
    site = site_at(source, finding.place.line)
    validate = lines_of(site, finding.safe[1])
    call, verb = _call(site, constraint)
    if verb == "add_column":
        edits = _apart_from_its_column(site, call, finding, constraint)
    elif verb == "execute":
        edits = tuple(edit(source, call, not_valid))
    elif verb in ("create_foreign_key", "create_check_constraint"):
        edits = tuple(source.add_keyword(call, "postgresql_not_valid"))
    else:
        message = "another operation adds it"
        raise CannotFix(message)
    kind = "foreign key" if isinstance(constraint, op.ForeignKey) else "CHECK"
    title = f"Add the {kind} NOT VALID, and validate it in a transaction of its own"
    return Fix(title, (*edits, _validation(site, validate, added.table.name, added.constraint.name)))


def _is_plain(added: op.AddColumn) -> bool:
    """The column has a CHECK and nothing else."""
    column = added.column
    return (
        not (column.not_null or column.default or column.generated or column.identity or column.serial)
        and column.collation is None
        and not added.if_not_exists
        and [type(each) for each in column.constraints] == [op.Check]
    )


def _with_its_column(finding: Finding, source: Source, added: op.AddColumn) -> Fix:
    """`ADD COLUMN … CHECK (…)` as two statements."""
    site = site_at(source, finding.place.line)
    literal(site.call)
    if site.batch is not None:
        message = "it stands in a batch"
        raise CannotFix(message)
    source.lines(site.statement)
    if "#" in source.segment(site.statement):
        message = "a comment stands in it"
        raise CannotFix(message)
    lines = lines_of(site, finding.safe[0])
    text = f"{source.newline}{source.indentation(site.statement)}".join(lines)
    replaced = Edit(source.start(site.statement), source.end(site.statement), text)
    validation = _validation(site, lines_of(site, finding.safe[1]), added.table.name, None)
    return Fix("Add the CHECK NOT VALID, and validate it in a transaction of its own", (replaced, validation))


def _call(site: Site, constraint: op.ForeignKey | op.Check) -> tuple[ast.Call, str | None]:
    if site.batch is None:
        return site.call, "execute" if is_sql(site.call) else operation(site.call)
    wanted = "create_foreign_key" if isinstance(constraint, op.ForeignKey) else "create_check_constraint"
    calls = [call for call in site.calls if operation(call) == wanted]
    named = [call for call in calls if index_name(call) == constraint.name] if constraint.name else []
    found = named or calls
    if len(found) != 1:
        message = "its batch adds several like it"
        raise CannotFix(message)
    return found[0], wanted


def _apart_from_its_column(
    site: Site, call: ast.Call, finding: Finding, constraint: op.ForeignKey | op.Check
) -> tuple[Edit, ...]:
    """A foreign key that Alembic adds after the column, in a statement of its own, as one that the revision adds."""
    if not isinstance(constraint, op.ForeignKey) or _UNSAID.search(finding.sql or ""):
        message = "it says more than op.create_foreign_key() would"
        raise CannotFix(message)
    column = column_call(call, constraint.columns[0])
    written = [
        argument
        for argument in column.args
        if isinstance(argument, ast.Call) and ast.unparse(argument.func).split(".")[-1] == "ForeignKey"
    ]
    if len(written) != 1 or len(constraint.columns) != 1:
        message = "it cannot be told which sa.ForeignKey(…) it is"
        raise CannotFix(message)
    add = lines_of(site, finding.safe[0])
    return site.source.remove_argument(column, written[0]), lines_behind(site, add)


def _validation(site: Site, validate: list[str], table_name: str, name: str | None) -> Edit:
    if site.autocommit:
        return lines_behind(site, validate)
    table = re.compile(rf"(?<!\w){re.escape(table_name)}(?!\w)")
    for later in filter(acts, site.behind):
        said = ast.unparse(later)
        if (name and name in said) or (
            "VALIDATE" not in said and "nullable=False" in said and table.search(said)
        ):
            message = f"what stands at line {later.lineno} needs it: the two are phases"
            raise CannotFix(message)
    return block_at_the_end(site, validate)
