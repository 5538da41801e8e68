"""What was done to a table since it was looked at: a mark that moves with every such change, and what it means."""

from __future__ import annotations

from psycopg import sql

from evolve.errors import Refused
from evolve.postgres.connect import Connection
from evolve.sql.names import QualifiedName


class TableAltered(Refused):
    """
    Args:
        undoing: it was on its way back.
    """

    def __init__(self, name: str, table: QualifiedName, reason: str, *, undoing: bool = False) -> None:
        backfill = f'undo of backfill "{name}"' if undoing else f'backfill "{name}"'
        super().__init__(
            f'{backfill} stopped: table "{table.plain}" was altered meanwhile: {reason}',
            why="the batch at hand was rolled back; what was committed before stays"
            + (", and so do the old values that are left" if undoing else ""),
            fix=f"once the table is as it was: evolve backfill undo {name}"
            if undoing
            else f"once the table is as it was: evolve backfill resume {name}; or give the run up:"
            f" evolve backfill cancel {name}",
        )


def mark(table: QualifiedName, oid: int) -> sql.Composed:
    """A text that changes with the table of that name, its columns, indexes, rules, triggers and their functions, and
    with nothing that VACUUM or ANALYZE does.

    Read in the transaction of a batch, behind its UPDATE: from then on nobody can alter the table. Name, file and what
    functions of triggers do are those of this moment, whatever the snapshot: a table that was written anew since a
    REPEATABLE READ transaction began looks empty to it, and a function is replaced without a lock. It costs some
    lookups by index, a tenth of a millisecond.
    """
    return sql.SQL(
        "concat_ws(' ', to_regclass({name})::oid, pg_relation_filenode({oid}),"
        " (SELECT xmin FROM pg_class WHERE oid = {oid}),"
        " (SELECT sum(xmin::text::bigint) FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0),"
        " (SELECT sum(xmin::text::bigint + indexrelid::bigint) FROM pg_index WHERE indrelid = {oid}),"
        " (SELECT sum(xmin::text::bigint + oid::bigint) FROM pg_rewrite WHERE ev_class = {oid}),"
        " (SELECT sum(t.xmin::text::bigint + t.oid::bigint + coalesce(p.xmin::text::bigint"
        " + hashtext(pg_get_functiondef(p.oid)), 0)) FROM pg_trigger t"
        " LEFT JOIN pg_proc p ON p.oid = t.tgfoid AND NOT t.tgisinternal WHERE t.tgrelid = {oid}))"
    ).format(name=_literal(table.full), oid=sql.Literal(oid))


def _literal(text: str) -> sql.SQL:
    """For statements with parameters, where % is doubled."""
    return sql.SQL(sql.Literal(text).as_string().replace("%", "%%"))  # pyright: ignore[reportArgumentType]


def mark_of(connection: Connection, table: QualifiedName, oid: int) -> str:
    # AccessShare on catalogs only.
    row = connection.execute(sql.SQL("SELECT {}").format(mark(table, oid)), {}).fetchone()
    return str(row[0]) if row else ""
