"""Tripwires: triggers that tell who still writes what a change takes away.

Of a column they tell each UPDATE that names it: what another trigger, such as the sync trigger, puts there does not
count. An INSERT does not tell which columns it named. Of a table they tell every write.

Connections must be in autocommit mode.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import randbits

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from evolve.errors import Refused
from evolve.plan.change import Place
from evolve.plan.gate_sql import tripwire_trigger
from evolve.plan.gates import Observation
from evolve.plan.model import NotTripped
from evolve.postgres.composing import identifier, table_name
from evolve.postgres.connect import Connection
from evolve.postgres.statement_use import of_children
from evolve.sql.names import QualifiedName, parse_name

_LOCK_TIMEOUT = "500ms"  # while CREATE and DROP TRIGGER wait for their lock, writers queue behind them
_ATTEMPTS = 20


class TableBusy(Refused):
    def __init__(self, table: QualifiedName, doing: str) -> None:
        super().__init__(
            f'"{table.plain}" was too busy to {doing} its tripwire: no lock within {_LOCK_TIMEOUT}, {_ATTEMPTS} times',
            why="a statement that waits longer for its lock would hold up the application",
            fix="run it again when there is less to do; see who holds it: SELECT * FROM pg_stat_activity",
        )


@dataclass(frozen=True, slots=True)
class Armed:
    """A tripwire that is in place.

    Args:
        relation: quoted, with its schema.
    """

    change: str
    relation: str
    trigger: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Hit:
    """Who has written it: how many sessions told of themselves, each once a minute at most.

    Args:
        statement: the newest, without its texts.
    """

    application: str
    role: str
    count: int
    last: datetime
    statement: str

    def __str__(self) -> str:
        who = f'"{self.role}"' + (f" ({self.application})" if self.application else "")
        return f"{who} at {self.last:%Y-%m-%d %H:%M}: {' '.join(self.statement.split())}"


# -- looking ------------------------------------------------------------------------------------------------
def armed(connection: Connection, change: str) -> list[Armed]:
    """The tripwires of `change` in this database."""
    # ACCESS SHARE on our own table and catalogs.
    there = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evolve' AND c.relname = 'tripwire'"
    ).fetchone()
    if there is None:
        return []
    with connection.cursor(row_factory=class_row(Armed)) as cursor:
        return cursor.execute(
            "SELECT change, relation, trigger, actor, at FROM evolve.tripwire WHERE change = %s ORDER BY relation",
            (change,),
        ).fetchall()


def hits(connection: Connection, change: str) -> list[Hit]:
    """Who has met a tripwire of `change` since it was armed, the newest first; the tables must be there."""
    with connection.cursor(row_factory=class_row(Hit)) as cursor:
        # ACCESS SHARE on our own table.
        return cursor.execute(
            "SELECT application, role, count(*)::int AS count, max(at) AS last,"
            " (array_agg(statement ORDER BY hit_id DESC))[1] AS statement"
            " FROM evolve.tripwire_hit WHERE change = %s GROUP BY 1, 2 ORDER BY 4 DESC",
            (change,),
        ).fetchall()


def observe(connection: Connection, change: str, gate: NotTripped) -> Observation:
    """Look at the gate; writes nothing."""
    tripwires = armed(connection, change)
    if not tripwires:
        return Observation(gate, True, "none is armed")
    deaf = [each.relation for each in tripwires if not _listens(connection, each)]
    if deaf:
        # It may have been so for as long as anybody knows.
        fix = f"arm it anew: evolve tripwire {change}; or do without: evolve tripwire {change} --disarm"
        return Observation(gate, False, f"the tripwire on {', '.join(deaf)} is gone or disabled", fix)
    met = hits(connection, change)
    since = f"since {tripwires[0].at:%Y-%m-%d %H:%M}"
    if not met:
        return Observation(gate, True, f"nobody {since}")
    more = f", and {len(met) - 1} more" if len(met) > 1 else ""
    return Observation(
        gate, False, f"{met[0]}{more}", f"let it do without, then arm it anew: evolve tripwire {change}"
    )


# -- arming -------------------------------------------------------------------------------------------------
def arm(connection: Connection, change: str, places: Sequence[Place], actor: str) -> list[Armed]:
    """Put a tripwire on each table of `places`, and forget who met it before; a transaction a table.

    SHARE ROW EXCLUSIVE on the table for an instant; the tables of schema evolve must be there.

    Raises:
        TableBusy: the lock was not to be had; tables before it have theirs.
    """
    connection.execute("DELETE FROM evolve.tripwire_hit WHERE change = %s", (change,))
    # A partition may have been dropped since.
    connection.execute(
        "DELETE FROM evolve.tripwire WHERE change = %s AND to_regclass(relation) IS NULL", (change,)
    )
    tables = list(_tables(connection, places))
    for table, columns in tables:
        values = (change, table.full, tripwire_trigger(change), actor)
        _patiently(connection, table, "arm", _arming(change, table, columns), values)
    names = {table.full for table, _ in tables}
    return [each for each in armed(connection, change) if each.relation in names]


def disarm(connection: Connection, change: str) -> bool:
    """Take the tripwires of `change` away; False where there are none. ACCESS EXCLUSIVE on each table for an instant.

    Raises:
        TableBusy: the lock was not to be had; run it again.
    """
    tripwires = armed(connection, change)
    for each in tripwires:
        table = parse_name(each.relation)
        drop = (
            sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(identifier(each.trigger), table_name(table))
            if _relation_exists(connection, each.relation)
            else sql.SQL("SELECT")
        )
        forget = sql.SQL("DELETE FROM evolve.tripwire WHERE change = %s AND relation = %s")
        _patiently(connection, table, "take away", [drop, forget], (change, each.relation))
    return bool(tripwires)


def _arming(change: str, table: QualifiedName, columns: Sequence[str]) -> list[sql.Composable]:
    events = (
        sql.SQL("UPDATE OF {}").format(sql.SQL(", ").join([identifier(column) for column in columns]))
        if columns
        else sql.SQL("INSERT OR UPDATE OR DELETE OR TRUNCATE")
    )
    return [
        sql.SQL(
            "CREATE OR REPLACE TRIGGER {} AFTER {} ON {} FOR EACH STATEMENT EXECUTE FUNCTION evolve.tripped({}, {})"
        ).format(
            identifier(tripwire_trigger(change)),
            events,
            table_name(table),
            sql.Literal(change),
            sql.Literal(str(randbits(64))),
        ),
        sql.SQL(
            "INSERT INTO evolve.tripwire (change, relation, trigger, actor) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (change, relation) DO UPDATE SET actor = excluded.actor, at = clock_timestamp()"
        ),
    ]


def _patiently(
    connection: Connection,
    table: QualifiedName,
    doing: str,
    statements: Sequence[sql.Composable],
    values: Sequence[object],
) -> None:
    """Send `statements` in one transaction, the last one with `values`, until the lock is had."""
    for number in range(_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
                for statement in statements[:-1]:
                    connection.execute(sql.Composed([statement]), ())
                connection.execute(sql.Composed([statements[-1]]), values)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            time.sleep(min(5.0, 0.2 * 1.5**number))
        else:
            return
    raise TableBusy(table, doing)


def _tables(
    connection: Connection, places: Sequence[Place]
) -> Iterator[tuple[QualifiedName, tuple[str, ...]]]:
    """Each table with its columns that are told of; none where all of it is. Views have no such triggers.

    So has each partition, and what else inherits: who writes it by its own name does not meet what is on its parent.
    """
    places = [*places, *of_children(connection, places)]
    tables: dict[QualifiedName, list[str]] = {}
    whole = {table for table, column in places if column is None}
    for table, column in places:
        tables.setdefault(table, []).extend([column] if column is not None else [])
    for table, columns in tables.items():
        # ACCESS SHARE on catalogs only.
        row = connection.execute(
            "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", (table.full,)
        ).fetchone()
        if row is not None and row[0] in ("r", "p"):
            yield table, () if table in whole else tuple(columns)


def _listens(connection: Connection, tripwire: Armed) -> bool:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = %s AND tgenabled IN ('A', 'O')",
        (tripwire.relation, tripwire.trigger),
    ).fetchone()
    return row is not None


def _relation_exists(connection: Connection, relation: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (relation,)).fetchone()
    return row == (True,)
