"""A backfill against one bare UPDATE of all rows, and beside the ways people write by hand."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.backfill import Quiet, fill, spec
from support.backfill_bench import (
    CORRELATED,
    MIXED,
    RANDOM,
    ROWS,
    Bench,
    Way,
    bench,
    told,
)

from evolve.app import backfill_worker
from evolve.app.backfill_work import Pace
from evolve.backfill.shapes import SLICES, Shape
from evolve.backfill.undo import JournalMode

pytestmark = pytest.mark.server

SET = "email_norm = lower(email)"


@pytest.fixture(scope="module")
def server() -> Iterator[Bench]:
    with bench() as made:
        yield made


def one_update(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"UPDATE accounts SET {SET}".encode())


def forced(*, slices: int, touch: bool) -> Way:
    """A backfill that has nothing to choose from."""

    def way(url: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backfill_worker, "candidates", lambda **_: (Shape(slices, touch=touch),))
            backfill()(url)

    return way


def backfill(*, undo: JournalMode = JournalMode.OFF, plain_sql: bool = False, workers: int = 1) -> Way:
    def way(url: str) -> None:
        done = fill(
            url,
            spec("accounts", "email_norm", "lower(email)"),
            Quiet(),
            pace=Pace(workers=workers),
            verify=False,
            undo_journal_mode=undo,
            plain_sql=plain_sql,
        )
        assert done.rows == ROWS

    return way


SHAPES = {
    "one UPDATE": one_update,
    "chosen": backfill(),
    "plain": forced(slices=1, touch=False),
    "plain, assigned": forced(slices=1, touch=True),
    "window": forced(slices=SLICES, touch=False),
    "window, assigned": forced(slices=SLICES, touch=True),
}


def keyset_loop(rows: int) -> Way:
    """As people write it: the next keys, an UPDATE of that range, COMMIT."""

    def way(url: str) -> None:
        with psycopg.connect(url) as connection:
            after = 0
            while True:
                row = connection.execute(
                    "SELECT max(id) FROM (SELECT id FROM accounts WHERE id > %s ORDER BY id LIMIT %s) AS next",
                    (after, rows),
                ).fetchone()
                if row is None or row[0] is None:
                    break
                connection.execute(
                    f"UPDATE accounts SET {SET} WHERE id > %s AND id <= %s".encode(), (after, row[0])
                )
                connection.commit()
                after = row[0]

    return way


def procedure(rows: int) -> Way:
    """The same loop inside the server."""

    def way(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                f"""
                CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$
                DECLARE low bigint := 0; high bigint;
                BEGIN
                    LOOP
                        SELECT max(id) INTO high
                          FROM (SELECT id FROM accounts WHERE id > low ORDER BY id LIMIT {rows}) AS next;
                        EXIT WHEN high IS NULL;
                        UPDATE accounts SET {SET} WHERE id > low AND id <= high;
                        COMMIT;
                        low := high;
                    END LOOP;
                END $$""".encode()
            )
            connection.execute("CALL fill()")

    return way


def joined_back(rows: int) -> Way:
    """Locked keys of a LIMIT joined back to the table, as pgroll's batches do."""

    def way(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            after = 0
            while True:
                row = connection.execute(
                    f"""
                    WITH batch AS (SELECT id FROM accounts WHERE id > %s ORDER BY id LIMIT {rows} FOR NO KEY UPDATE),
                         done AS (UPDATE accounts SET {SET} FROM batch WHERE accounts.id = batch.id
                                  RETURNING accounts.id)
                    SELECT max(id) FROM done""".encode(),
                    (after,),
                ).fetchone()
                if row is None or row[0] is None:
                    break
                after = row[0]

    return way


def flagged(rows: int) -> Way:
    """As pgroll does it as a whole: a trigger computes the value, and a batch touches rows whose flag is still set."""

    def way(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                """
                ALTER TABLE accounts ADD waits boolean DEFAULT true;
                CREATE FUNCTION normalise() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN NEW.email_norm := lower(NEW.email); NEW.waits := false; RETURN NEW; END $$;
                CREATE TRIGGER normalise BEFORE INSERT OR UPDATE ON accounts
                    FOR EACH ROW EXECUTE FUNCTION normalise()"""
            )
            after = 0
            while True:
                row = connection.execute(
                    f"""
                    WITH batch AS (SELECT id FROM accounts WHERE id > %s AND waits
                                   ORDER BY id LIMIT {rows} FOR NO KEY UPDATE),
                         done AS (UPDATE accounts SET id = accounts.id FROM batch WHERE accounts.id = batch.id
                                  RETURNING accounts.id)
                    SELECT max(id) FROM done""".encode(),
                    (after,),
                ).fetchone()
                if row is None or row[0] is None:
                    break
                after = row[0]

    return way


def in_limit(rows: int) -> Way:
    """Whatever is still null, some at a time."""

    def way(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            left = f"SELECT id FROM accounts WHERE email_norm IS NULL LIMIT {rows}"
            while connection.execute(f"UPDATE accounts SET {SET} WHERE id IN ({left})".encode()).rowcount:
                pass

    return way


def executemany(rows: int) -> Way:
    """Rows to the client, values back one by one (psycopg sends them in pipelines)."""

    def way(url: str) -> None:
        with psycopg.connect(url) as connection:
            after = 0
            while True:
                found = connection.execute(
                    "SELECT id, email FROM accounts WHERE id > %s ORDER BY id LIMIT %s", (after, rows)
                ).fetchall()
                if not found:
                    break
                with connection.cursor() as cursor:
                    cursor.executemany(
                        "UPDATE accounts SET email_norm = %s WHERE id = %s",
                        [(str(email).lower(), key) for key, email in found],
                    )
                connection.commit()
                after = found[-1][0]

    return way


def test_against_one_update(server: Bench) -> None:
    costs = server.costs(
        server.template(RANDOM),
        {
            "one UPDATE": one_update,
            "backfill": backfill(),
            "backfill, undo journal": backfill(undo=JournalMode.ON),
            "backfill, plain SQL": backfill(plain_sql=True),
            "backfill, two workers": backfill(workers=2),
        },
    )
    ratios = told("backfill_against_one_update", costs, "one UPDATE")
    assert ratios["backfill"]["growth"] < 1.5


def test_beside_other_ways(server: Bench) -> None:
    costs = server.costs(
        server.template(RANDOM),
        {
            "backfill": backfill(),
            "keyset loop, 1,000 rows": keyset_loop(1_000),
            "keyset loop, 10,000 rows": keyset_loop(10_000),
            "procedure with COMMIT, 10,000 rows": procedure(10_000),
            "LIMIT joined back, 1,000 rows": joined_back(1_000),
            "that, by trigger and flag": flagged(1_000),
            "executemany, 1,000 rows": executemany(1_000),
        },
    )
    told("backfill_beside_other_ways", costs, "backfill")


def test_beside_a_limit(server: Bench) -> None:
    rows = min(ROWS, 200_000)  # it slows down with the square of the table
    costs = server.costs(
        server.template(RANDOM, rows=rows),
        {"one UPDATE": one_update, "IN (SELECT … LIMIT 10,000)": in_limit(10_000)},
    )
    told("backfill_beside_a_limit", costs, "one UPDATE", rows)


@pytest.mark.parametrize(
    ("kind", "indexes", "key"),
    [
        ("no index", (), "bigint"),
        ("one correlated index", CORRELATED, "bigint"),
        ("four mixed indexes", MIXED, "bigint"),
        ("one random index", RANDOM, "bigint"),
        ("uuid key", RANDOM, "uuid"),
    ],
)
def test_the_choice_of_shape(server: Bench, kind: str, indexes: tuple[str, ...], key: str) -> None:
    """What is chosen while it runs, beside all that it chooses from."""
    costs = server.costs(server.template(indexes, key=key), SHAPES)
    told(f"backfill_shape_{kind.replace(' ', '_')}", costs, "one UPDATE")


def test_the_choice_of_shape_while_a_snapshot_is_held(server: Bench) -> None:
    """Nothing can be pruned then: a window costs and brings nothing."""
    costs = server.costs(
        server.template(RANDOM), {name: beside_a_snapshot(way) for name, way in SHAPES.items()}
    )
    told("backfill_shape_old_snapshot", costs, "one UPDATE")


def beside_a_snapshot(way: Way) -> Way:
    def held(url: str) -> None:
        with psycopg.connect(url) as old:
            old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            old.execute("SELECT 1 FROM accounts LIMIT 1")
            way(url)

    return held
