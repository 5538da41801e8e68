"""What autogenerate must not touch: columns of changes in flight, what is kept in quarantine, and evolve's own schema.

Without this the next developer's `alembic revision --autogenerate` drops the column that old code still uses, and makes
the half-filled one NOT NULL, in a revision about something else.
"""

from __future__ import annotations

from collections.abc import Iterable

from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import (
    AddColumnOp,
    AddConstraintOp,
    AlterColumnOp,
    CreateIndexOp,
    CreateTableOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    ModifyTableOps,
    UpgradeOps,
)
from sqlalchemy import Column
from sqlalchemy.sql.elements import ColumnElement

from evolve.plan.manifest import load_all
from evolve.plan.model import QUARANTINE
from evolve.revisions.alembic_plugin import script_directory
from evolve.sql.parse import ExpressionNotRead, expression

_SCHEMA = "evolve"
_CHECKS = "evolve_"  # of the checks that stand in for NOT NULL until it is validated


def leave_changes_alone(context: AutogenContext, upgrade: UpgradeOps) -> None:
    """Take out of `upgrade` what concerns a change in flight.

    Raises:
        BadManifest: a manifest cannot be trusted, so what is in flight is not known.
    """
    in_flight, tables = _in_flight(context)
    # Indexes of a table that comes or goes are operations of their own.
    left_alone = {
        (operation.schema, operation.table_name)
        for operation in upgrade.ops
        if isinstance(operation, CreateTableOp | DropTableOp)
        and (
            operation.schema == _SCHEMA
            or operation.table_name.startswith(QUARANTINE)
            or (operation.schema, operation.table_name) in tables
        )
    }
    kept: list[MigrateOperation] = []
    for operation in upgrade.ops:
        if (
            isinstance(operation, CreateTableOp | DropTableOp | ModifyTableOps)
            and (operation.schema, operation.table_name) in left_alone
        ):
            continue
        if isinstance(operation, ModifyTableOps):
            if operation.schema == _SCHEMA:
                continue
            columns = in_flight.get((operation.schema, operation.table_name), frozenset())
            operation.ops = [inner for inner in operation.ops if not _concerns(inner, columns)]
            if operation.is_empty():
                continue
        kept.append(operation)
    upgrade.ops = kept


# (schema as autogenerate names it, table)
Key = tuple[str | None, str]


def _in_flight(context: AutogenContext) -> tuple[dict[Key, frozenset[str]], frozenset[Key]]:
    """Columns that a change is at work on, by table, and tables that one is at work on as a whole."""
    directory = script_directory(context)
    if directory is None:
        return {}, frozenset()
    default = context.dialect.default_schema_name if context.dialect is not None else None
    found: dict[Key, frozenset[str]] = {}
    whole: set[Key] = set()
    for manifest in load_all(directory):
        if manifest.following is None:
            continue  # autogenerate wants all revisions applied, so those of the last phase are
        for table, column in manifest.plan.uses.writes:
            for schema in {table.schema, None} if table.schema == (default or "public") else {table.schema}:
                key = (schema, table.name)
                if column is None:
                    whole.add(key)
                else:
                    found[key] = found.get(key, frozenset()) | {column}
    return found, frozenset(whole)


def _concerns(operation: MigrateOperation, columns: frozenset[str]) -> bool:
    match operation:
        case AddColumnOp():
            return False  # the model's wish; a change in flight has added its column already
        case DropColumnOp(column_name=name) | AlterColumnOp(column_name=name):
            return name in columns or name.startswith(QUARANTINE)
        case CreateIndexOp():
            return _any(_names(operation.columns), columns)
        case DropIndexOp():
            return _any(_names(operation.to_index().expressions), columns)
        case DropConstraintOp(constraint_name=name) if str(name).startswith(_CHECKS):
            return True
        case DropConstraintOp():
            return _any(_names(getattr(operation.to_constraint(), "columns", ())), columns)
        case AddConstraintOp():
            return _any(_names(getattr(operation.to_constraint(), "columns", ())), columns)
        case _:
            return False


def _names(columns: Iterable[object]) -> set[str]:
    names: set[str] = set()
    for column in columns:
        if isinstance(column, str):
            names.add(column)
        elif isinstance(column, Column):
            names.add(str(column.name))
        elif isinstance(column, ColumnElement) and not hasattr(column, "text"):
            names |= {str(inner.name) for inner in column.base_columns if isinstance(inner, Column)}
        else:
            names |= _columns_in(str(getattr(column, "text", column)))
    return names


def _columns_in(text: str) -> set[str]:
    try:
        return set(expression(text).columns)
    except ExpressionNotRead:
        return set()


def _any(names: set[str], columns: frozenset[str]) -> bool:
    return any(name in columns or name.startswith(QUARANTINE) for name in names)
