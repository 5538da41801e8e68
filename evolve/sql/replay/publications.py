"""Publications: which tables they send, and what of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from evolve.sql.operations import ChangePublication, PublishedTable
from evolve.sql.replay.edit import know, put
from evolve.sql.schema import Published, Schema


def change(schema: Schema, operation: ChangePublication) -> None:
    name = operation.publication
    match operation.action:
        case "create" | "set":
            _forget(schema, name)
            if operation.all_tables:
                schema.publishing[name] = None
            _add(schema, name, operation.tables, operation.schemas)
        case "add":
            _add(schema, name, operation.tables, operation.schemas)
        case "remove":
            for part in operation.tables:
                _leave(schema, name, part)
            kept = schema.publishing.get(name)
            if kept is not None:
                schema.publishing[name] = kept - frozenset(operation.schemas)
        case "drop":
            _forget(schema, name)


def _add(schema: Schema, name: str, tables: Iterable[PublishedTable], schemas: Iterable[str]) -> None:
    for part in tables:
        _leave(schema, name, part)
        found = schema.tables[know(schema, part.table)]
        published = Published(name, part.columns, part.row_filter)
        put(schema, replace(found, published=(*found.published, published)))
    added = frozenset(schemas)
    if added:
        schema.publishing[name] = (schema.publishing.get(name) or frozenset()) | added


def _leave(schema: Schema, name: str, part: PublishedTable) -> None:
    found = schema.tables[know(schema, part.table)]
    put(schema, replace(found, published=tuple(p for p in found.published if p.publication != name)))


def _forget(schema: Schema, name: str) -> None:
    schema.publishing.pop(name, None)
    for table in list(schema.tables.values()):
        if any(published.publication == name for published in table.published):
            _leave(schema, name, PublishedTable(table.name))
