"""What a step drops, and which releases map it: what the rules about dropping mapped things share."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.compat.models import Models
from evolve.lint.history import History
from evolve.lint.rules.columns.dropped_column import dependents, is_there
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


@dataclass(frozen=True, slots=True)
class Dropped:
    """A column or a table that models of one release at least map.

    Args:
        old: the previous release maps it; None where that is not known.
        new: the next release does.
        class_: one that maps it, of the next release where it does.
        where: which source that class was read from.
        deferred: no class of the previous release reads the column unasked.
    """

    table: QualifiedName
    column: str | None
    old: bool | None
    new: bool | None
    class_: str
    where: str
    deferred: bool

    def __str__(self) -> str:
        return f'"{self.table.plain}.{self.column}"' if self.column else f'the table "{self.table.plain}"'


def dropped(step: Step, history: History) -> Dropped | None:
    """None where nothing in use is dropped, or nothing that is mapped; a statement that fails drops nothing."""
    column: str | None
    match step.operation:
        case op.DropColumn(table, str(column)) as drop if history.column_in_use(table, column):
            if not is_there(drop, history) or dependents(drop, history).fails(drop):
                return None
            if _comes_back(history, table, column):
                return None
        case op.DropTable(table) if history.in_use(table):
            column = None
        case _:
            return None
    old, new = _maps(history.old_models, table, column), _maps(history.new_models, table, column)
    mapping = history.new_models if new else history.old_models if old else None
    if mapping is None:
        return None
    classes = [mapped for mapped in mapping.of(table) if column is None or mapped.column(column)]
    former = list(history.old_models.columns(table, column)) if history.old_models and column else []
    return Dropped(
        table,
        column,
        old,
        new,
        classes[0].class_,
        mapping.where,
        deferred=bool(former) and all(found.deferred for _, found in former),
    )


def _maps(models: Models | None, table: QualifiedName, column: str | None) -> bool | None:
    if models is None:
        return None
    return models.maps_table(table) if column is None else models.maps_column(table, column)


def _comes_back(history: History, table: QualifiedName, column: str) -> bool:
    """The revision adds a column of that name again, as another type or computed."""
    return any(
        isinstance(later.operation, op.AddColumn)
        and later.operation.table == table
        and later.operation.column.name == column
        for later in history.later()
    )
