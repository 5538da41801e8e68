"""What each case does to a server that holds rows and runs the statements of an older release.

    python tests/benchmarks/lint_cases/truth.py [CASE …]

blocks      a statement reads or writes a whole relation while its transaction keeps a lock that stops writes, or
            on a materialized view reads, of a relation that was there before
fails       the server refuses a statement
breaks-old  a statement of the old release that worked before the revision fails after it
loses       rows or columns that were there before are gone
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby

import psycopg
from cases import FOLDER, Case, all_cases

from evolve.postgres import scratch
from evolve.postgres.connect import Connection, connect
from evolve.postgres.measure import Snapshot, compare, held_locks
from evolve.revisions.history import History, read_history
from evolve.revisions.project import Project, find_project
from evolve.revisions.read import record
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import CapturedStatement, Recording

# What the old release does, as an object-relational mapper sends it: every mapped column in SELECT and INSERT, NULL
# where the object has no value, nothing where the column has a default in the database.
OLD_RELEASE = (
    "SELECT id, name, email, age, motto, code FROM users WHERE id = 1",
    "INSERT INTO users (id, name, email, age, motto, code) VALUES (1000, 'n', 'n@example.org', NULL, NULL, NULL)",
    "UPDATE users SET name = 'm' WHERE id = 1",
    "SELECT id, user_id, total, status, note, placed, quantity, rebate FROM orders WHERE id = 1",
    "INSERT INTO orders (id, user_id, total, note, placed, quantity, rebate) "
    "VALUES (1000, 1, 1, NULL, NULL, NULL, NULL)",
    "INSERT INTO orders (id, user_id, total, status) VALUES (1001, 1, 1, 'new')",
    "UPDATE orders SET note = 'n' WHERE id = 1",
    "SELECT id, order_id, weight FROM parcels WHERE id = 1",
    "INSERT INTO parcels (id, order_id, weight) VALUES (1000, 1, NULL)",
    "UPDATE parcels SET weight = 2 WHERE id = 1",
    "INSERT INTO events (id, year, kind) VALUES (1000, 2025, NULL)",
    "SELECT id, total FROM big_orders WHERE id = 500",
    "SELECT user_id, total FROM sums WHERE user_id = 1",
)


def prepare(recordings: Sequence[Recording], url: str) -> None:
    """Run what comes before a case.

    Args:
        url: of an empty database.
    """
    with connect(url, autocommit=True) as connection:
        for recording in recordings:
            for unit in _units(recording):
                _run(connection, unit)
        connection.execute("ANALYZE")


def measure(judged: Recording, url: str) -> frozenset[str]:
    """The hazards of a case.

    Args:
        url: of a database that was prepared for it.
    """
    with connect(url, autocommit=True) as connection:
        working, held = _working(connection), _contents(connection)
        hazards: set[str] = set()
        try:
            for unit in _units(judged):
                hazards.update(_blocking(connection, unit))
        except psycopg.Error:
            return frozenset({"fails", *_on_empty_tables(connection, judged)})
        if working - _working(connection):
            hazards.add("breaks-old")
        if _lost(held, _contents(connection)):
            hazards.add("loses")
        return frozenset(hazards)


def _on_empty_tables(connection: Connection, judged: Recording) -> Iterator[str]:
    """What the old release meets where a revision that fails on rows succeeds, as it does on a test system."""
    connection.execute("TRUNCATE users, orders, parcels, events")
    working = _working(connection)
    try:
        for unit in _units(judged):
            _run(connection, unit)
    except psycopg.Error:
        return
    if working - _working(connection):
        yield "breaks-old"


def _units(recording: Recording) -> Iterator[list[CapturedStatement]]:
    for transaction, group in groupby(recording.statements, key=lambda statement: statement.transaction):
        together = list(group)
        yield from [together] if transaction is not None else [[statement] for statement in together]


def _run(connection: Connection, unit: Sequence[CapturedStatement]) -> None:
    if unit[0].transaction is None:
        connection.execute(unit[0].sql.encode())
        return
    with connection.transaction():
        for statement in unit:
            connection.execute(statement.sql.encode())


def _blocking(connection: Connection, unit: Sequence[CapturedStatement]) -> Iterator[str]:
    if unit[0].transaction is None:
        # Outside a transaction stand the CONCURRENTLY forms alone, which keep no lock that stops writes.
        _run(connection, unit)
        return
    with connection.transaction():
        before = last = Snapshot.take(connection)
        for statement in unit:
            connection.execute(statement.sql.encode())
            done = compare(last, Snapshot.take(connection), {})
            kept = held_locks(connection, before.names)
            views = {before.names[oid] for oid, kind in before.kinds.items() if kind == "m"}
            strong = {
                name
                for name, mode in kept.items()
                if mode >= (LockMode.ACCESS_EXCLUSIVE if name in views else LockMode.SHARE)
            }
            old = set(before.names.values())
            # A table that was emptied has new files as well, and no time was spent on them.
            worked = {name for name in old & (done.scanned | done.rewritten) if _has_rows(connection, name)}
            if strong and (worked or (done.rebuilt and not done.rewritten)):
                yield "blocks"
            last = Snapshot.take(connection)  # _has_rows() counts as a scan


def _has_rows(connection: Connection, name: QualifiedName) -> bool:
    # A materialized view WITH NO DATA refuses to be read.
    filled = connection.execute(
        "SELECT FROM pg_class WHERE oid = %s::regclass AND relispopulated", (str(name),)
    )
    return bool(filled.fetchall() and connection.execute(f"SELECT FROM {name} LIMIT 1".encode()).fetchall())


def _working(connection: Connection) -> frozenset[str]:
    """The statements of the old release that the server takes."""
    working: set[str] = set()
    for sql in OLD_RELEASE:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(sql.encode())
        except psycopg.Error:
            continue
        working.add(sql)
    return frozenset(working)


def _contents(connection: Connection) -> dict[int, tuple[frozenset[int], int]]:
    """Live columns and number of rows of each ordinary table."""
    rows = connection.execute(
        """
        SELECT c.oid::bigint, array_agg(a.attnum::integer), c.oid::regclass::text
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relkind = 'r' AND c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
         GROUP BY c.oid
        """
    ).fetchall()
    found = {}
    for oid, columns, name in rows:
        counted = connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
        found[oid] = (frozenset(columns), counted[0] if counted else 0)
    return found


def _lost(
    before: dict[int, tuple[frozenset[int], int]], after: dict[int, tuple[frozenset[int], int]]
) -> bool:
    for oid, (columns, rows) in before.items():
        left, kept = after.get(oid, (frozenset(), 0))
        if rows and (columns - left or kept < rows):
            return True
    return False


def recordings_of(case: Case) -> list[Recording]:
    """Of the case and of all before it, in order."""
    project, history = _cases()
    return record(project, history.order(history.ancestors([case.name])))


@cache
def _cases() -> tuple[Project, History]:
    project = find_project(FOLDER)
    return project, read_history(project)


def words(hazards: frozenset[str]) -> str:
    return " ".join(sorted(hazards)) or "none"


def main(names: Sequence[str]) -> int:
    wrong = 0
    with scratch.server() as server:
        for case in all_cases():
            if names and case.name not in names:
                continue
            *before, judged = recordings_of(case)
            with server.database() as url:
                prepare(before, url)
                found = measure(judged, url)
            agreed = found == case.hazards
            wrong += not agreed
            label = "" if agreed else f"; labelled {words(case.hazards)}"
            sys.stdout.write(f"{'ok   ' if agreed else 'WRONG'} {case.name}: {words(found)}{label}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
