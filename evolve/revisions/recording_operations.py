"""Alembic's `op` while a revision is read: it notes which lines were reached and survives operations nobody knows."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Literal, TypeVar

from alembic.operations import BatchOperations, Operations, base, ops, toimpl
from alembic.operations.ops import MigrateOperation
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from evolve.revisions.client_defaults import note_client_default
from evolve.revisions.libraries import entity_statements, enum_statements
from evolve.revisions.patches import method
from evolve.revisions.recording_dbapi import Recorder
from evolve.revisions.stub_shims import despite_stubs
from evolve.revisions.stubs import Stub
from evolve.sql.steps import Mark

_Result = TypeVar("_Result")


class RecordingOperations(Operations):
    """Operations on the recording connection."""

    def __init__(self, context: MigrationContext, recorder: Recorder) -> None:
        super().__init__(context)
        self._recorder = recorder

    @property
    def recorder(self) -> Recorder:
        return self._recorder

    def __getattribute__(self, name: str) -> object:
        found: object = object.__getattribute__(self, name)
        # What Alembic asks for on its own stands on a line that was reached by the call that led there.
        if name[0] == "_" or name == "migration_context" or sys._getframe(1).f_code.co_filename in _ALEMBIC:  # noqa: SLF001  # the documented way to one's own stack
            return found
        recorder = object.__getattribute__(self, "__dict__").get("_recorder")
        if recorder is None:  # it is being made
            return found
        recorder.reach()
        return _tolerant(f"op.{name}", recorder, found) if name in _SENDING else found

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name.startswith("__"):
            raise AttributeError(name)
        self._recorder.reach()
        extension = _EXTENSIONS.get(name)
        if extension is not None:  # an installed extension has registered its own and never comes here
            return partial(extension, self)
        return _unknown(f"op.{name}", self._recorder)

    def invoke(self, operation: MigrateOperation) -> Any:  # as Alembic has it
        note_client_default(operation, self._recorder)
        return super().invoke(operation)

    @contextmanager
    def batch_alter_table(self, *args: object, **kwargs: object) -> Iterator[BatchOperations]:
        block = method(super(), "batch_alter_table")(*args, **kwargs)
        if not isinstance(block, AbstractContextManager):
            raise TypeError(block)
        with block as batch:
            batch.impl.__dict__["batch"] = _PlacedBatch(self._recorder)
            batch.__dict__["_recorder"] = self._recorder
            batch.__class__ = RecordingBatchOperations
            yield batch

    def run_async(
        self, async_function: Callable[..., Awaitable[_Result]], *args: object, **kwargs: object
    ) -> _Result:
        """Run the function at once: nothing it awaits on this connection ever waits."""
        steps = async_function(_AsyncConnection(self.get_bind()), *args, **kwargs).__await__()
        try:
            next(steps)
        except StopIteration as done:
            result: _Result = done.value
            return result
        message = "it awaits something other than its connection"
        raise RuntimeError(message)

    # -- of extensions that may be missing --------------------------------------------------------------
    def send_entity(
        self, action: Literal["create", "drop", "replace"], entity: object, cascade: bool = False
    ) -> None:
        statements = entity_statements(action, entity, cascade=cascade)
        if statements is None:
            self._recorder.remark(Mark.UNKNOWN_OPERATION, f"op.{action}_entity({entity!r})")
        for statement in statements or ():
            self.send(statement)

    def send(self, statement: str) -> None:
        self.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})


class RecordingBatchOperations(BatchOperations):
    """`batch_op`, with the same two habits."""

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("_"):
            recorder = vars(self).get("_recorder")
            if isinstance(recorder, Recorder):
                recorder.reach()
        return super().__getattribute__(name)

    def invoke(self, operation: MigrateOperation) -> Any:  # as Alembic has it
        recorder = vars(self).get("_recorder")
        if isinstance(recorder, Recorder):
            note_client_default(operation, recorder)
        return super().invoke(operation)

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _unknown(f"batch_op.{name}", vars(self)["_recorder"])


class _PlacedBatch(list[object]):
    """Alembic runs a batch when its block ends; each of its operations keeps the line that asked for it."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._lines: list[int] = []

    def append(self, item: object) -> None:
        self._lines.append(self._recorder.line_now())
        super().append(item)

    def __iter__(self) -> Iterator[object]:
        outer = self._recorder.line
        try:
            for line, item in zip(self._lines, list.__iter__(self), strict=True):
                self._recorder.line = line
                yield item
        finally:
            self._recorder.line = outer


class _AsyncConnection:
    """A connection whose coroutines end at once."""

    def __init__(self, connection: Connection) -> None:
        self.sync_connection = connection

    async def run_sync(self, function: Callable[..., object], *args: object, **kwargs: object) -> object:
        return function(self.sync_connection, *args, **kwargs)

    async def get_raw_connection(self) -> object:
        return self.sync_connection.connection

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self.sync_connection, name)
        if not callable(found) or name in ("begin", "begin_nested", "in_transaction", "get_transaction"):
            return found

        async def call(*args: object, **kwargs: object) -> object:
            result = found(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return call


def _create_entity(operations: RecordingOperations, entity: object) -> None:
    operations.send_entity("create", entity)


def _drop_entity(operations: RecordingOperations, entity: object, cascade: bool = False) -> None:
    operations.send_entity("drop", entity, cascade)


def _replace_entity(operations: RecordingOperations, entity: object) -> None:
    operations.send_entity("replace", entity)


def _sync_enum_values(
    operations: RecordingOperations,
    enum_schema: object,
    enum_name: object,
    new_values: object,
    affected_columns: object,
    enum_values_to_rename: object = (),
) -> None:
    recorder = operations.recorder
    statements = enum_statements(enum_schema, enum_name, new_values, affected_columns, enum_values_to_rename)
    if statements is None:
        recorder.remark(Mark.UNKNOWN_OPERATION, f"op.sync_enum_values({enum_schema!r}, {enum_name!r}, …)")
        return
    if isinstance(affected_columns, list | tuple) and any(
        isinstance(column, tuple) for column in affected_columns
    ):
        recorder.remark(Mark.READ_CATALOG, "op.sync_enum_values asks for the defaults of its columns")
    for statement in statements:
        operations.send(statement)


_ALEMBIC = frozenset(str(module.__file__) for module in (ops, base, toimpl))
_SENDING = frozenset(
    {
        "add_column", "alter_column", "bulk_insert", "create_check_constraint", "create_exclude_constraint",
        "create_foreign_key", "create_index", "create_primary_key", "create_table", "create_table_comment",
        "create_unique_constraint", "drop_column", "drop_constraint", "drop_index", "drop_table",
        "drop_table_comment", "execute", "rename_table",
    }
)  # fmt: skip
_EXTENSIONS: dict[str, Callable[..., None]] = {
    "create_entity": _create_entity,
    "drop_entity": _drop_entity,
    "replace_entity": _replace_entity,
    "revert_entity": _replace_entity,
    "sync_enum_values": _sync_enum_values,
}


def _tolerant(name: str, recorder: Recorder, operation: object) -> object:
    if not callable(operation):
        return operation

    def run(*args: object, **kwargs: object) -> object:
        for given in (*args, *kwargs.values()):
            if isinstance(given, Stub):
                given.use()
        if args and isinstance(args[0], Stub) and name == "op.execute":
            return None  # the statement is what is not known
        return despite_stubs(recorder, name, lambda: operation(*args, **kwargs))

    return run


def _unknown(name: str, recorder: Recorder) -> Callable[..., object]:
    def operation(*args: object, **kwargs: object) -> Stub:
        recorder.reach()
        given = [repr(arg) for arg in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
        shown = f"{name}({', '.join(given)})"
        recorder.remark(Mark.UNKNOWN_OPERATION, shown if len(shown) <= 200 else f"{shown[:199]}…")
        return Stub.named(f"{name}()")

    return operation
