"""Rows for a table that nobody has filled: a value for each column by its type, parents before children."""

from __future__ import annotations

from typing import LiteralString

from psycopg import Error, sql

from evolve.postgres.connect import Connection

# What row number n holds, by the type's category in pg_type; `format_type` decides where it knows better.
_BY_CATEGORY: dict[str, LiteralString] = {
    "A": "'{}'",
    "B": "n % 2 = 0",
    "D": "timestamp '2026-01-01' + n * interval '1 minute'",
    "E": "(enum_range(NULL::{type}))[1 + (n % cardinality(enum_range(NULL::{type})))::int]",
    "I": "('10.0.0.0'::inet + n)",
    "N": "n",
    "S": "left('text ' || n, {length})",
    "T": "n * interval '1 minute'",
    "V": "n::int::bit(32)::text",
}
_BY_TYPE: dict[str, LiteralString] = {
    "uuid": "md5(n::text)::uuid",
    "json": "json_build_object('n', n)",
    "jsonb": "jsonb_build_object('n', n)",
    "bytea": "decode(md5(n::text), 'hex')",
    "xml": "'<n/>'",
}

_COLUMNS: LiteralString = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod),
           format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL), coalesce(b.typcategory, t.typcategory)::text,
           CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4
                THEN a.atttypmod - 4 ELSE 100 END,
           (SELECT c.confrelid FROM pg_constraint c
             WHERE c.conrelid = a.attrelid AND c.contype = 'f' AND c.conkey = ARRAY[a.attnum] LIMIT 1),
           (SELECT f.attname FROM pg_constraint c JOIN pg_attribute f ON f.attrelid = c.confrelid
               AND f.attnum = c.confkey[1]
             WHERE c.conrelid = a.attrelid AND c.contype = 'f' AND c.conkey = ARRAY[a.attnum] LIMIT 1)
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
     WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
       AND NOT EXISTS (SELECT FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum
                          AND pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%')
     ORDER BY a.attnum
"""


class CannotMakeUp(Exception):
    """The server refused the rows; the text says which table's, and why."""


def make_up_rows(connection: Connection, table: int, count: int, above: tuple[int, ...] = ()) -> None:
    """Fill the table whose oid this is with `count` rows; its parents too, where they are empty.

    Args:
        above: the tables whose parent this one is, so that a circle ends.

    Raises:
        CannotMakeUp: a rule of the table, such as a CHECK, wants other values than were made up.
    """
    names: list[sql.Identifier] = []
    values: list[sql.Composable] = []
    for name, type_, base, category, length, parent, parent_key in connection.execute(_COLUMNS, [table]):
        names.append(sql.Identifier(str(name)))
        if isinstance(parent, int):
            if parent in (table, *above):
                values.append(sql.SQL("NULL"))
                continue
            if not _rows(connection, parent):
                make_up_rows(connection, parent, count, (*above, table))
            values.append(
                sql.SQL("(SELECT {key} FROM {parent} ORDER BY 1 OFFSET n % {rows} LIMIT 1)").format(
                    key=sql.Identifier(str(parent_key)),
                    parent=_table(connection, parent),
                    rows=sql.Literal(_rows(connection, parent)),
                )
            )
            continue
        known: LiteralString = _BY_TYPE.get(str(base)) or _BY_CATEGORY.get(str(category), "NULL")
        spelled = sql.SQL(str(type_))  # pyright: ignore[reportArgumentType]  # by PostgreSQL, quoted where needed
        written = sql.SQL(known).format(type=spelled, length=sql.Literal(length))
        values.append(sql.SQL("({})::{}").format(written, spelled))
    rows = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM generate_series(1, {}) n").format(
        _table(connection, table),
        sql.SQL(", ").join(names),
        sql.SQL(", ").join(values),
        sql.Literal(count),
    )
    if not names:
        rows = sql.SQL("INSERT INTO {} SELECT FROM generate_series(1, {})").format(
            _table(connection, table), sql.Literal(count)
        )
    try:
        # Locks rows of a scratch database.
        connection.execute(rows)
    except Error as error:
        said = error.diag.message_primary or str(error)
        raise CannotMakeUp(f"{_table(connection, table).as_string(None)}: {said}") from error


def _rows(connection: Connection, table: int) -> int:
    found = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(_table(connection, table))
    ).fetchone()
    assert found is not None  # noqa: S101  # an aggregate has a row
    return int(str(found[0]))


def _table(connection: Connection, table: int) -> sql.Identifier:
    query = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s"
    found = connection.execute(query, [table]).fetchone()
    assert found is not None  # noqa: S101  # its oid was read in this transaction
    return sql.Identifier(str(found[0]), str(found[1]))
