"""What hangs on a table, how many rows it has and how far its key reaches, read from the server."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from psycopg import sql

from evolve.errors import Misuse
from evolve.partition.inventory import Inventory
from evolve.partition.record import decode
from evolve.partition.values import UnreadableValue, read_value
from evolve.plugin_api import Partitioner, Profile
from evolve.postgres.connect import Connection
from evolve.sql.bounds import Value
from evolve.sql.names import QualifiedName


class NoSuchTable(Misuse):
    def __init__(self, table: QualifiedName, near: tuple[str, ...]) -> None:
        super().__init__(
            f'there is no table "{table.plain}" in this database',
            fix=f"did you mean {', '.join(near)}?"
            if near
            else "check the name, its schema and --database-url",
        )


@dataclass(frozen=True, slots=True)
class Size:
    """Args:
    rows: by the statistics.
    heap, indexes: bytes; the heap with its TOAST.
    """

    rows: int
    heap: int
    indexes: int


def server_version(connection: Connection) -> int:
    """The major version."""
    return connection.info.server_version // 10_000


def table_oid(connection: Connection, table: QualifiedName) -> int:
    """
    Raises:
        NoSuchTable: there is none of this name, or it is no table.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT c.oid::bigint FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        (table.schema, table.name),
    ).fetchone()
    if row is None:
        # ACCESS SHARE on catalogs only.
        others = connection.execute(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') "
            "AND (c.relname = %s OR replace(c.relname, '_', '') = replace(%s, '_', '')) ORDER BY 1 LIMIT 3",
            (table.name, table.name),
        ).fetchall()
        raise NoSuchTable(table, tuple(str(other[0]) for other in others))
    return _integer(row[0])


def read_inventory(connection: Connection, table: QualifiedName) -> Inventory:
    """Everything on `table`, in one look.

    Raises:
        NoSuchTable: there is none of this name.
    """
    with connection.transaction():
        # No lock: every name in the definitions comes out qualified.
        connection.execute("SELECT set_config('search_path', '', true)")
        # ACCESS SHARE on catalogs only.
        row = connection.execute(_INVENTORY, {"oid": table_oid(connection, table)}).fetchone()
    if row is None:
        raise NoSuchTable(table, ())
    return decode(Inventory, row[0])


def read_size(connection: Connection, oid: int) -> Size:
    # ACCESS SHARE on the table for a moment.
    row = connection.execute(
        "SELECT greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid), pg_indexes_size(c.oid) "
        "FROM pg_class AS c WHERE c.oid = %s",
        (oid,),
    ).fetchone()
    rows, heap, indexes = row if row is not None else (0, 0, 0)
    return Size(_integer(rows), _integer(heap), _integer(indexes))


def estimated_rows(connection: Connection, table: str) -> int | None:
    """By the statistics.

    Args:
        table: as SQL.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT nullif(greatest(reltuples, 0)::bigint, 0) FROM pg_class WHERE oid = to_regclass(%s)", (table,)
    ).fetchone()
    return None if row is None or row[0] is None else _integer(row[0])


_BY_EXTREMES = "SELECT min({0})::text, max({0})::text FROM {1}"
# Two scans where no index helps, for types that have no min() and max(). "t." keeps ORDER BY to the column itself.
_BY_ORDER = (
    "SELECT (SELECT t.{0}::text FROM {1} AS t WHERE t.{0} IS NOT NULL ORDER BY t.{0} LIMIT 1), "
    "(SELECT t.{0}::text FROM {1} AS t WHERE t.{0} IS NOT NULL ORDER BY t.{0} DESC LIMIT 1)"
)


def read_profile(
    connection: Connection, table: QualifiedName, partitioner: Partitioner, type_: str
) -> Profile:
    """How far the key reaches. Reads an index where one begins with the key, else every row.

    Raises:
        UnreadableValue: the least or greatest value is infinity, or no year that can be reckoned with.
    """
    column = partitioner.key[0]
    with connection.transaction():
        # No lock: values come out in the one form that is read back.
        connection.execute("SELECT set_config('DateStyle', 'ISO', true), set_config('TimeZone', 'UTC', true)")
        # ACCESS SHARE on the table: blocks nothing.
        row = connection.execute(
            sql.SQL(_BY_ORDER if type_ in ("uuid", "boolean") else _BY_EXTREMES).format(
                sql.Identifier(column), sql.Identifier(table.schema, table.name)
            )
        ).fetchone()
        low, high = row if row is not None else (None, None)
        values: tuple[Value | None, ...] = ()
        if partitioner.method == "list":
            # ACCESS SHARE on the table: blocks nothing.
            found = connection.execute(
                sql.SQL("SELECT DISTINCT {0}::text FROM {1} ORDER BY 1").format(
                    sql.Identifier(column), sql.Identifier(table.schema, table.name)
                )
            ).fetchall()
            values = tuple(_value(column, item[0], type_) for item in found)
        # ACCESS SHARE on catalogs only.
        rows = connection.execute(
            "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s",
            (table_oid(connection, table),),
        ).fetchone()
    return Profile(
        _value(column, low, type_), _value(column, high, type_), values, _integer(rows[0]) if rows else 0
    )


def _value(column: str, text: object, type_: str) -> Value | None:
    if text is None:
        return None
    try:
        return read_value(str(text), type_)
    except ValueError as error:
        raise UnreadableValue(column, str(text)) from error


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


_INVENTORY = files("evolve.postgres").joinpath("schema", "inventory.sql").read_bytes()
