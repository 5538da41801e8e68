"""EV643: a column that a publication names is dropped or changes its type."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import quote
from evolve.sql.schema import Published
from evolve.sql.steps import Step


class PublicationColumnList(Rule):
    id = "EV643"
    name = "publication-column-list"
    severity = Severity.ERROR
    looks_at = (op.DropColumn, op.AlterColumnType)
    fails = True
    why = (
        "PostgreSQL refuses to change a column that a publication's column list or row filter names; with CASCADE the "
        "whole table leaves the publication, and its subscribers get nothing more"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropColumn(table, column) | op.AlterColumnType(table, column):
                pass
            case _:
                return
        cascades = isinstance(step.operation, op.DropColumn) and step.operation.cascade
        for published in history.schema.publications_of(table):
            if not _names(published, column):
                continue
            left = tuple(each for each in published.columns or () if each != column)
            plain = published.row_filter is None and left and isinstance(step.operation, op.DropColumn)
            listed = ", ".join(map(quote, left))
            reset = f"ALTER PUBLICATION {quote(published.publication)} SET TABLE {table} ({listed})"
            alone = sum(1 for other in history.schema.tables.values() if published in other.published) == 1
            yield self.finding(
                step,
                f'"{table.plain}" leaves publication "{published.publication}" with "{column}"'
                if cascades
                else f'publication "{published.publication}" names "{table.plain}.{column}", so this is refused',
                fails=not cascades,
                fix=f"take the column out of the publication first: {code.execute(reset)}"
                if plain and alone
                else "take the column out of the publication first: ALTER PUBLICATION … SET TABLE",
            )


def _names(published: Published, column: str) -> bool:
    filtered = published.row_filter is not None and column in published.row_filter.columns
    return filtered or column in (published.columns or ())
