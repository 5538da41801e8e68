"""Rows for a table that nobody has filled: a value for each column by its type, parents before children."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Error, sql

from evolve.postgres.connect import Connection

# What row number n holds, by the type's category in pg_type; `format_type` decides where it knows better.
_BY_CATEGORY: dict[str, LiteralString] = {
    "A": "'{{}}'",
    "B": "n % 2 = 0",
    "D": "timestamptz '2026-01-01' + n * interval '1 minute'",
    "E": "(enum_range(NULL::{type}))[1 + (n % cardinality(enum_range(NULL::{type})))::int]",
    "I": "('10.0.0.0'::inet + n)",
    "N": "n % {most}",
    "R": "'empty'",
    "S": "right('text ' || n, {length})",
    "T": "n * interval '1 minute'",
    "V": "n::int::bit(32)::text",
}
_BY_TYPE: dict[str, LiteralString] = {
    '"char"': "chr(65 + n % 26)",
    "bytea": "decode(md5(n::text), 'hex')",
    "json": "json_build_object('n', n)",
    "jsonb": "jsonb_build_object('n', n)",
    "macaddr": "lpad(to_hex(n), 12, '0')",
    "point": "point(n, n)",
    "tsvector": "to_tsvector('simple', 'text ' || n)",
    "uuid": "md5(n::text)::uuid",
    "xml": "'<n/>'",
}

_COLUMNS: LiteralString = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod),
           format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL),
           coalesce(b.typcategory, t.typcategory)::text,
           CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4
                THEN a.atttypmod - 4 ELSE 100 END,
           -- numeric(precision, scale): so many digits before the point
           CASE WHEN a.atttypid = 'numeric'::regtype AND a.atttypmod > 4
                THEN power(10, greatest(0, least(9, (((a.atttypmod - 4) >> 16) & 65535) - ((a.atttypmod - 4) & 2047))))
                WHEN a.atttypid = 'smallint'::regtype THEN 32767
                ELSE 2147483647 END::int,
           a.attnotnull OR t.typnotnull, a.atthasdef, c.confrelid,
           (SELECT f.attname FROM pg_attribute f
             WHERE f.attrelid = c.confrelid AND f.attnum = c.confkey[array_position(c.conkey, a.attnum)])
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
      LEFT JOIN LATERAL (SELECT * FROM pg_constraint k
                          WHERE k.conrelid = a.attrelid AND k.contype = 'f' AND k.conkey @> ARRAY[a.attnum]
                          ORDER BY cardinality(k.conkey) DESC, k.oid LIMIT 1) c ON true
     WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
       AND NOT EXISTS (SELECT FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum
                          AND pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%')
     ORDER BY a.attnum
"""


class CannotMakeUp(Exception):
    """The server refused the rows; the text says which table's, and why."""


@dataclass(frozen=True, slots=True)
class _Column:
    """
    Args:
        value: what row number n holds.
        default: something else stands there where nothing is said.
    """

    name: sql.Identifier
    value: sql.Composable
    not_null: bool
    default: bool


def make_up_rows(connection: Connection, table: int, count: int, above: tuple[int, ...] = ()) -> None:
    """Fill the table whose oid this is with `count` rows; its parents too, where they are empty.

    What a rule of the table refuses is tried again with the defaults of its columns, and then with nulls.

    Args:
        above: the tables whose parent this one is, so that a circle ends.

    Raises:
        CannotMakeUp: a rule of the table, such as a CHECK, wants other values than were made up.
    """
    columns = list(_columns(connection, table, count, above))
    name = _table(connection, table)
    tries = [
        columns,
        [each for each in columns if not each.default],
        [each for each in columns if not each.default and each.not_null],
    ]
    refused: Error | None = None
    for said in tries:
        try:
            with connection.transaction():
                # Locks rows of a scratch database.
                connection.execute(_insert(name, said, count))
        except Error as error:
            refused = refused or error
        else:
            return
    assert refused is not None  # noqa: S101  # there was a try
    message = refused.diag.message_primary or str(refused)
    raise CannotMakeUp(f"{name.as_string(None)}: {message}") from refused


def _columns(connection: Connection, table: int, count: int, above: tuple[int, ...]) -> Iterator[_Column]:
    for (
        name,
        type_,
        base,
        category,
        length,
        most,
        not_null,
        default,
        parent,
        parent_key,
    ) in connection.execute(_COLUMNS, [table]).fetchall():
        if isinstance(parent, int) and parent != table:
            if parent in above:
                value: sql.Composable = sql.SQL("NULL")
            else:
                if not _rows(connection, parent):
                    make_up_rows(connection, parent, count, (*above, table))
                value = sql.SQL("(SELECT {} FROM {} ORDER BY tableoid, ctid OFFSET n % {} LIMIT 1)").format(
                    sql.Identifier(str(parent_key)),
                    _table(connection, parent),
                    sql.Literal(_rows(connection, parent)),
                )
        elif isinstance(parent, int) and not not_null:
            value = sql.SQL("NULL")
        else:  # a row that has to have a parent in its own table is its own
            value = _value(str(type_), str(base), str(category), length, most)
        yield _Column(sql.Identifier(str(name)), value, bool(not_null), bool(default))


def _value(type_: str, base: str, category: str, length: object, most: object) -> sql.Composable:
    known: LiteralString = _BY_TYPE.get(base) or _BY_CATEGORY.get(category, "NULL")
    if base.endswith("multirange"):
        known = "'{{}}'"
    spelled = sql.SQL(type_)  # pyright: ignore[reportArgumentType]  # by PostgreSQL, quoted
    written = sql.SQL(known).format(type=spelled, length=sql.Literal(length), most=sql.Literal(most))
    return sql.SQL("({})::{}").format(written, spelled)


def _insert(table: sql.Identifier, columns: Sequence[_Column], count: int) -> sql.Composed:
    if not columns:
        return sql.SQL("INSERT INTO {} SELECT FROM generate_series(1, {})").format(table, sql.Literal(count))
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM generate_series(1, {}) n").format(
        table,
        sql.SQL(", ").join(each.name for each in columns),
        sql.SQL(", ").join(each.value for each in columns),
        sql.Literal(count),
    )


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
