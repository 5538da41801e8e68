"""Advice on keys and indexes of tables, of a live database or of what was exported from one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from evolve.errors import Misuse
from evolve.lint.facts import Facts
from evolve.partition.advice.table import LEAST_BYTES, TableAdvice, advise_table
from evolve.partition.advice.workload import Workload
from evolve.partition.advice.workload import read as read_export
from evolve.postgres.connect import connect
from evolve.postgres.database_facts import read_facts
from evolve.postgres.workload import read_workload
from evolve.sql.names import QualifiedName


class UnknownTable(Misuse):
    def __init__(self, table: QualifiedName, source: str) -> None:
        super().__init__(
            f'there is no table "{table.plain}" in {source}',
            fix="name an ordinary or a partitioned table, with its schema unless that is public",
        )


def advise(
    url: str, tables: Collection[QualifiedName], least_bytes: int = LEAST_BYTES
) -> tuple[tuple[TableAdvice, ...], tuple[str, ...]]:
    """Advice on `tables`, and what is missing for it; without any on all tables of the database, the largest first.

    Args:
        least_bytes: a table with its indexes must have before partitions are worth their price.

    Raises:
        UnknownTable: it is not there, or is a partition or a view.
    """
    return _advice(*read_use(url), tables, least_bytes, "this database")


def advise_from(
    file: Path, tables: Collection[QualifiedName], least_bytes: int = LEAST_BYTES
) -> tuple[tuple[TableAdvice, ...], tuple[str, ...]]:
    """The same, of what `evolve facts export --workload` wrote.

    Raises:
        CannotReadFacts, NoWorkload, LaterFacts: the file is something else.
        UnknownTable: it is not in it.
    """
    return _advice(*read_export(file), tables, least_bytes, f'"{file}"')


def read_use(url: str, schemas: Collection[str] = ()) -> tuple[Facts, Workload]:
    """Facts and workload of all schemas, or of those named.

    Raises:
        NoSuchSchema: one of `schemas` is not there.
    """
    with connect(url, application_name="evolve partition advise", autocommit=True) as connection:
        facts = read_facts(connection, schemas)
        known = {name.schema for name in facts.relations}
        return facts, read_workload(connection, schemas or known)


def _advice(
    facts: Facts, workload: Workload, tables: Collection[QualifiedName], least_bytes: int, source: str
) -> tuple[tuple[TableAdvice, ...], tuple[str, ...]]:
    for name in tables:
        if name not in workload.tables:
            raise UnknownTable(name, source)
    chosen = tables or [name for name in workload.tables if name.schema not in ("evolve", "evolve_client")]
    found = [advise_table(facts, workload, workload.tables[name], least_bytes) for name in chosen]
    found.sort(key=lambda each: -(each.size.bytes if each.size else 0))
    return tuple(found), workload.notes
