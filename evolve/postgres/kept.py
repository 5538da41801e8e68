"""Whether rows keep what a batch gives them, where triggers may write them as well."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from evolve.backfill.ports import Piece
from evolve.backfill.spec import Spec
from evolve.backfill.works import JoinedUpdate, Update
from evolve.counted import counted
from evolve.errors import Refused
from evolve.postgres import undo_journal
from evolve.postgres.backfill_target import Target
from evolve.postgres.composing import identifier, type_name, written
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import Cut, cut_of, piece_values
from evolve.postgres.statements import changes, from_clause, rows_of_work, statement


class ValueOverwritten(Refused):
    def __init__(self, spec: Spec, found: Kept) -> None:
        self.found = found
        super().__init__(
            f'backfill "{spec.name}" stopped: column "{spec.table.plain}.{found.column}" does not keep what it is'
            f" given: {found.overwritten} of {counted(found.rows, 'row')} held another value after the write",
            why=f"triggers write it, too: {', '.join(found.triggers)}; the batch at hand was rolled back",
            fix=f"disable the trigger for the time being, then: evolve backfill resume {spec.name}; or give the run"
            f" up: evolve backfill cancel {spec.name}",
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the rows of one piece.

    Args:
        rows: that were to be written; a trigger may have kept some from it.
        column: the first that does not hold what it was given, in `overwritten` of them; None where all do.
        triggers: that may have written it.
    """

    rows: int
    column: str | None = None
    overwritten: int = 0
    triggers: tuple[str, ...] = ()


def writing_triggers(connection: Connection, oid: int) -> tuple[str, ...]:
    """Names of the triggers that can change a row before an UPDATE of the table, or of one of its leaves, writes it."""
    # AccessShare on catalogs only. Of the type, 1 stands for rows, 2 for BEFORE, 16 for UPDATE.
    rows = connection.execute(
        "SELECT DISTINCT tgname::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
        " AND tgtype::integer & 19 = 19 AND (tgrelid = %(oid)s::oid"
        " OR tgrelid IN (SELECT relid FROM pg_partition_tree(%(oid)s::oid))) ORDER BY 1",
        {"oid": oid},
    ).fetchall()
    return tuple(str(name) for (name,) in rows)


def kept(connection: Connection, spec: Spec, target: Target, piece: Piece) -> Kept | None:
    """Write a piece inside a transaction, compare, and take it back; None where nothing else writes its columns.

    Nothing is said of an expression that is another one each time, and where `mismatch` says how right looks.

    Raises:
        psycopg.Error: a row cannot be written, or the like; under a savepoint.
    """
    if not isinstance(spec.work, Update | JoinedUpdate) or spec.mismatch is not None:
        return None
    if target.by_block and not isinstance(spec.work, Update):
        return None  # a row that was written has another place, and does not tell what it was joined with
    triggers = writing_triggers(connection, target.oid)
    if not triggers:
        return None
    cut, values = cut_of(piece), piece_values(piece)
    rows_of_piece = rows_of_work(spec, target, cut)
    with connection.transaction(force_rollback=True):
        # Row locks until the rollback: a row that somebody deletes meanwhile would look as if a trigger had kept it.
        connection.execute(
            undo_journal.locking(target, rows_of_piece, found_in=from_clause(spec, target)), values
        )
        row = connection.execute(_compared(connection, spec, target, cut), values).fetchone()
    rows, *counts = (int(str(count)) for count in row or (0,))
    for (column, _), overwritten in zip(spec.assignments, counts, strict=True):
        if overwritten:
            return Kept(rows, column, overwritten, triggers)
    return Kept(rows)


def _compared(connection: Connection, spec: Spec, target: Target, cut: Cut) -> sql.Composed:
    """How many rows there are to write, and for each assignment how many of them hold another value afterwards."""
    # AccessShare on catalogs only. With its length or precision: a value is rounded to it.
    types = {
        str(name): str(type_)
        for name, type_ in connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::oid",
            (target.oid,),
        )
    }
    table = target.reference
    if target.by_block:
        # Found by their places before the write, since they have others after it.
        keys: sql.Composable = sql.SQL("evolve_place")
        own_keys: sql.Composable = sql.SQL("{}.ctid AS evolve_place").format(table)
        update = sql.SQL(
            "UPDATE {} SET {} FROM wanted WHERE {}.ctid = wanted.evolve_place RETURNING wanted.evolve_place"
        ).format(target.source, changes(spec, target, cut), table)
    else:
        keys = sql.SQL(", ").join(identifier(column.name) for column in target.key)
        own_keys = sql.SQL(", ").join(sql.SQL("{}.{}").format(table, identifier(c.name)) for c in target.key)
        update = sql.SQL("{} RETURNING {}").format(statement(spec, target, cut), own_keys)
    wanted = [
        sql.SQL("{}::{}::text AS {}").format(
            written(expression), type_name(types[column]), sql.Identifier(f"{name}_{place}")
        )
        for place, (column, expression) in enumerate(spec.assignments)
        for name in ("wanted", "again")
    ]
    held = [
        sql.SQL("{}.{}::text AS {}").format(table, identifier(column), sql.Identifier(f"held_{place}"))
        for place, (column, _) in enumerate(spec.assignments)
    ]
    left = [
        sql.SQL("{}.{}::text AS {}").format(table, identifier(column), sql.Identifier(f"left_{place}"))
        for place, (column, _) in enumerate(spec.assignments)
    ]
    counts = [
        sql.SQL(
            "count(*) FILTER (WHERE {wanted} IS NOT DISTINCT FROM {again}"
            " AND {wanted} IS DISTINCT FROM CASE WHEN evolve_written THEN {left} ELSE {held} END)"
        ).format(**{name: sql.Identifier(f"{name}_{place}") for name in ("wanted", "again", "held", "left")})
        for place in range(len(spec.assignments))
    ]
    return sql.SQL(
        "WITH wanted AS MATERIALIZED (SELECT {own_keys}, {wanted}, {held} FROM {found_in} WHERE {rows}),"
        " written AS ({update}, {left}, true AS evolve_written)"
        " SELECT count(*), {counts} FROM wanted LEFT JOIN written USING ({keys})"
    ).format(
        keys=keys,
        own_keys=own_keys,
        wanted=sql.SQL(", ").join(wanted),
        found_in=from_clause(spec, target),
        rows=rows_of_work(spec, target, cut),
        update=update,
        held=sql.SQL(", ").join(held),
        left=sql.SQL(", ").join(left),
        counts=sql.SQL(", ").join(counts),
    )
