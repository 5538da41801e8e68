"""Partitions that a model declares: `metadata.create_all()` makes them with their table, as tests want it.

    Table("events", metadata, …, postgresql_partition_by="RANGE (at)", info={"evolve": {"partitions": {
        "events_2026": "FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "events_old": {"bound": "DEFAULT", "by": "HASH (id)", "partitions": {
            "events_old_0": "FOR VALUES WITH (MODULUS 1, REMAINDER 0)"}},
    }}})

Importing this module is what makes `create_all` mind them; Alembic imports it wherever evolve is installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from sqlalchemy import Connection, Table, TextClause, event, text

from evolve.errors import Misuse
from evolve.sql.names import QualifiedName, check_length, quote
from evolve.values import dataclass

_FORM = '{"name": "FOR VALUES …"} or {"name": {"bound": "…", "by": "HASH (id)", "partitions": {…}}}'


class BadPartitions(Misuse):
    def __init__(self, table: str, reason: str) -> None:
        super().__init__(
            f'the partitions that the model of "{table}" declares cannot be read: {reason}',
            fix=f'write info={{"evolve": {{"partitions": …}}}} as {_FORM}',
        )


@dataclass(frozen=True, slots=True)
class Declared:
    """
    Args:
        parent: the table or partition that it is part of.
        by: what it is cut by once more, such as "HASH (id)".
    """

    parent: QualifiedName
    name: QualifiedName
    bound: str
    by: str | None


class _Runner(Protocol):
    """Alembic's, which writes statements down with `--sql`."""

    def execute(self, sql: TextClause) -> object: ...


def written_partitions(table: Table) -> tuple[Declared, ...]:
    """Each before those that are part of it.

    Raises:
        BadPartitions: they are not written as they must be.
    """
    ours = table.info.get("evolve", {})
    if not isinstance(ours, Mapping) or "partitions" not in ours:
        return ()
    name = QualifiedName(str(table.name), str(table.schema or "public"))
    return tuple(_declared(str(table.name), name, ours["partitions"]))


def _declared(table: str, parent: QualifiedName, written: object) -> Iterator[Declared]:
    if not isinstance(written, Mapping):
        raise BadPartitions(table, f"{written!r} is no mapping")
    for name, says in written.items():
        if not isinstance(name, str):
            raise BadPartitions(table, f"{name!r} is no name")
        own = QualifiedName(check_length(name), parent.schema)
        if isinstance(says, str):
            yield Declared(parent, own, says, None)
            continue
        if not isinstance(says, Mapping) or not isinstance(says.get("bound"), str):
            raise BadPartitions(table, f'"{name}" has no bound')
        unknown = sorted(map(str, says.keys() - {"bound", "by", "partitions"}))
        if unknown:
            raise BadPartitions(table, f'"{name}" says "{unknown[0]}", which means nothing')
        below, by = says.get("partitions", {}), says.get("by")
        if (by is not None and not isinstance(by, str)) or (below and by is None):
            raise BadPartitions(table, f'"{name}" has partitions and does not say by what')
        yield Declared(parent, own, str(says["bound"]), by)
        yield from _declared(table, own, below)


# Nobody uses a table that is being made, so PARTITION OF makes nobody wait.
@event.listens_for(Table, "after_create")
def _make(table: Table, connection: Connection | None, **options: object) -> None:
    from evolve.revisions.gate_operation import escape_colons

    dialect = connection.dialect.name if connection is not None else "postgresql"
    if dialect != "postgresql":
        return
    runner = connection if connection is not None else options.get("_ddl_runner")
    for each in written_partitions(table):
        by = f" PARTITION BY {each.by}" if each.by is not None else ""
        names = (_called(table, each.name), _called(table, each.parent))
        statement = text(escape_colons(f"CREATE TABLE {names[0]} PARTITION OF {names[1]} {each.bound}{by}"))
        _run(runner, statement)


def _run(runner: object, statement: TextClause) -> None:
    execute: _Runner = runner  # type: ignore[assignment]  # a connection, or what stands for one
    execute.execute(statement)


def _called(table: Table, name: QualifiedName) -> str:
    """A model without a schema lives wherever the search path says."""
    return name.full if table.schema is not None else quote(name.name)
