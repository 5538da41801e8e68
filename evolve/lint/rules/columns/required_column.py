"""A new column that every row must have a value for, and that the database gives none."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import quote
from evolve.sql.steps import Mark, Remark, Step


def is_required(add: op.AddColumn, history: History) -> bool:
    """True where old rows and inserts of old code are left without a value."""
    column = add.column
    if add.if_not_exists and history.schema.column(add.table, column.name) is not None:
        return False
    primary = any(isinstance(constraint, op.PrimaryKey) for constraint in column.constraints)
    domain = history.schema.domain(column.type)
    filled = (
        column.default is not None
        or column.generated
        or column.identity
        or column.serial
        or (domain is not None and domain.default is not None)
    )
    return (column.not_null or primary) and not filled


def client_default(step: Step, add: op.AddColumn, history: History) -> Remark | None:
    """What is told of the column's `default=`, which only Python knows; None where it has none."""
    name = f"{add.table}.{quote(add.column.name)}"
    told = (
        remark
        for remark in history.remarks
        if remark.mark is Mark.CLIENT_DEFAULT and remark.place == step.place
    )
    return next((remark for remark in told if remark.detail.partition(" = ")[0] == name), None)
