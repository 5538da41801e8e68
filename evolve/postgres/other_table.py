"""The other table of a backfill, read or inserted into, and what else its kind of work asks of the server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import assert_never

from psycopg import sql

from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.backfill.works import Delete, InsertSelect, JoinedUpdate, Update
from evolve.errors import Misuse, Refused
from evolve.postgres.backfill_target import (
    BadTarget,
    MayNot,
    NoSuchColumn,
    RowSecurity,
    Target,
    read_columns,
    read_table,
)
from evolve.postgres.composing import table_name, written
from evolve.postgres.connect import Connection
from evolve.postgres.statements import source
from evolve.sql.names import QualifiedName


class DeletesAll(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'a backfill that deletes every row of "{table.plain}" was asked for',
            why="without --where each of them is deleted, one by one",
            fix="say which rows with --where; to empty a table, TRUNCATE it",
        )


class NothingAssigned(Misuse):
    def __init__(self, spec: Spec) -> None:
        super().__init__(
            f'backfill "{spec.name}" gives no column a value',
            fix="name at least one column with its expression",
        )


class IntoItself(Misuse):
    def __init__(self, table: QualifiedName, into: QualifiedName) -> None:
        super().__init__(
            f'rows of "{table.plain}" cannot be copied into "{into.plain}": they would be rows of the same table',
            why="the run would meet its own copies and copy them again",
            fix="name another table with --into",
        )


class SeveralPartners(Refused):
    def __init__(self, spec: Spec, work: JoinedUpdate) -> None:
        super().__init__(
            f'a row of "{spec.table.plain}" may have several partners in "{work.source.plain}": {work.on}',
            why="PostgreSQL would take any of them; only a unique index on what is compared rules that out",
            fix=f"create that index on {work.source}, CONCURRENTLY; or give --set a subquery in the place of --from: "
            "it fails where there are several",
        )


class OneName(Misuse):
    def __init__(self, alias: str) -> None:
        super().__init__(
            f'the joined table is called "{alias}", like the one that is updated',
            fix='give it another name: --from "TABLE NAME"',
        )


def check_work(connection: Connection, spec: Spec, target: Target) -> None:
    """Refuse what the kind of work cannot do on this server.

    Raises:
        DeletesAll, NothingAssigned, IntoItself, SeveralPartners, OneName, NoSuchTable, NotATable,
        NoSuchColumn, BadTarget, MayNot, RowSecurity
    """
    if not spec.assignments and not isinstance(spec.work, Delete | Transform):
        raise NothingAssigned(spec)
    match spec.work:
        case Update() | Transform():
            return
        case Delete():
            if spec.where is None:
                raise DeletesAll(spec.table)
            _demand(connection, spec.table, "DELETE")
        case JoinedUpdate() as work:
            _check_join(connection, spec, work)
        case InsertSelect() as work:
            _check_insert(connection, spec, work, target)
        case _:
            assert_never(spec.work)


def _check_join(connection: Connection, spec: Spec, work: JoinedUpdate) -> None:
    if work.alias == spec.table.name:
        raise OneName(work.alias)
    # A view, or what else can be read, will do: whether a row has one partner is asked of the planner.
    other = read_table(connection, work.source, any_kind=True)
    if other.secured:
        raise RowSecurity(work.source, other.role)
    _demand(connection, work.source, "SELECT")
    if work.lock:
        _demand(connection, work.source, "UPDATE")


def check_partners(connection: Connection, spec: Spec) -> None:
    """Ask the server whether a row can have several partners, once it has read the expressions.

    The planner leaves an outer join out where nothing of it is asked for and it cannot multiply rows. That is its
    proof, from unique indexes that are valid and not deferrable.

    Raises:
        SeveralPartners: it has none.
    """
    work = spec.work
    if not isinstance(work, JoinedUpdate):
        return
    # EXPLAIN runs nothing; AccessShare for its own moment.
    row = connection.execute(
        sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} LEFT JOIN {} ON {}").format(
            table_name(spec.table), source(work), written(work.on)
        ),
        {},
    ).fetchone()
    if row is not None:
        document = row[0] if isinstance(row[0], list) else json.loads(str(row[0]))
        if "Join Type" in json.dumps(document):
            raise SeveralPartners(spec, work)


def _check_insert(connection: Connection, spec: Spec, work: InsertSelect, target: Target) -> None:
    into = read_table(connection, work.into)
    # AccessShare on catalogs only.
    row = connection.execute(
        "SELECT coalesce(pg_partition_root(%(into)s::oid::regclass), %(into)s::oid::regclass)"
        " = coalesce(pg_partition_root(%(of)s::oid::regclass), %(of)s::oid::regclass)",
        {"into": into.oid, "of": target.oid},
    ).fetchone()
    if row == (True,):
        raise IntoItself(spec.table, work.into)
    columns = read_columns(connection, into.oid)
    for name, _ in spec.assignments:
        column = columns.get(name)
        if column is None:
            raise NoSuchColumn(work.into, name, list(columns))
        if column.generated:
            raise BadTarget(work.into, name, "PostgreSQL generates it", "leave it out")
        if column.identity == "a":
            raise BadTarget(
                work.into, name, "it is GENERATED ALWAYS AS IDENTITY", "alter it to BY DEFAULT first"
            )
    if into.secured:
        raise RowSecurity(work.into, into.role)
    _demand(connection, work.into, "INSERT", [name for name, _ in spec.assignments])
    if work.lock:
        _demand(connection, spec.table, "UPDATE")


_GRANTED = {
    "DELETE": sql.SQL("has_table_privilege(%(table)s::regclass, 'DELETE')"),
    "INSERT": sql.SQL(
        "(SELECT bool_and(has_column_privilege(%(table)s::regclass, each, 'INSERT'))"
        " FROM unnest(%(columns)s::text[]) AS each)"
    ),
    "SELECT": sql.SQL("has_any_column_privilege(%(table)s::regclass, 'SELECT')"),
    "UPDATE": sql.SQL("has_any_column_privilege(%(table)s::regclass, 'UPDATE')"),
}


def _demand(connection: Connection, table: QualifiedName, right: str, columns: Sequence[str] = ()) -> None:
    """
    Raises:
        MayNot: the role has the right neither on the table nor, for INSERT, on all `columns`, else on any.
    """
    # AccessShare on catalogs only.
    row = connection.execute(
        sql.SQL("SELECT {}, current_user::text").format(_GRANTED[right]),
        {"table": table.full, "columns": list(columns)},
    ).fetchone()
    if row is not None and row[0] is not True:
        raise MayNot(table, str(row[1]), right)
