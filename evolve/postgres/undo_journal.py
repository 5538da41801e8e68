"""Before-images of a run: one row of arrays per batch, written with it and given back in reverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from evolve.errors import Refused
from evolve.postgres.backfill_target import Target, TargetColumn
from evolve.postgres.composing import identifier, table_name, type_name
from evolve.postgres.connect import Connection
from evolve.postgres.row_hash import row_hash, small_row_hash, value_hash


class NothingToUndo(Refused):
    def __init__(self, name: str) -> None:
        super().__init__(
            f'backfill "{name}" kept no undo journal',
            why="it only wrote columns that were null before, --undo-journal was off, or it was forgotten",
            fix="set the column to null, or drop it with the change that added it",
        )


WRITTEN = sql.Identifier("written")


def table_of(run_id: int) -> sql.Identifier:
    return sql.Identifier("evolve", f"backfill_undo_{run_id}")


def exists(connection: Connection, run_id: int) -> bool:
    # AccessShare on catalogs only.
    row = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL", (f"evolve.backfill_undo_{run_id}",)
    ).fetchone()
    return row == (True,)


def create(connection: Connection, run_id: int, target: Target) -> None:
    """Make the run's own table, typed like its columns; dropping it forgets the run's before-images at once."""
    columns = [
        *(sql.SQL("{} {}[]").format(name_of("key", n), type_name(c.type)) for n, c in enumerate(target.key)),
        *(sql.SQL("{} {}[]").format(name_of("old", n), _stored(c)) for n, c in enumerate(target.columns)),
    ]
    # A table of our own; nobody else knows it yet.
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} (range_no integer NOT NULL, batch_no bigint NOT NULL, {}, written integer[] NOT NULL,"
            " restored integer NOT NULL DEFAULT 0, rows integer NOT NULL, PRIMARY KEY (range_no, batch_no))"
        ).format(table_of(run_id), sql.SQL(", ").join(columns)),
        {},
    )
    keys = [name_of("key", n) for n in range(len(target.key))]
    olds = [name_of("old", n) for n in range(len(target.columns))]
    # AccessShare on catalogs only; a server may be built without lz4.
    if connection.execute(
        "SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
    ).fetchone():
        packing, packed = sql.SQL("COMPRESSION lz4"), [*keys, *olds, WRITTEN]
    else:
        # Numbers that follow each other are hardly smaller by pglz, and it takes a third of what the journal costs.
        packing, packed = sql.SQL("STORAGE EXTERNAL"), [*keys, WRITTEN]
    for column in packed:
        connection.execute(
            sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET {}").format(table_of(run_id), column, packing)
        )


def drop(connection: Connection, run_id: int) -> None:
    """AccessExclusive on a table that only this run knows."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table_of(run_id)))


def kept_otherwise(connection: Connection, run_id: int, target: Target) -> str | None:
    """A column of `target` whose old values are kept as another type than it has by now."""
    # AccessShare on catalogs only.
    rows = connection.execute(
        "SELECT attname::text, format_type(atttypid, -1) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        (f"evolve.backfill_undo_{run_id}",),
    ).fetchall()
    types = {str(name): str(kind) for name, kind in rows}
    for place, column in enumerate(target.columns):
        wanted = "text[]" if column.as_text else f"{column.type}[]"
        if types.get(f"old_{place}", wanted) != wanted:
            return column.name
    return None


def size(connection: Connection, run_id: int) -> int:
    """Rows that can still be restored."""
    # AccessShare on the run's own table.
    row = connection.execute(
        sql.SQL("SELECT coalesce(sum(rows - restored), 0)::bigint FROM {}").format(table_of(run_id))
    ).fetchone()
    return int(str(row[0])) if row else 0


def recording(
    run_id: int,
    target: Target,
    update: sql.Composed,
    where: sql.Composed,
    *,
    found_in: sql.Composable | None = None,
) -> sql.Composed:
    """`update` as one statement that also writes down what its rows held before, and a hash of what they hold now.

    Exact only in a REPEATABLE READ transaction, where a row that changed since the snapshot fails the statement, or
    when `locking` has locked the same rows before and `seen` is the number of them. Else the UPDATE would follow a
    concurrent writer and the journal would not.

    Args:
        where: the rows that `update` writes; `found_in`: what follows FROM for it, where that is more than the table.
    """
    table = target.reference
    keys = [identifier(column.name) for column in target.key]
    images = [
        sql.SQL("{}.{}::text AS {}" if column.as_text else "{}.{} AS {}").format(
            table, identifier(column.name), name_of("old", place)
        )
        for place, column in enumerate(target.columns)
    ]
    arrays = [
        *(sql.SQL("array_agg(before.{})").format(key) for key in keys),
        *(
            sql.SQL("array_agg(before.{})").format(name_of("old", place))
            for place in range(len(target.columns))
        ),
    ]
    return sql.SQL(
        "WITH before AS MATERIALIZED (SELECT {own_keys}, {images} FROM {found_in} WHERE {where}),"
        " after AS ({update} RETURNING {own_keys}, {hash} AS written),"
        " noted AS (INSERT INTO {undo} (range_no, batch_no, {names}, written, rows)"
        " SELECT %(range_no)s, %(batch_no)s, {arrays}, array_agg(after.written), count(*)"
        " FROM before JOIN after USING ({keys}) HAVING count(*) > 0 RETURNING rows)"
        " SELECT (SELECT count(*) FROM before) AS seen, coalesce((SELECT rows FROM noted), 0) AS changed"
    ).format(
        keys=sql.SQL(", ").join(keys),
        images=sql.SQL(", ").join(images),
        found_in=found_in or target.source,
        where=where,
        update=update,
        own_keys=sql.SQL(", ").join(sql.SQL("{}.{}").format(table, key) for key in keys),
        hash=_hash(target, table),
        undo=table_of(run_id),
        names=sql.SQL(", ").join(
            [name_of("key", n) for n in range(len(keys))]
            + [name_of("old", n) for n in range(len(target.columns))]
        ),
        arrays=sql.SQL(", ").join(arrays),
    )


def returning(run_id: int, target: Target, update: sql.Composed) -> sql.Composed:
    """As `recording`, for PostgreSQL 18 and later, and exact under any isolation: the UPDATE itself tells what the
    version held that it replaced, also where it followed a concurrent writer.
    """
    keys = [sql.SQL("{}.{}").format(target.reference, identifier(each.name)) for each in target.key]
    keyed = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(key, name_of("key", place)) for place, key in enumerate(keys)
    )
    images = sql.SQL(", ").join(
        sql.SQL("evolve_old.{}::text AS {}" if column.as_text else "evolve_old.{} AS {}").format(
            identifier(column.name), name_of("old", place)
        )
        for place, column in enumerate(target.columns)
    )
    names = [name_of("key", n) for n in range(len(keys))] + [
        name_of("old", n) for n in range(len(target.columns))
    ]
    return sql.SQL(
        "WITH after AS ({update} RETURNING WITH (OLD AS evolve_old) {keyed}, {images}, {hash} AS written),"
        " noted AS (INSERT INTO {undo} (range_no, batch_no, {names}, written, rows)"
        " SELECT %(range_no)s, %(batch_no)s, {arrays}, array_agg(written), count(*)"
        " FROM after HAVING count(*) > 0 RETURNING rows)"
        " SELECT coalesce(max(rows), 0) AS seen, coalesce(max(rows), 0) AS changed FROM noted"
    ).format(
        update=update,
        keyed=keyed,
        images=images,
        hash=_hash(target, target.reference),
        undo=table_of(run_id),
        names=sql.SQL(", ").join(names),
        arrays=sql.SQL(", ").join(sql.SQL("array_agg({})").format(name) for name in names),
    )


def locking(target: Target, where: sql.Composed, *, found_in: sql.Composable | None = None) -> sql.Composed:
    """Lock the rows of a batch in key order; their number. Waits for writers where a REPEATABLE READ batch fails."""
    table = target.reference
    keys = sql.SQL(", ").join(sql.SQL("{}.{}").format(table, identifier(each.name)) for each in target.key)
    return sql.SQL(
        "SELECT count(*) FROM (SELECT FROM {} WHERE {} ORDER BY {} FOR NO KEY UPDATE OF {}) AS locked"
    ).format(found_in or target.source, where, keys, identifier((target.called or target.table).name))


@dataclass(frozen=True, slots=True)
class Compared:
    """Rows of one batch.

    Args:
        restorable: still hold what the batch wrote.
        changed: hold something else; `gone`: are not there any more.
    """

    restorable: int
    changed: int
    gone: int


def compare(connection: Connection, run_id: int, target: Target) -> Iterator[Compared]:
    """What the table holds now against what is left in the journal, one batch after the other, without a lock."""
    table = table_name(target.table)
    keys = [name_of("key", place) for place in range(len(target.key))]
    own_keys = [sql.SQL("{}.{}").format(table, identifier(c.name)) for c in target.key]
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE {there} AND {held}) AS restorable,"
        " count(*) FILTER (WHERE {there} AND NOT {held}) AS changed,"
        " count(*) FILTER (WHERE NOT ({there})) AS gone"
        " FROM (SELECT slice.* FROM {undo} AS entry, unnest({arrays}) WITH ORDINALITY AS slice ({names}, place)"
        " WHERE entry.range_no = %s AND entry.batch_no = %s AND slice.place > entry.restored OFFSET 0) AS saved"
        " LEFT JOIN {table} ON ({own_keys}) = ({saved_keys})"
    ).format(
        there=sql.SQL("{} IS NOT NULL").format(own_keys[0]),
        held=still_held(target, table, wide=is_wide(connection, run_id)),
        undo=table_of(run_id),
        arrays=sql.SQL(", ").join(sql.SQL("entry.{}").format(name) for name in (*keys, WRITTEN)),
        names=sql.SQL(", ").join((*keys, WRITTEN)),
        table=table,
        own_keys=sql.SQL(", ").join(own_keys),
        saved_keys=sql.SQL(", ").join(sql.SQL("saved.{}").format(key) for key in keys),
    )
    # AccessShare on the run's own table.
    batches = connection.execute(
        sql.SQL("SELECT range_no, batch_no FROM {} ORDER BY range_no, batch_no DESC").format(table_of(run_id))
    ).fetchall()
    for batch in batches:
        with connection.cursor(row_factory=class_row(Compared)) as cursor:
            # AccessShare; as many looks into the key's index as the batch has rows.
            found = cursor.execute(query, batch).fetchone()
        if found is not None:
            yield found


def is_wide(connection: Connection, run_id: int) -> bool:
    """Whether the journal was begun by an evolve that kept eight bytes of hash for each row."""
    # AccessShare on catalogs only.
    row = connection.execute(
        "SELECT atttypid = 'bigint[]'::regtype FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attname = 'written'",
        (f"evolve.backfill_undo_{run_id}",),
    ).fetchone()
    return row == (True,)


def _hash(target: Target, reference: sql.Composable) -> sql.Composed:
    """By which a row is known later to hold what the run wrote."""
    values = _values(target, reference)
    return _one_hash(target, values) or small_row_hash(values)


def still_held(target: Target, reference: sql.Composable, *, wide: bool) -> sql.Composed:
    """Whether a row of `reference` holds what the run wrote by `saved.written`, whichever evolve noted that.

    Args:
        wide: see `is_wide`.
    """
    values = _values(target, reference)
    if wide:
        return sql.SQL("{} = saved.written").format(row_hash(values))
    hashes = [each for each in (_one_hash(target, values), small_row_hash(values)) if each is not None]
    return sql.SQL("({})").format(
        sql.SQL(" OR ").join(sql.SQL("{} = saved.written").format(each) for each in hashes)
    )


def _one_hash(target: Target, values: Sequence[sql.Composable]) -> sql.Composed | None:
    return value_hash(values[0], target.columns[0].type) if len(values) == 1 else None


def _values(target: Target, reference: sql.Composable) -> list[sql.Composed]:
    return [sql.SQL("{}.{}").format(reference, identifier(column.name)) for column in target.columns]


def name_of(prefix: str, place: int) -> sql.Identifier:
    return sql.Identifier(f"{prefix}_{place}")


def _stored(column: TargetColumn) -> sql.SQL:
    return sql.SQL("text") if column.as_text else type_name(column.type)
