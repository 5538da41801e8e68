"""SQLAlchemy's PostgreSQL dialect on the recording driver: it compiles as psycopg does and asks no server anything.

Whoever asks about the schema, the Inspector for one, is answered by a `Reflection`, or as an empty database would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Literal

from sqlalchemy import Connection, Dialect, Engine, Enum, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGTypeCompiler
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, PGIdentifierPreparer_psycopg
from sqlalchemy.pool import NullPool

from evolve.revisions import recording_dbapi
from evolve.revisions.answers import SERVER_VERSION
from evolve.revisions.catalog_answers import CatalogAnswers
from evolve.revisions.literals import JsonValue, MultirangeValue, RangeValue
from evolve.revisions.patches import method
from evolve.revisions.recording_dbapi import Account, Recorder, RecordingConnection, RecordingCursor
from evolve.revisions.reflection import Reflection
from evolve.sql.steps import Mark


def _foreign(dialect: Dialect, name: str) -> str:
    """Write a type as it stands in the revision where PostgreSQL has none such, and mark it."""
    if isinstance(dialect, RecordingDialect):
        dialect.recorder.remark(
            Mark.UNKNOWN_OPERATION, f"a column of type {name}, which PostgreSQL does not have"
        )
    return name


class RecordingTypeCompiler(PGTypeCompiler):
    def visit_unsupported_compilation(self, element: object, err: Exception, **kw: object) -> str:  # type: ignore[override]  # the base only raises
        del err, kw
        return _foreign(self.dialect, str(getattr(element, "__visit_name__", type(element).__name__)).upper())


class RecordingIdentifierPreparer(PGIdentifierPreparer_psycopg):
    def format_type(self, type_: Enum, use_schema: bool = True) -> str:
        if not type_.name:
            _foreign(self.dialect, "ENUM without a name")
            labels = "_".join(str(value) for value in type_.enums)  # one name for what is the same type
            return self.quote(f"enum_of_{labels}"[:63])
        return str(method(super(), "format_type")(type_, use_schema))


class RecordingDialect(CatalogAnswers, PGDialect_psycopg):  # type: ignore[misc]  # its answers have plainer types
    """`recorder` and `reflection` are set by `recording_engine` before the first connection."""

    driver = "evolve_recording"
    type_compiler_cls = RecordingTypeCompiler
    preparer = RecordingIdentifierPreparer
    supports_statement_cache = True
    # Rows are counted as 0, and rows to insert go one statement each, so that keys need no sorting out.
    supports_sane_rowcount = False
    supports_sane_multi_rowcount = False
    use_insertmanyvalues = False
    insert_executemany_returning = True  # pyright: ignore[reportAssignmentType]  # the base computes it
    insert_executemany_returning_sort_by_parameter_order = True  # pyright: ignore[reportAssignmentType]  # likewise

    def __init__(self, **options: object) -> None:
        # Past PGDialect_psycopg, whose own __init__ imports psycopg to make a map of adapters.
        initialize: Callable[..., None] = super(PGDialect_psycopg, self).__init__
        initialize(use_native_hstore=False, **options)

    # -- no server --------------------------------------------------------------------------------------
    @classmethod
    def import_dbapi(cls) -> ModuleType:  # pyright: ignore[reportIncompatibleMethodOverride]  # ours, not psycopg
        return recording_dbapi

    def initialize(self, connection: object) -> None:
        del connection
        self.server_version_info = (SERVER_VERSION, 0)
        self.default_schema_name = "public"
        self.default_isolation_level = "READ COMMITTED"
        self._backslash_escapes = False
        self.supports_smallserial = True
        self.supports_identity_columns = True
        self._supports_jsonb_subscripting = True
        self.supports_virtual_generated_columns = False

    def on_connect(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # nothing to set up
        return None

    def set_connection_execution_options(self, connection: Connection, opts: Mapping[str, object]) -> None:
        level = opts.get("isolation_level")
        driver = connection.connection.driver_connection if level and connection.in_transaction() else None
        if isinstance(driver, RecordingConnection):
            # 1.x told the driver at once, whatever was open.
            self.recorder.remark(
                Mark.UNKNOWN_OPERATION,
                "a new isolation level inside a transaction, which SQLAlchemy 2 refuses",
            )
            driver.set_isolation_level(0 if level == "AUTOCOMMIT" else None)
            opts = {name: value for name, value in opts.items() if name != "isolation_level"}
        super().set_connection_execution_options(connection, opts)

    def get_isolation_level(self, dbapi_connection: object) -> Literal["READ COMMITTED"]:
        del dbapi_connection
        return "READ COMMITTED"

    def _type_info_fetch(self, connection: object, name: str) -> None:
        del connection, name

    # Properties of the dialect that would import psycopg for its wrappers of values.
    _psycopg_Json = JsonValue  # pyright: ignore[reportAssignmentType, reportIncompatibleVariableOverride]
    _psycopg_Jsonb = JsonValue  # pyright: ignore[reportAssignmentType, reportIncompatibleVariableOverride]
    _psycopg_Range = RangeValue  # pyright: ignore[reportAssignmentType, reportIncompatibleVariableOverride]
    _psycopg_Multirange = MultirangeValue  # pyright: ignore[reportAssignmentType, reportIncompatibleVariableOverride]

    # -- statements -------------------------------------------------------------------------------------
    def do_execute(  # type: ignore[override]  # the engine has one kind of cursor
        self, cursor: RecordingCursor, statement: str, parameters: object, context: object = None
    ) -> None:
        cursor.execute(statement, parameters, columns=_result_columns(context))

    def do_executemany(  # type: ignore[override]  # the engine has one kind of cursor
        self, cursor: RecordingCursor, statement: str, parameters: Iterable[object], context: object = None
    ) -> None:
        cursor.executemany(statement, parameters, columns=_result_columns(context))

    def do_execute_no_params(  # type: ignore[override]  # the engine has one kind of cursor
        self, cursor: RecordingCursor, statement: str, context: object = None
    ) -> None:
        cursor.execute(statement, None, columns=_result_columns(context))


def recording_engine(
    recorder: Recorder,
    account: Account,
    reflection: Reflection | None,
    resume: Callable[[], int | None] = lambda: None,
) -> Engine:
    """An engine whose every connection is a `RecordingConnection`; `resume` is asked at each new one."""
    registry.register("postgresql.evolve_recording", __name__, RecordingDialect.__name__)
    engine = create_engine(
        "postgresql+evolve_recording:///recorded",
        creator=lambda: RecordingConnection(recorder, account, resume()),
        poolclass=NullPool,
    )
    dialect: Dialect = engine.dialect
    if isinstance(dialect, RecordingDialect):
        dialect.recorder = recorder
        dialect.reflection = reflection
    return engine


def is_recording(connection: Connection) -> bool:
    return isinstance(connection.dialect, RecordingDialect)


def _result_columns(context: object) -> tuple[str, ...] | None:
    """Names of the columns that SQLAlchemy expects of a compiled statement."""
    compiled = getattr(context, "compiled", None)
    columns = getattr(compiled, "_result_columns", None)
    return tuple(str(column[0]) for column in columns) if columns else None
