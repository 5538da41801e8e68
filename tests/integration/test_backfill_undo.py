"""The undo journal holds what rows really held, also under writers, and gives back only what nobody changed since."""

from __future__ import annotations

import random
import threading

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Outcome, Pace
from evolve.app.preview_undo import preview_undo
from evolve.app.undo_backfill import undo_backfill, undo_conflicts
from evolve.backfill.record import AlreadyRunning, BeingUndone, RunEnded
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.postgres import journal
from evolve.postgres.connect import connect
from evolve.postgres.undo_journal import NothingToUndo
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server


def undo(url: str, name: str, quiet: Quiet | None = None) -> Outcome:
    quiet = quiet or Quiet()
    return undo_backfill(url, name, pace=Pace(largest=70), stop=quiet, watch=quiet)


def test_rows_get_their_old_values_back(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "note", "upper(note)"))
    outcome = undo(database_url, "numbers.note")
    assert (outcome.state, outcome.rows, outcome.conflicts) == (State.UNDONE, 1000, 0)
    with psycopg.connect(database_url) as connection:
        left = connection.execute("SELECT count(*) FROM numbers WHERE note <> md5((id / 3)::text)").fetchone()
    assert left == (0,)


def test_a_row_that_changed_since_keeps_what_it_has_and_is_listed(database_url: str) -> None:
    numbers(database_url, 500)
    fill(database_url, spec("numbers", "n", "n + 1"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET n = 9 WHERE id IN (30, 600)")
        connection.execute("DELETE FROM numbers WHERE id = 900")
        connection.execute("UPDATE numbers SET hits = 9 WHERE id = 1200")  # another column is no conflict
    outcome = undo(database_url, "numbers.n")
    assert (outcome.rows, outcome.conflicts, outcome.good) == (497, 3, False)
    assert sorted(undo_conflicts(database_url, "numbers.n")) == [
        (("30",), "changed since"),
        (("600",), "changed since"),
        (("900",), "row is gone"),
    ]
    assert by_value(database_url) == {0: 497, 9: 2}


def test_a_journal_keeps_no_enumeration_from_being_dropped(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE t (id int PRIMARY KEY, e mood);"
            "INSERT INTO t VALUES (1, 'sad')"
        )
        fill(database_url, Spec("moods", QualifiedName("t"), (("e", "'glad'"),)))
        connection.execute("ALTER TABLE t DROP COLUMN e; DROP TYPE mood")
        kept = connection.execute("SELECT old_0::text FROM evolve.backfill_undo_1").fetchall()
    assert kept == [("{sad}",)]


def test_values_of_every_kind_come_back(database_url: str) -> None:
    columns = {
        "a": ("text[]", "CASE WHEN g % 3 = 0 THEN NULL ELSE ARRAY['x', NULL, '{\"'] END", "ARRAY['new']"),
        "j": ("jsonb", "jsonb_build_object('g', g)", "'[]'"),
        "t": (
            "timestamptz",
            "CASE WHEN g % 2 = 0 THEN 'infinity' ELSE now() - g * interval '1 h' END",
            "now()",
        ),
        "f": ("float8", "CASE WHEN g % 5 = 0 THEN 'NaN' ELSE g / 7.0::float8 END", "0"),
        "b": ("bytea", "decode(md5(g::text), 'hex')", "''"),
        "c": ("char(5)", "g::text", "'new'"),
        "e": ("mood", "CASE g % 2 WHEN 0 THEN 'sad' ELSE 'glad' END::mood", "'glad'"),
        "d": ("short", "g::text::short", "'new'"),
    }
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN short AS text CHECK (length(value) < 6)"
        )
        listed = ", ".join(f"{name} {kind}" for name, (kind, _, _) in columns.items())
        values = ", ".join(value for _, value, _ in columns.values())
        connection.execute(f"CREATE TABLE t (k text, v date, {listed}, PRIMARY KEY (v, k))".encode())
        connection.execute(
            f"INSERT INTO t SELECT md5(g::text), '2026-01-01'::date + g % 9, {values}"
            " FROM generate_series(1, 300) g".encode()
        )
        connection.execute("CREATE TABLE before AS TABLE t")
    fill(
        database_url,
        Spec("all", QualifiedName("t"), tuple((name, new) for name, (_, _, new) in columns.items())),
    )
    outcome = undo(database_url, "all")
    assert (outcome.rows, outcome.conflicts) == (300, 0)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM (TABLE before EXCEPT TABLE t) d").fetchone() == (0,)


def test_the_journal_is_exact_while_others_write_the_same_rows(database_url: str) -> None:
    rows = 4000
    numbers(database_url, rows)
    stop = threading.Event()
    with psycopg.connect(database_url, autocommit=True) as connection:
        # What the backfill really found in each row, written down by the server itself.
        connection.execute(
            """
            CREATE TABLE truth (id bigint, old integer);
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF current_setting('application_name') LIKE 'evolve backfill numbers%'
                        THEN INSERT INTO truth VALUES (OLD.id, OLD.n); END IF;
                    RETURN NULL;
                END $$;
            CREATE TRIGGER note AFTER UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION note()
            """
        )

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute(
                    "UPDATE numbers SET n = n + 1 WHERE id = %s", (chance.randint(1, rows) * 3,)
                )

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        outcome = fill(database_url, spec("numbers", "n", "n + 1000000"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert outcome.rows == rows
    with connect(database_url) as connection:
        run = journal.latest_run(connection, "numbers.n")
        assert run is not None
        wrong = connection.execute(
            "SELECT count(*) FROM (SELECT id, old FROM truth EXCEPT ALL SELECT unnest(key_0), unnest(old_0)"
            f" FROM evolve.backfill_undo_{run.run_id}) d".encode()
        ).fetchone()
    assert wrong == (0,)


def test_a_stopped_undo_goes_on_where_it_was(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "n + 1"))
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 3
    assert undo(database_url, "numbers.n", quiet).state is State.UNDOING
    with pytest.raises(BeingUndone):
        fill(database_url, spec("numbers", "n", "n + 1"))
    assert undo(database_url, "numbers.n").state is State.UNDONE
    assert by_value(database_url) == {0: 1000}


def test_half_a_run_can_be_undone(database_url: str) -> None:
    numbers(database_url, 1000)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 3
    written = fill(database_url, spec("numbers", "n", "n + 1"), quiet).rows
    assert undo(database_url, "numbers.n").rows == written
    assert by_value(database_url) == {0: 1000}


def test_an_undone_run_leaves_no_before_images_behind(database_url: str) -> None:
    numbers(database_url, 100)
    fill(database_url, spec("numbers", "n", "n + 1"))
    undo(database_url, "numbers.n")
    with psycopg.connect(database_url) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relname LIKE 'backfill_undo_%'"
        ).fetchone()
    assert left == (0,)
    with pytest.raises(RunEnded):
        undo(database_url, "numbers.n")


def test_without_a_journal_nothing_is_undone(database_url: str) -> None:
    numbers(database_url, 100)
    fill(database_url, spec("numbers", "n", "n + 1"), undo_journal_mode=JournalMode.OFF)
    with pytest.raises(NothingToUndo):
        undo(database_url, "numbers.n")


def test_a_run_that_only_filled_nulls_keeps_no_journal(database_url: str) -> None:
    numbers(database_url, 100)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers ADD fresh text")
    outcome = fill(database_url, spec("numbers", "fresh", "upper(note)", where="fresh IS NULL"))
    assert outcome.good
    with connect(database_url) as connection:
        run = journal.latest_run(connection, "numbers.fresh")
    assert run is not None
    assert not run.journal


def test_the_journal_is_small(database_url: str) -> None:
    numbers(database_url, 20_000)
    fill(database_url, spec("numbers", "n", "n + 1"), pace=Pace())
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT pg_total_relation_size(oid) FROM pg_class WHERE relname LIKE 'backfill_undo_%' AND relkind = 'r'"
        ).fetchone()
    assert row is not None
    assert int(row[0]) / 20_000 < 40


def test_undo_does_not_start_under_a_worker(database_url: str) -> None:
    numbers(database_url, 2000)
    refusals: list[AlreadyRunning] = []

    def meddle(batches: int) -> None:
        if batches == 2:
            with pytest.raises(AlreadyRunning) as refused:
                undo(database_url, "numbers.n")
            refusals.append(refused.value)

    fill(database_url, spec("numbers", "n", "n + 1"), Quiet(between=meddle))
    assert "already worked on" in str(refusals[0])
    assert by_value(database_url) == {1: 2000}


def test_a_dry_run_counts_what_undo_would_do_and_does_nothing(database_url: str) -> None:
    numbers(database_url, 500)
    fill(database_url, spec("numbers", "n", "n + 1"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET n = 9 WHERE id IN (30, 600)")
        connection.execute("DELETE FROM numbers WHERE id = 900")
    stopping = Quiet()
    stopping.stop_when = lambda: stopping.batches > 1
    undo(database_url, "numbers.n", stopping)
    before = by_value(database_url)
    preview = preview_undo(database_url, "numbers.n", stop=Quiet())
    assert by_value(database_url) == before
    outcome = undo(database_url, "numbers.n")
    assert (preview.rows, preview.changed + preview.gone) == (outcome.rows, 3)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("email = email || '!'", "email"),
        ("email = NULL", "email"),
        ("n = n + 1", "n"),
        ("big = big << 32", "big"),
        ("label = label || '!'", "label"),
        ("token = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "token"),
    ],
)
def test_a_value_that_somebody_changed_stays_whatever_its_type(
    database_url: str, change: str, value: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE TABLE people (
                id bigint PRIMARY KEY, n smallint, big bigint, email text, label varchar(20), token uuid
            );
            INSERT INTO people SELECT g, g, g, 'a' || g, 'b' || g, gen_random_uuid()
              FROM generate_series(1, 50) AS g"""
        )
    written = {"n": "n + 1", "big": "big + 1", "token": "md5(token::text)::uuid"}.get(
        value, f"upper({value})"
    )
    fill(database_url, spec("people", value, written))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"UPDATE people SET {change} WHERE id <= 3".encode())
        changed = connection.execute(
            f"SELECT {value} FROM people WHERE id <= 3 ORDER BY id".encode()
        ).fetchall()
    outcome = undo(database_url, f"people.{value}")
    with psycopg.connect(database_url) as connection:
        left = connection.execute(f"SELECT {value} FROM people WHERE id <= 3 ORDER BY id".encode()).fetchall()
    assert (outcome.rows, outcome.conflicts, left) == (47, 3, changed)


def test_a_journal_with_hashes_of_whole_rows_is_restored(database_url: str) -> None:
    """An older evolve kept those."""
    numbers(database_url, 200)
    fill(database_url, spec("numbers", "n", "n + 1"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE evolve.backfill_undo_1 SET written ="
            " (SELECT array_agg(hashtext(encode(record_send(ROW(1)), 'hex'))) FROM unnest(written))"
        )
    outcome = undo(database_url, "numbers.n")
    assert (outcome.rows, outcome.conflicts) == (200, 0)


def test_a_journal_with_eight_bytes_of_hash_is_restored(database_url: str) -> None:
    """An older evolve kept those."""
    numbers(database_url, 200)
    fill(database_url, spec("numbers", "n", "n + 1"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE evolve.backfill_undo_1 ALTER written TYPE bigint[];"
            "UPDATE evolve.backfill_undo_1 SET written ="
            " (SELECT array_agg(hashtextextended(encode(record_send(ROW(1)), 'hex'), 0)) FROM unnest(written))"
        )
    outcome = undo(database_url, "numbers.n")
    assert (outcome.rows, outcome.conflicts) == (200, 0)
