"""The statement with which each kind of work brings the rows of a piece up to date."""

from __future__ import annotations

from typing import assert_never

from psycopg import sql

from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.backfill.works import Conflict, Delete, InsertSelect, JoinedUpdate, Update
from evolve.postgres.backfill_target import Target
from evolve.postgres.composing import identifier, table_name, written
from evolve.postgres.pieces import Cut, in_order, named, rows_of


def statement(spec: Spec, target: Target, cut: Cut) -> sql.Composed:
    """
    Raises:
        TypeError: a function's rows are written by `transforming`.
    """
    table, rows = target.source, rows_of_work(spec, target, cut)
    match spec.work:
        case Update():
            return sql.SQL("UPDATE {} SET {} WHERE {}").format(table, changes(spec, target, cut), rows)
        case JoinedUpdate() as work:
            return sql.SQL("UPDATE {} SET {} FROM {} WHERE {}").format(
                table, changes(spec, target, cut), source(work), rows
            )
        case InsertSelect() as work:
            return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} WHERE {} ORDER BY {}{}{}").format(
                table_name(work.into),
                sql.SQL(", ").join(identifier(column) for column, _ in spec.assignments),
                sql.SQL(", ").join(written(expression) for _, expression in spec.assignments),
                table,
                rows,
                in_order(target.key),
                sql.SQL(" FOR SHARE" if work.lock else ""),
                sql.SQL(" ON CONFLICT DO NOTHING" if work.on_conflict is Conflict.NOTHING else ""),
            )
        case Delete():
            return sql.SQL("DELETE FROM {} WHERE {}").format(table, rows)
        case Transform():
            raise TypeError(f"{spec.work.function} is no statement")
        case _:
            assert_never(spec.work)


def rows_of_work(spec: Spec, target: Target, cut: Cut) -> sql.Composed:
    """What follows WHERE: the rows of a piece that need work, each with its partner where there is a join."""
    if not isinstance(spec.work, JoinedUpdate):
        return rows_of(target.key, cut, spec.where)
    rows = rows_of(target.key, cut, spec.where, of=target.reference)
    return sql.SQL("{} AND {}").format(rows, written(spec.work.on))


def source(work: JoinedUpdate) -> sql.Composed:
    return sql.SQL("{} AS {}").format(table_name(work.source), identifier(work.alias))


def from_clause(spec: Spec, target: Target) -> sql.Composable:
    """What follows FROM in a SELECT of the rows of a piece."""
    if not isinstance(spec.work, JoinedUpdate):
        return target.source
    return sql.SQL("{}, {}").format(target.source, source(spec.work))


def share_lock(spec: Spec, target: Target, cut: Cut) -> sql.Composed:
    """Lock the partners of the rows of a piece against writers, in the order of keys."""
    assert isinstance(spec.work, JoinedUpdate)  # noqa: S101 - of whoever asks
    return sql.SQL(
        "SELECT count(*) FROM (SELECT FROM {} WHERE {} ORDER BY {} FOR SHARE OF {}) AS locked"
    ).format(
        from_clause(spec, target),
        rows_of_work(spec, target, cut),
        sql.SQL(", ").join(named(column, target.reference) for column in target.key),
        identifier(spec.work.alias),
    )


def changes(spec: Spec, target: Target, cut: Cut) -> sql.Composed:
    """What follows SET."""
    assigned = [
        sql.SQL("{} = {}").format(identifier(column), written(expression))
        for column, expression in spec.assignments
    ]
    if cut.touch:
        assigned += [
            sql.SQL("{} = {}.{}").format(identifier(column), target.reference, identifier(column))
            for column in target.touched
        ]
    return sql.SQL(", ").join(assigned)
