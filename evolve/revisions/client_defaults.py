"""Defaults of new columns that SQLAlchemy applies itself: no statement tells of them."""

from __future__ import annotations

from enum import Enum

from alembic.operations.ops import AddColumnOp, MigrateOperation

from evolve.revisions.recording_dbapi import Recorder
from evolve.sql.names import QualifiedName, literal, quote
from evolve.sql.steps import Mark


def note_client_default(operation: MigrateOperation, recorder: Recorder) -> None:
    """Remark `schema.table.column = value` where `operation` adds a column with `default=` and no `server_default=`.

    The value is left out where SQL has no literal for it, as for a function.
    """
    if not isinstance(operation, AddColumnOp):
        return
    column = operation.column
    if column.default is None or column.server_default is not None:
        return
    table = QualifiedName(operation.table_name, operation.schema or "public")
    value = _literal(getattr(column.default, "arg", None))
    told = f" = {value}" if value is not None else ""
    recorder.remark(Mark.CLIENT_DEFAULT, f"{table}.{quote(column.name)}{told}")


def _literal(value: object) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return literal(value.name)  # what sa.Enum stores
        case str():
            return literal(value)
        case int() | float():
            return str(value)
        case _:
            return None
