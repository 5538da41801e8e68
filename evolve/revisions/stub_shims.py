"""Lets SQLAlchemy take stubs for what they stand for: a missing module costs what it is used for and no more."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from typing import Any

import sqlalchemy
import sqlalchemy.inspection
import sqlalchemy.sql
from sqlalchemy import DefaultClause, Engine, Enum, MetaData, Table, inspect
from sqlalchemy.sql import expression
from sqlalchemy.sql.schema import SchemaItem

from evolve.revisions.patches import Callee, Patches, method
from evolve.revisions.recording_dbapi import Recorder
from evolve.revisions.stubs import PlainStubBase, Stub
from evolve.sql.steps import Mark


def accept_stubs(patches: Patches, engine: Engine) -> None:
    """Install; `patches` takes it out again. Whatever a stub stands for is noted as used.

    Args:
        engine: what a stub is taken for where an engine or a connection is inspected.
    """
    _schema_items(patches)
    _enums(patches)
    _statements(patches)
    _plain_values(patches)
    registrars = sqlalchemy.inspection._registrars  # noqa: SLF001  # SQLAlchemy's own registration refuses a second time
    patches.item(registrars, Stub, lambda stub: inspect(_used(stub, engine)))


def accept_stubs_in_sessions(patches: Patches, session: type, recorder: Recorder) -> None:
    """The same for the ORM's sessions, once it is imported. Where rows are made up, a query of a stub has some, too."""

    def query(original: Callee) -> Callee:
        def run(self: object, *entities: object, **kwargs: object) -> object:
            unknown = _unknown(entities)
            if unknown is None:
                return original(self, *entities, **kwargs)
            found = unknown.use()
            return found if recorder.made_up is None else recorder.made_up(unknown.last_name)

        return run

    def store(original: Callee) -> Callee:
        def run(self: object, instance: object, *args: object, **kwargs: object) -> object:
            found = instance if isinstance(instance, list | tuple) else (instance,)
            # A stub is false, so that `or` would not do.
            unknown = _unknown([*found, *(type(item) for item in found)])
            return unknown.use() if unknown is not None else original(self, instance, *args, **kwargs)

        return run

    patches.set(session, "query", query(method(session, "query")))
    for name in ("get", "bulk_insert_mappings", "bulk_update_mappings"):
        patches.set(session, name, query(method(session, name)))
    for name in ("add", "add_all", "delete", "merge", "refresh", "bulk_save_objects"):
        patches.set(session, name, store(method(session, name)))


def despite_stubs(recorder: Recorder, name: str, call: Callable[[], object]) -> object:
    """What `call` returns, or a stub where it fails in a revision that uses stubs; what it would send is not known."""
    try:
        return call()
    except Exception as error:
        if not recorder.uses_stubs:
            raise
        said = " ".join(str(error).split())[:150]
        recorder.remark(Mark.UNKNOWN_OPERATION, f"{name}() with a stand-in fails: {said}")
        return Stub.named(f"{name}()")


def _used(stub: Stub, engine: Engine) -> Engine:
    stub.use()
    return engine


def _unknown(things: object) -> Stub | None:
    """The first stub among `things`; a class below a base that is missing is mapped nowhere and counts, too."""
    for thing in things if isinstance(things, list | tuple) else ():
        if isinstance(thing, Stub):
            return thing
        if isinstance(thing, type) and issubclass(thing, PlainStubBase) and not hasattr(thing, "__mapper__"):
            return Stub.named(f"{thing.__module__}.{thing.__name__}")
    return None


def _schema_items(patches: Patches) -> None:
    default = method(DefaultClause, "__init__")
    items = method(SchemaItem, "_init_items")
    new_table = method(Table, "__new__")
    somewhere = MetaData()

    def init_default(self: object, arg: object, *args: object, **kwargs: object) -> None:
        default(self, str(arg) if isinstance(arg, Stub) else arg, *args, **kwargs)

    def init_items(self: object, *args: object, **kwargs: object) -> None:
        stubs = [arg for arg in args if isinstance(arg, Stub)]
        for stub in stubs:
            stub.use()
        known = [arg for arg in args if not isinstance(arg, Stub)] if stubs else args
        items(self, *known, **kwargs)

    def make(cls: type[Table], *args: object, **kwargs: object) -> object:
        known = [_somewhere(arg, somewhere) if place == 1 else arg for place, arg in enumerate(args)]
        if known and isinstance(known[0], Stub):
            known[0] = str(known[0])
        if isinstance(kwargs.get("schema"), Stub):
            kwargs["schema"] = str(kwargs["schema"])
        return new_table(cls, *known, **kwargs)

    patches.set(DefaultClause, "__init__", init_default)
    patches.set(SchemaItem, "_init_items", init_items)
    patches.set(Table, "__new__", make)


def _plain_values(patches: Patches) -> None:
    """Modules of the standard library that look into what they are given."""
    encode = method(json.JSONEncoder, "encode")
    as_dictionary = method(dataclasses, "asdict")

    def asdict(instance: object, **kwargs: object) -> object:
        return instance.use() if isinstance(instance, Stub) else as_dictionary(instance, **kwargs)

    level = method(logging, "_checkLevel")
    patches.set(logging, "_checkLevel", lambda given: 0 if isinstance(given, Stub) else level(given))
    patches.set(json.JSONEncoder, "encode", lambda self, value: encode(self, _plain(value)))
    patches.set(dataclasses, "asdict", asdict)


def _plain(value: object) -> object:
    """The value with the text of a stub in place of each stub, as far as lists and dictionaries go."""
    if isinstance(value, Stub):
        return str(value)
    if type(value) is dict:
        return {str(key) if isinstance(key, Stub) else key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item) for item in value]  # type: ignore[attr-defined]  # one of the two
    return value


def accept_stub_bases(patches: Patches, mapper: type) -> None:
    """A mapped class whose missing base would have brought its primary key has all its columns for one."""
    configure = method(mapper, "_configure_pks")

    def run(self: Any, *args: object, **kwargs: object) -> None:
        if not self.persist_selectable.primary_key and issubclass(self.class_, PlainStubBase):
            self._primary_key_argument = list(self.persist_selectable.columns)
        configure(self, *args, **kwargs)

    patches.set(mapper, "_configure_pks", run)


def _somewhere(metadata: object, other: MetaData) -> object:
    if not isinstance(metadata, Stub):
        return metadata
    metadata.use()
    other.clear()
    return other


def _enums(patches: Patches) -> None:
    initialize = method(Enum, "__init__")

    def init(self: object, *enums: object, **kwargs: object) -> None:
        unknown = _unknown(enums) if len(enums) == 1 else None
        if unknown is not None:
            unknown.use()
            kwargs.setdefault("name", unknown.last_name.lower())  # as SQLAlchemy names the type of a class
            enums = ()
        initialize(self, *(str(value) if isinstance(value, Stub) else value for value in enums), **kwargs)

    def passing(original: Callee) -> Callee:
        def run(self: object, value: object) -> object:
            return value if isinstance(value, Stub) else original(self, value)

        return run

    patches.set(Enum, "__init__", init)
    patches.set(Enum, "_db_value_for_elem", passing(method(Enum, "_db_value_for_elem")))
    patches.set(Enum, "_object_value_for_elem", passing(method(Enum, "_object_value_for_elem")))


def _statements(patches: Patches) -> None:
    """`select(Model)` of a model that is missing is unknown as a whole."""

    def shim(original: Callee) -> Callee:
        def build(*args: object, **kwargs: object) -> object:
            first = args[0] if len(args) == 1 and isinstance(args[0], list) else args
            unknown = _unknown(first)
            return unknown.use() if unknown is not None else original(*args, **kwargs)

        return build

    for name in ("select", "update", "insert", "delete"):
        for module in (sqlalchemy, sqlalchemy.sql, expression):
            patches.set(module, name, shim(method(module, name)))
