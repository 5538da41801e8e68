"""What goes with a column that is dropped, and what keeps it from being dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.parse import sequences_in
from evolve.sql.replay.drops import constraint_columns
from evolve.sql.replay.indexes import index_columns
from evolve.sql.schema import Index, Schema, Table


@dataclass(frozen=True, slots=True)
class Dependents:
    """Things that serve more than the column alone, in words.

    Args:
        taken: they go without being asked for.
        asking: they go with CASCADE, and without it the statement fails.
        refusing: the column cannot be dropped at all.
        published: a publication names it, of which the rule publication-column-list tells.
    """

    taken: tuple[str, ...] = ()
    asking: tuple[str, ...] = ()
    refusing: str | None = None
    published: bool = False

    def fails(self, operation: op.DropColumn) -> bool:
        asked = bool(self.asking) or self.published
        return self.refusing is not None or (asked and not operation.cascade)


def dependents(operation: op.DropColumn, history: History) -> Dependents:
    schema, name = history.schema, operation.column
    table = schema.table(operation.table)
    if table is None or table.column(name) is None:
        return Dependents()
    if table.partition_by is not None and name in table.partition_by.keys:
        return Dependents(refusing="it is part of the partition key")
    return Dependents(
        (*_constraints(table, name), *_indexes(schema, table.name, name)),
        (
            *_views(schema, table.name, name),
            *_foreign_keys(schema, table, name),
            *_generated(table, name),
            *_defaults(schema, table.name, name),
        ),
        published=is_published(schema, table.name, name),
    )


def is_published(schema: Schema, table: QualifiedName, column: str) -> bool:
    """Whether the column list or the row filter of a publication names the column."""
    return any(
        column in (published.columns or ())
        or (published.row_filter is not None and column in published.row_filter.columns)
        for published in schema.publications_of(table)
    )


def is_there(operation: op.DropColumn, history: History) -> bool:
    """False where IF EXISTS finds nothing to drop."""
    table = history.schema.table(operation.table)
    known = table is not None and not table.implied
    return not (
        operation.if_exists and known and history.schema.column(operation.table, operation.column) is None
    )


def _constraints(table: Table, column: str) -> Iterator[str]:
    """Those over other columns as well; of a primary key the rule drop-pk-replica-identity tells."""
    for constraint in table.constraints:
        columns = constraint_columns(constraint)
        if column not in columns or len(set(columns)) == 1:
            continue
        match constraint:
            case op.Unique(name=name) | op.Exclude(name=name):
                yield f'the unique constraint "{name}" over ({", ".join(columns)})'
            case op.ForeignKey(name=name, target=target):
                yield f'the foreign key "{name}" to "{target.plain}"'
            case op.Check(name=name, expression=expression):
                yield f'the check "{name}" ({expression.sql})'
            case _:
                pass


def _indexes(schema: Schema, table: QualifiedName, column: str) -> Iterator[str]:
    indexes = list(schema.indexes_of(table))
    for index in indexes:
        columns = index_columns(index.definition)
        others = [each for each in columns if each != column]
        if column not in columns or not others or index.constraint is not None:
            continue
        if index.definition.unique or not any(_serves(other, others, column) for other in indexes):
            kind = "unique index" if index.definition.unique else "index"
            yield f'the {kind} "{index.name.plain}" over ({", ".join(columns)})'


def _serves(index: Index, columns: list[str], without: str) -> bool:
    """Whether an index that stays begins with the columns that one which goes had besides."""
    return (
        without not in index_columns(index.definition)
        and index.definition.where is None
        and list(index.definition.columns[: len(columns)]) == columns
    )


def _views(schema: Schema, table: QualifiedName, column: str) -> Iterator[str]:
    for view in schema.views.values():
        if (table, column) in view.uses:
            yield f'the {"materialized view" if view.materialized else "view"} "{view.name.plain}"'


def _foreign_keys(schema: Schema, table: Table, column: str) -> Iterator[str]:
    primary = table.primary_key.columns if table.primary_key else ()
    for other, key in schema.foreign_keys_to(table.name):
        if (
            column in (key.target_columns or primary)
            and other.name != table.name
            and other.partition_of is None
        ):
            yield f'the foreign key "{key.name}" of "{other.name.plain}"'


def _defaults(schema: Schema, table: QualifiedName, column: str) -> Iterator[str]:
    """Those that draw from the column's own sequence, which goes with it."""
    for sequence in schema.sequences_of(table, column):
        for other in schema.tables_drawing_from(sequence.name):
            for each in other.columns:
                own = other.name == table and each.name == column
                if not own and each.default is not None and sequence.name in sequences_in(each.default):
                    yield f'the default of "{other.name.plain}.{each.name}"'


def _generated(table: Table, column: str) -> Iterator[str]:
    for other in table.columns:
        if other.generation is not None and column in other.generation.columns:
            yield f'the generated column "{other.name}"'
