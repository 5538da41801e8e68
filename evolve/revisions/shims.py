"""Idioms of SQLAlchemy 1.x that 2.x refuses, accepted while revisions are read: old revisions still hold them.

They only widen what is accepted; what 2.x accepts goes through unchanged.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar

import sqlalchemy
import sqlalchemy.sql
from sqlalchemy import Connection, Engine, MetaData, Row, Table, TableClause, inspect, text
from sqlalchemy.engine import CursorResult
from sqlalchemy.sql import expression
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.selectable import Join, Select

from evolve.revisions.imports import Action
from evolve.revisions.patches import Callee, Patches, method
from evolve.revisions.recording_dbapi import Recorder
from evolve.revisions.recording_dialect import is_recording
from evolve.revisions.stub_shims import accept_stub_bases, accept_stubs_in_sessions, despite_stubs
from evolve.revisions.stubs import Stub
from evolve.sql.steps import Mark


def accept_old_idioms(patches: Patches, recorder: Recorder, given: Collection[str] = ()) -> dict[str, Action]:
    """Install every shim; `patches` takes them out again.

    Args:
        given: names that `env.py` gives to the module `sqlalchemy`, in the place of its own or beside them.

    Returns:
        shims for modules that are not imported yet: to be called once they are.
    """
    _connections(patches, recorder)
    _modules(patches, given)
    _engines(patches)
    _constructs(patches)
    _metadata(patches)
    _columns(patches, recorder)
    _rows(patches, recorder)
    orm = sys.modules.get("sqlalchemy.orm")
    if orm is None:  # it takes a quarter of Alembic's own time to import, and few revisions need it
        return {"sqlalchemy.orm": lambda module: _sessions(patches, module, recorder)}
    _sessions(patches, orm, recorder)
    return {}


class _OldNames:
    """Names that SQLAlchemy no longer has, and modules of it that another import used to bring in."""

    _GONE: ClassVar[Mapping[str, str]] = {"Binary": "LargeBinary", "relation": "relationship"}

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __call__(self, name: str) -> object:
        new = self._GONE.get(name)
        if new is not None and hasattr(self._module, new):
            return getattr(self._module, new)
        submodule = f"{self._module.__name__}.{name}"
        if (
            not name.startswith("_")
            and hasattr(self._module, "__path__")
            and find_spec(submodule) is not None
        ):
            return importlib.import_module(submodule)
        message = f"module {self._module.__name__!r} has no attribute {name!r}"
        raise AttributeError(message)


def _modules(patches: Patches, given: Collection[str]) -> None:
    for name in given:
        patches.set(sqlalchemy, name, Stub.named(f"env.{name}"))
    for name in ("sqlalchemy", "sqlalchemy.types", "sqlalchemy.orm", "sqlalchemy.sql", "sqlalchemy.dialects"):
        module = sys.modules.get(name)
        if module is not None and not hasattr(module, "__getattr__"):
            patches.set(module, "__getattr__", _OldNames(module))


def _connections(patches: Patches, recorder: Recorder) -> None:
    execute = method(Connection, "execute")
    scalar = method(Connection, "scalar")
    begin = method(Connection, "begin")

    def shim(original: Callee) -> Callee:
        def run(self: Connection, statement: object, *args: object, **kwargs: object) -> object:
            options = (
                {"execution_options": kwargs.pop("execution_options")}
                if "execution_options" in kwargs
                else {}
            )
            if "parameters" in kwargs:
                args = (kwargs.pop("parameters"), *args)
            parameters = _parameters(args, kwargs)
            if isinstance(statement, Stub):
                return statement.use()  # what it would send cannot be known; what follows can
            if isinstance(statement, str):  # 1.x handed a string to the driver as it was
                result = self.exec_driver_sql(statement, parameters)  # type: ignore[arg-type]  # the revision's own
                return result if original is execute else result.scalar()
            given = () if parameters is None else (parameters,)
            return despite_stubs(recorder, "execute", lambda: original(self, statement, *given, **options))

        return run

    def joined_begin(self: Connection) -> object:
        # In 1.x a second begin() joined the transaction that was open, and its commit() waited for the outer one.
        if is_recording(self) and self.in_transaction():
            return _JoinedTransaction(self)
        return begin(self)

    patches.set(Connection, "execute", shim(execute))
    patches.set(Connection, "scalar", shim(scalar))
    patches.set(Connection, "begin", joined_begin)
    patches.set(Connection, "connect", lambda self, **_: _Branch(self))
    patches.set(Connection, "contextual_connect", lambda self, **_: _Branch(self))
    patches.set(
        Connection, "run_callable", lambda self, called, *args, **kwargs: called(self, *args, **kwargs)
    )


class _JoinedTransaction:
    """A transaction inside another: it begins and ends nothing."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_active = True

    def commit(self) -> None:
        self.is_active = False

    rollback = close = commit

    def __enter__(self) -> _JoinedTransaction:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_active = False


class _Branch:
    """What `connection.connect()` gave in 1.x: the same connection, which closing it leaves open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def close(self) -> None:
        """The connection belongs to Alembic."""

    def __enter__(self) -> Connection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        return None


def _engines(patches: Patches) -> None:
    def execute(self: Engine, statement: object, *args: object, **kwargs: object) -> object:
        # In 1.x each statement of an engine had a connection and a transaction of its own.
        with self.begin() as connection:
            return method(connection, "execute")(statement, *args, **kwargs)

    patches.set(Engine, "execute", execute)
    patches.set(Engine, "has_table", lambda self, name, schema=None: inspect(self).has_table(name, schema))
    patches.set(Engine, "table_names", lambda self, schema=None: inspect(self).get_table_names(schema))
    patches.set(Engine, "contextual_connect", lambda self, **_: self.connect())


def _sessions(patches: Patches, orm: ModuleType, recorder: Recorder) -> None:
    session = orm.Session
    initialize = method(session, "__init__")

    def shim(original: Callee) -> Callee:
        def run(self: object, statement: object, *args: object, **kwargs: object) -> object:
            if isinstance(statement, Stub):
                return statement.use()
            return original(
                self, text(statement) if isinstance(statement, str) else statement, *args, **kwargs
            )

        return run

    def init(self: object, *args: object, **kwargs: object) -> None:
        for gone in (
            "autocommit",
            "weak_identity_map",
            "enable_baked_queries",
            "_enable_transaction_accounting",
        ):
            kwargs.pop(gone, None)
        initialize(self, *args, **kwargs)

    patches.set(session, "__init__", init)
    patches.set(session, "execute", shim(method(session, "execute")))
    patches.set(session, "scalar", shim(method(session, "scalar")))
    patches.set(session, "scalars", shim(method(session, "scalars")))
    accept_stubs_in_sessions(patches, session, recorder)
    accept_stub_bases(patches, orm.Mapper)
    join = method(orm.Query, "join")

    def old_join(self: object, target: object, *props: object, **kwargs: object) -> object:
        pairs = [target, *props]
        if not all(isinstance(pair, tuple) for pair in pairs):
            return join(self, target, *props, **kwargs)
        for pair in pairs:
            self = join(self, *pair, **kwargs)  # type: ignore[misc]  # a tuple, as was just asked
        return self

    patches.set(orm.Query, "join", old_join)


def _constructs(patches: Patches) -> None:
    modern_select = method(sqlalchemy, "select")
    modern_case = method(sqlalchemy, "case")
    modern_text = method(sqlalchemy, "text")
    with_only_columns = method(Select, "with_only_columns")

    def select(*args: object, **kwargs: object) -> object:
        names = ("whereclause", "from_obj", "limit", "offset", "order_by", "group_by")
        clauses = {name: kwargs.pop(name) for name in names if name in kwargs}
        distinct = kwargs.pop("distinct", False)
        first = kwargs.pop("columns", args[0] if args else None)
        if isinstance(first, list | tuple):
            built = modern_select(*first, **kwargs)
            if len(args) > 1:
                clauses["whereclause"] = args[1]
        else:
            built = modern_select(*args, **kwargs)
        for name, value in clauses.items():
            if value is not None:
                method: Callee = getattr(
                    built, {"whereclause": "where", "from_obj": "select_from"}.get(name, name)
                )
                built = method(*value) if isinstance(value, list | tuple) else method(value)
        return _after(built, "distinct") if distinct else built

    def case(*whens: object, **kwargs: object) -> object:
        first = kwargs.pop("whens", whens[0] if len(whens) == 1 else None)
        return modern_case(*(first if isinstance(first, list | tuple) and _pairs(first) else whens), **kwargs)

    def old_text(sql: object, *_: object, bindparams: Sequence[object] = (), **__: object) -> object:
        built = modern_text(sql)
        return _after(built, "bindparams", *bindparams) if bindparams else built

    def columns(self: object, *args: object, **kwargs: object) -> object:
        first = args[0] if len(args) == 1 else None
        return with_only_columns(self, *(first if isinstance(first, list | tuple) else args), **kwargs)

    for module in (sqlalchemy, sqlalchemy.sql, expression):
        patches.set(module, "select", select)
        patches.set(module, "case", case)
        patches.set(module, "text", old_text)
    patches.set(Select, "with_only_columns", columns)
    _table_methods(patches)


def _table_methods(patches: Patches) -> None:
    def conditional(original: Callee) -> Callee:
        def build(self: object, whereclause: object = None, values: object = None, **_: object) -> object:
            built = original(self)
            if whereclause is not None:
                built = _after(built, "where", whereclause)
            return _after(built, "values", values) if values is not None else built

        return build

    insert = method(TableClause, "insert")

    def build_insert(self: object, values: object = None, inline: bool = False, **_: object) -> object:
        built = insert(self)
        built = _after(built, "values", values) if values is not None else built
        return _after(built, "inline") if inline else built

    patches.set(TableClause, "update", conditional(method(TableClause, "update")))
    patches.set(TableClause, "delete", conditional(method(TableClause, "delete")))
    patches.set(TableClause, "select", conditional(method(TableClause, "select")))
    patches.set(Join, "select", conditional(method(Join, "select")))
    patches.set(TableClause, "insert", build_insert)


def _metadata(patches: Patches) -> None:
    """`MetaData(bind=…)` and `Table(…, autoload=True)`."""
    initialize = method(MetaData, "__init__")
    initialize_table = method(Table, "__init__")
    new_table = method(Table, "__new__")

    def init(self: MetaData, *args: object, **kwargs: object) -> None:
        bind = kwargs.pop("bind", None)
        if args and isinstance(args[0], Engine | Connection):
            bind, args = args[0], args[1:]
        kwargs.pop("reflect", None)
        initialize(self, *args, **kwargs)
        self.__dict__["bind"] = bind

    def bound(original: Callee) -> Callee:
        def run(self: MetaData, bind: object = None, *args: object, **kwargs: object) -> object:
            return original(self, bind if bind is not None else self.__dict__.get("bind"), *args, **kwargs)

        return run

    def loaded(kwargs: dict[str, object], args: Sequence[object]) -> dict[str, object]:
        if "autoload" not in kwargs and "mustexist" not in kwargs:
            return kwargs  # as nearly every table is made
        autoload = kwargs.pop("autoload", False)
        kwargs.pop("mustexist", None)
        holder = next((item for item in args if isinstance(item, MetaData)), None)
        if autoload and kwargs.get("autoload_with") is None and holder is not None:
            kwargs["autoload_with"] = holder.__dict__.get("bind")
        return kwargs

    def make(cls: type[Table], *args: object, **kwargs: object) -> object:
        return new_table(cls, *args, **loaded(kwargs, args))

    def init_table(self: Table, *args: object, **kwargs: object) -> None:
        initialize_table(self, *args, **loaded(kwargs, args))

    patches.set(MetaData, "__init__", init)
    for name in ("create_all", "drop_all", "reflect"):
        patches.set(MetaData, name, bound(method(MetaData, name)))
    patches.set(Table, "__new__", make)
    patches.set(Table, "__init__", init_table)


def _columns(patches: Patches, recorder: Recorder) -> None:
    """A table that the history does not make may have columns that nobody knows here: tried when all else failed."""
    found = method(ReadOnlyColumnCollection, "__getattr__")
    item = method(ReadOnlyColumnCollection, "__getitem__")

    def supposed(original: Callee, error: type[Exception]) -> Callee:
        def get(self: object, name: object) -> object:
            try:
                return original(self, name)
            except error:
                if recorder.made_up is None or not isinstance(name, str) or name.startswith("_"):
                    raise
                recorder.remark(Mark.READ_CATALOG, f"column {name} of a table that the history does not make")
                return sqlalchemy.column(name)

        return get

    patches.set(ReadOnlyColumnCollection, "__getattr__", supposed(found, AttributeError))
    patches.set(ReadOnlyColumnCollection, "__getitem__", supposed(item, KeyError))


def _rows(patches: Patches, recorder: Recorder) -> None:
    """A revision that looks at `rowcount` decides by rows, and there are none."""
    described = vars(CursorResult)["rowcount"]
    read: Callee = described.fget

    def rowcount(self: object) -> object:
        if recorder.file is not None and sys._getframe(1).f_code.co_filename == str(recorder.file):  # noqa: SLF001
            recorder.remark(Mark.READ_ROWS, "rowcount")
        return read(self)

    patches.set(CursorResult, "rowcount", property(rowcount))
    item = method(Row, "__getitem__")

    def by_name(self: Row[Any], key: object) -> object:
        return self._mapping[key] if isinstance(key, str) else item(self, key)

    patches.set(Row, "__getitem__", by_name)
    patches.set(CursorResult, "next", method(CursorResult, "__next__"))  # its name in 1.x


def _parameters(args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
    """Parameters as 2.x takes them: one mapping, one sequence, or a list of them."""
    if kwargs:
        return dict(kwargs)
    if not args:
        return None
    if len(args) == 1:
        only = args[0]
        return only if only is None or isinstance(only, Mapping | list | tuple) else (only,)
    return list(args) if all(isinstance(arg, Mapping | list | tuple) for arg in args) else tuple(args)


def _after(built: object, name: str, *args: object) -> object:
    """The construct that a generative method makes of `built`."""
    return method(built, name)(*args)


def _pairs(whens: Sequence[object]) -> bool:
    """A list of whens as 1.x took it, not one when of 2.x."""
    return all(isinstance(when, tuple) for when in whens)
