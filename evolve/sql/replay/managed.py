"""Tables that an extension was asked to look after: pg_partman, TimescaleDB and Citus are told so by a call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from evolve.sql.names import BadName, QualifiedName, parse_name
from evolve.sql.operations import Query
from evolve.sql.replay.edit import put
from evolve.sql.schema import Schema

# The functions that hand a table over, by the extension they belong to.
_MANAGERS = {
    "create_parent": "pg_partman",
    "create_hypertable": "TimescaleDB",
    "create_distributed_table": "Citus",
    "create_distributed_table_concurrently": "Citus",
    "create_reference_table": "Citus",
}
_RELEASES = frozenset({"undo_partition", "undistribute_table"})


def follow(schema: Schema, query: Query) -> None:
    """A call names its table in a string; of its strings those count that are tables."""
    called = {function.rpartition(".")[2] for function in query.functions}
    manager = next((manager for name, manager in _MANAGERS.items() if name in called), None)
    if manager is None and called.isdisjoint(_RELEASES):
        return
    for name in _tables(schema, query.literals):
        put(schema, replace(schema.tables[name], managed_by=manager))


def _tables(schema: Schema, literals: Iterable[str]) -> Iterator[QualifiedName]:
    for text in literals:
        try:
            name = parse_name(text)
        except BadName:
            continue
        if name in schema.tables:
            yield name
