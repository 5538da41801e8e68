"""How a run goes along a table: the first key, the next boundary, and the ranges it is cut into."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from evolve.backfill.keyset import Key
from evolve.backfill.ports import Leaf, Stretch
from evolve.postgres.backfill_target import Target
from evolve.postgres.composing import identifier, table_name
from evolve.postgres.connect import Connection
from evolve.postgres.pieces import (
    CUTS,
    backwards,
    from_first,
    in_order,
    key_text,
    key_values,
    keys_between,
    rows_of,
    up_to,
)

RANGE_ROWS = 50_000  # a range is worth a lease when it has so many rows
MOST_RANGES = 64
SAMPLE_ROWS = 20_000  # keys looked at to find even ranges


class Walk:
    """What a run asks of its table's keys, composed once: the texts stay the same, so the server keeps their plans.

    Args:
        empty: as if it had no rows.
        first, last: key where the walk begins and ends; no row where the table is empty.
        boundaries, counts: for a stretch that begins a range, and for one that goes on.
        keys: of the rows of a piece, in order.
    """

    def __init__(self, target: Target, *, empty: bool = False) -> None:
        key, table = target.key, table_name(target.table)
        among = sql.SQL(" AND false" if empty else "")
        columns = sql.SQL(", ").join(identifier(column.name) for column in key)
        if target.by_block:
            self.first, self.last = _blocks(target)
            boundary = BLOCK_BOUNDARY
        else:
            edge = sql.SQL("SELECT {} FROM (SELECT {} FROM {} ORDER BY {} LIMIT 1) edge")
            self.first = edge.format(key_text(key), columns, table, in_order(key)).as_bytes()
            self.last = edge.format(key_text(key), columns, table, in_order(backwards(key))).as_bytes()
            boundary = KEY_BOUNDARY
        self.boundaries = {
            opening: boundary.format(
                key=key_text(key),
                columns=columns,
                table=table,
                between=sql.SQL("{}{}").format(keys_between(key, opening=opening), among),
                order=in_order(key),
            ).as_bytes()
            for opening in (True, False)
        }
        self.counts = {
            opening: sql.SQL("SELECT count(*) FROM {} WHERE {}{}")
            .format(table, keys_between(key, opening=opening), among)
            .as_bytes()
            for opening in (True, False)
        }
        self.keys = {
            cut: sql.SQL("SELECT {} FROM {} WHERE {}{} ORDER BY {}")
            .format(key_text(key), table, rows_of(key, cut, None), among, in_order(key))
            .as_bytes()
            for cut in CUTS
        }


KEY_BOUNDARY = sql.SQL(
    "SELECT {key} FROM (SELECT {columns} FROM {table} WHERE {between} ORDER BY {order}"
    " OFFSET %(rows)s::bigint - 1 LIMIT 1) edge"
)
# Rows come in whatever order the server reads them: any of their places will do, as long as none lies behind it.
BLOCK_BOUNDARY = sql.SQL(
    "SELECT {key} FROM (SELECT max(ctid) AS ctid FROM (SELECT ctid FROM {table} WHERE {between}"
    " LIMIT %(rows)s::bigint) stretch HAVING count(*) = %(rows)s::bigint) edge"
)


def _blocks(target: Target) -> tuple[bytes, bytes]:
    """Places before the first row and behind the last: no row has the number 0 on its page."""
    blocks = sql.SQL("pg_relation_size({}::oid::regclass) / current_setting('block_size')::bigint").format(
        sql.Literal(target.oid)
    )
    place = sql.SQL("SELECT ARRAY['(' || {} || ',0)'] FROM (SELECT {} AS blocks) size WHERE blocks > 0")
    return place.format(sql.Literal(0), blocks).as_bytes(), place.format(sql.SQL("blocks"), blocks).as_bytes()


def edges(connection: Connection, target: Target) -> tuple[Key, Key] | None:
    """Keys where the walk begins and ends; None where there is nothing to walk."""
    walk = Walk(target)
    # AccessShare; one look at each end of the index.
    first = read_key(connection.execute(walk.first, {}).fetchone())
    last = read_key(connection.execute(walk.last, {}).fetchone())
    return None if first is None or last is None else (first, last)


def cut(connection: Connection, target: Target, workers: int, leaf: Leaf | None = None) -> list[Stretch]:
    """Ranges of about as many rows each, in the order they are to be walked; none where the table is empty."""
    rows = target.rows_estimate or 0
    wanted = min(max(rows // RANGE_ROWS, workers * 4 if workers > 1 else 1), MOST_RANGES)
    return places_of(connection, target, wanted, leaf)


def places_of(connection: Connection, target: Target, wanted: int, leaf: Leaf | None = None) -> list[Stretch]:
    """As `cut`, into about `wanted` stretches."""
    ends = edges(connection, target)
    if ends is None:
        return []
    first, last = ends
    between = []
    if wanted > 1:
        between = (
            _block_ends(wanted, last)
            if target.by_block
            else _key_ends(connection, target, wanted, first, last)
        )
    lows = [None, *between]
    return [
        Stretch(first if low is None else None, low, upto, leaf)
        for low, upto in zip(lows, [*between, last], strict=True)
    ]


def _block_ends(wanted: int, last: Key) -> list[Key]:
    blocks = int(last[0].strip("()").partition(",")[0])
    ends = {blocks * place // wanted for place in range(1, wanted)} - {0, blocks}
    return [(f"({block},0)",) for block in sorted(ends)]


def _key_ends(connection: Connection, target: Target, wanted: int, first: Key, last: Key) -> list[Key]:
    share = min(100.0, 100.0 * SAMPLE_ROWS / max(target.rows_estimate or 0, 1))
    columns = sql.SQL(", ").join(identifier(column.name) for column in target.key)
    # AccessShare; reads about as many rows as it wants, page by page.
    found = connection.execute(
        sql.SQL(
            "SELECT {key} FROM (SELECT {columns}, row_number() OVER (ORDER BY {order}) AS place,"
            " count(*) OVER () AS keys FROM {table} TABLESAMPLE SYSTEM (%(share)s) WHERE {begun} AND {known})"
            " AS sampled WHERE place * %(wanted)s / keys > (place - 1) * %(wanted)s / keys ORDER BY place"
        ).format(
            key=key_text(target.key),
            columns=columns,
            order=in_order(target.key),
            table=table_name(target.table),
            begun=from_first(target.key),
            known=up_to(target.key),
        ),
        {"wanted": wanted, "share": share, **key_values("first", first), **key_values("upto", last)},
    ).fetchall()
    ends = [key for row in found if (key := read_key(row)) is not None]
    return [end for end in ends[:-1] if end != last]


def in_walking_order(
    connection: Connection, leaves: Sequence[tuple[Leaf, Target]]
) -> list[tuple[Leaf, Target]]:
    """Leaves by their first keys, without those that have no rows. Places in a table have no order."""
    if not leaves or leaves[0][1].by_block:
        return list(leaves)
    key = leaves[0][1].key
    columns = sql.SQL(", ").join(identifier(column.name) for column in key)
    # AccessShare on each; one look at an end of its index.
    found = connection.execute(
        sql.SQL("SELECT place FROM ({}) AS edge ORDER BY {}").format(
            sql.SQL(" UNION ALL ").join(
                sql.SQL("(SELECT {}::integer AS place, {} FROM {} ORDER BY {} LIMIT 1)").format(
                    sql.Literal(place), columns, table_name(target.table), in_order(key)
                )
                for place, (_, target) in enumerate(leaves)
            ),
            in_order(key),
        ),
        {},
    ).fetchall()
    return [leaves[int(str(row[0]))] for row in found]


def read_key(row: tuple[object, ...] | None) -> Key | None:
    if row is None or not isinstance(row[0], list):
        return None
    return tuple(str(part) for part in row[0])
