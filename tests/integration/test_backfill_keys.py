"""Every kind of key, up and down, in windows and without, with workers that are cut off: each row once, and back."""

from __future__ import annotations

import re

import psycopg
import pytest
from support.backfill import Quiet, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.resume_backfill import resume_backfill
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.keyset import NeedsPredicate, NoOrder
from evolve.backfill.shapes import Shape
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode, NoPlaceToUndo
from evolve.postgres.unkeyed import StillFits

pytestmark = pytest.mark.server

TYPES = """
    CREATE TYPE mood AS ENUM ('sad', 'calm', 'glad');
    CREATE DOMAIN code AS text CHECK (value <> '');
"""

# columns of the key, and their values over g = 1..400
KEYS = {
    "integers from the least to the greatest": (
        "a bigint",
        "CASE g WHEN 1 THEN -9223372036854775808 WHEN 400 THEN 9223372036854775807 ELSE (g - 200) * 1e15 END",
    ),
    "uuid": ("a uuid", "md5(g::text)::uuid"),
    "text by code points": ('a text COLLATE "C"', "chr(64 + g %% 60) || g || '''%%'"),
    "text by a language": ('a text COLLATE "en-x-icu"', "CASE g %% 3 WHEN 0 THEN 'é' ELSE 'E-' END || g"),
    "text that ignores case": ("a text COLLATE nocase", "CASE g %% 2 WHEN 0 THEN 'x' ELSE 'X' END || g"),
    "infinite times": (
        "a timestamptz",
        "CASE g WHEN 1 THEN '-infinity' WHEN 400 THEN 'infinity' ELSE now() + g * interval '1.1 s' END",
    ),
    "numbers that are none": ("a numeric", "CASE g WHEN 1 THEN 'NaN' ELSE g / 7.0 END"),
    "days": ("a date", "date '2026-01-01' + g"),
    "bytes": ("a bytea", "decode(md5(g::text), 'hex')"),
    "a domain": ("a code", "'c' || g"),
    "bits, which have no hash": ("a bit(12)", "g::bit(12)"),
    "mixed": ("a mood, b text, c numeric", "('{sad,calm,glad}'::mood[])[1 + g %% 3], chr(65 + g %% 7), g"),
    "a falling index": ("a integer, b date", "g %% 9, date '2026-01-01' + g"),
}

WINDOWS = (Shape(5, touch=True),)


def table(url: str, kind: str) -> None:
    columns, values = (text.replace("%%", "%") for text in KEYS[kind])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TYPES)
        if kind in ("text by a language", "text that ignores case"):
            languages(connection)
        names = ", ".join(re.findall(r"\b([abc]) \w", columns))
        connection.execute(f"CREATE TABLE t ({columns}, n integer NOT NULL DEFAULT 0, note text)".encode())
        connection.execute(
            f"INSERT INTO t SELECT {values}, 0, md5(g::text) FROM generate_series(1, 400) g".encode()
        )
        for name in names.split(", "):
            connection.execute(f"ALTER TABLE t ALTER {name} SET NOT NULL".encode())
        falls = " DESC" if kind == "a falling index" else ""
        connection.execute(f"CREATE UNIQUE INDEX ON t ({names.replace(',', falls + ',')}{falls})".encode())
        connection.execute("CREATE INDEX ON t (note)")


def languages(connection: psycopg.Connection) -> None:
    """Skips the test where the server was built without ICU."""
    if connection.execute("SELECT FROM pg_collation WHERE collname = 'en-x-icu'").fetchone() is None:
        pytest.skip("this server knows no ICU collations")
    connection.execute(
        "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )


def values_of(url: str) -> dict[int, int]:
    """n → how many rows have it."""
    with psycopg.connect(url, autocommit=True) as connection:
        return dict(connection.execute("SELECT n, count(*)::int FROM t GROUP BY 1").fetchall())


def cut_off(url: str) -> None:
    """End the sessions of all workers, in whatever they do."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'evolve backfill%'"
            " AND datname = current_database()"
        )


@pytest.mark.parametrize("kind", sorted(KEYS))
@pytest.mark.parametrize(("workers", "newest_first"), [(1, False), (3, True)])
def test_each_row_once_and_back(database_url: str, kind: str, workers: int, newest_first: bool) -> None:
    table(database_url, kind)
    cuts = {3, 9}

    def between(batches: int) -> None:
        if batches in cuts:
            cuts.discard(batches)
            cut_off(database_url)

    pace = Pace(largest=8, workers=workers, shapes=WINDOWS)
    quiet = Quiet(between=between)
    outcome = fill(
        database_url,
        spec("t", "n", "n + 1"),
        quiet,
        pace=pace,
        newest_first=newest_first,
        undo_journal_mode=JournalMode.ON,
    )
    assert (outcome.state, outcome.rows, values_of(database_url)) == (State.DONE, 400, {1: 400})
    assert not cuts
    back = undo_backfill(database_url, "t.n", pace=Pace(workers=workers), stop=Quiet(), watch=Quiet())
    assert (back.rows, values_of(database_url)) == (400, {0: 400})


# newest first


def test_the_newest_rows_come_first_and_later_ones_are_left_alone(database_url: str) -> None:
    numbers(database_url, 1000)
    written: list[tuple[int, int]] = []

    def between(batches: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO numbers VALUES (%s, 0, 0, ''), (%s, 0, 0, '')", (5000 + batches, -batches)
            )
            row = connection.execute(
                "SELECT coalesce(min(id), 0), count(*) FROM numbers WHERE n = 1"
            ).fetchone()
            assert row is not None
            written.append(row)

    downwards = Quiet(between=between)
    fill(database_url, spec("numbers", "n", "n + 1"), downwards, newest_first=True, plain_sql=True)
    lowest = [low for low, rows in written if rows]
    assert lowest == sorted(lowest, reverse=True)
    assert all(low == 3003 - 3 * rows for low, rows in written if rows and low)
    with psycopg.connect(database_url) as connection:
        kept = connection.execute(
            "SELECT count(*) FROM numbers WHERE n = 1 AND id BETWEEN 3 AND 3000"
        ).fetchone()
    assert kept == (1000,)


def test_a_run_goes_on_the_way_it_began(database_url: str) -> None:
    numbers(database_url, 1000)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 2
    fill(database_url, spec("numbers", "n", "n + 1"), quiet, newest_first=True, plain_sql=True)
    outcome = resume_backfill(database_url, "numbers.n", pace=Pace(), stop=Quiet(), watch=Quiet())
    assert outcome is not None
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT n, count(*) FROM numbers GROUP BY 1").fetchall() == [(1, 1000)]


def test_rows_that_keep_coming_do_not_keep_it_from_ending(database_url: str) -> None:
    numbers(database_url, 300)

    def between(batches: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO numbers SELECT max(id) + g, 0, 0, '' FROM numbers, generate_series(1, 500) g GROUP BY g"
            )

    outcome = fill(database_url, spec("numbers", "n", "n + 1"), Quiet(between=between))
    assert (outcome.state, outcome.rows) == (State.DONE, 300)


def test_rows_that_need_no_work_are_passed_by_in_few_batches(database_url: str) -> None:
    numbers(database_url, 20_000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET n = 7 WHERE id NOT IN (3, 30000, 60000)")
    outcome = fill(database_url, spec("numbers", "n", "7", where="n = 0"), pace=Pace(commit_seconds=2))
    assert (outcome.rows, outcome.good) == (3, True)
    assert outcome.batches < 30


# no key at all


def heap(url: str, rows: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (v integer, n integer, hits integer NOT NULL DEFAULT 0, pad text)")
        connection.execute(
            "INSERT INTO t SELECT g, NULL, 0, repeat('x', 200) FROM generate_series(1, %s) g", (rows,)
        )
        connection.execute("DELETE FROM t WHERE v BETWEEN 300 AND 600")
        connection.execute("VACUUM ANALYZE t")


BY_BLOCK = {"where": "n IS NULL", "key": ("ctid",)}


@pytest.mark.parametrize("workers", [1, 3])
def test_a_table_without_a_key_is_walked_by_blocks(database_url: str, workers: int) -> None:
    heap(database_url, 2000)
    pace = Pace(largest=100, workers=workers)
    outcome = fill(database_url, spec("t", "n", "v + 1", **BY_BLOCK), pace=pace)
    assert (outcome.state, outcome.rows, outcome.good) == (State.DONE, 1699, True)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM t WHERE n = v + 1").fetchone() == (1699,)


def test_rows_that_move_behind_the_walk_are_swept_up(database_url: str) -> None:
    heap(database_url, 2000)
    moved: list[int] = []

    def between(batches: int) -> None:
        if batches == 5:
            with psycopg.connect(database_url, autocommit=True) as connection:
                # To the free space at the front, which has been walked.
                connection.execute("DELETE FROM t WHERE v < 250")
                connection.execute("VACUUM t")
                connection.execute("UPDATE t SET hits = 1 WHERE v > 1900")
                row = connection.execute(
                    "SELECT count(*) FROM t WHERE v > 1900 AND ctid < '(10,0)'"
                ).fetchone()
                assert row is not None
                moved.append(row[0])

    quiet = Quiet(between=between)
    outcome = fill(database_url, spec("t", "n", "v", **BY_BLOCK), quiet, verify=False)
    assert moved[0] > 50
    assert any("moved while the blocks were walked" in line for line in quiet.said)
    assert (outcome.good, outcome.rows) == (True, 1699)


def test_a_predicate_that_written_rows_still_fit_is_found_out_before_they_are_kept(database_url: str) -> None:
    heap(database_url, 100)
    with pytest.raises(StillFits):
        fill(database_url, spec("t", "n", "coalesce(n, 0) + 1", where="n IS NULL OR n < 9", key=("ctid",)))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM t WHERE n IS NOT NULL").fetchone() == (0,)


def test_what_a_table_without_a_key_needs_is_said(database_url: str) -> None:
    heap(database_url, 10)
    with pytest.raises(NeedsPredicate, match="without --where"):
        fill(database_url, spec("t", "n", "v", key=("ctid",)))
    with pytest.raises(NoOrder):
        fill(database_url, spec("t", "n", "v", **BY_BLOCK), newest_first=True)
    with pytest.raises(NoPlaceToUndo):
        fill(database_url, spec("t", "n", "v", **BY_BLOCK), undo_journal_mode=JournalMode.ON)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regnamespace('evolve')").fetchone() == (None,)
