"""Verification counts what is missing over the whole table and keeps the evidence with the run."""

from __future__ import annotations

from datetime import datetime

import psycopg
import pytest
from support.backfill import Quiet, fill, numbers, spec

from evolve.app.verify_backfill import VerificationStopped, Verified, verify_backfill
from evolve.backfill.verify import CannotVerify
from evolve.postgres import journal
from evolve.postgres.backfill_target import BadExpression
from evolve.postgres.connect import connect

pytestmark = pytest.mark.server


def verify(url: str, name: str, quiet: Quiet | None = None, **options: object) -> Verified:
    quiet = quiet or Quiet()
    return verify_backfill(url, name, stop=quiet, watch=quiet, **options)  # type: ignore[arg-type]


def test_a_run_is_verified_and_the_gates_can_read_it(database_url: str) -> None:
    numbers(database_url, 1000)
    outcome = fill(database_url, spec("numbers", "n", "7", where="n = 0"))
    assert outcome.verdict is not None
    assert (outcome.verdict.rows, outcome.verdict.misses) == (1000, 0)
    with connect(database_url) as connection:
        run = journal.latest_run(connection, "numbers.n")
    assert run is not None
    assert run.verified_clean
    assert run.verify == outcome.verdict
    assert run.started_at < datetime.fromisoformat(outcome.verdict.at)


def test_rows_the_expression_could_not_fill_are_named(database_url: str) -> None:
    numbers(database_url, 1000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers ADD label text, ADD source text")
        connection.execute("UPDATE numbers SET source = 'x' WHERE id NOT IN (30, 2400)")
    outcome = fill(database_url, spec("numbers", "label", "source || '!'", where="label IS NULL"))
    assert outcome.verdict is not None
    assert outcome.verdict.misses == 2
    assert outcome.verdict.sample == (("30",), ("2400",))
    assert not outcome.good


def test_rows_written_since_are_seen_also_behind_the_last_key(database_url: str) -> None:
    numbers(database_url, 500)
    fill(database_url, spec("numbers", "n", "7", where="n = 0"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO numbers VALUES (999999, 0, 0, '')")
    verdict = verify(database_url, "numbers.n").verdict
    assert (verdict.rows, verdict.misses, verdict.sample) == (501, 1, (("999999",),))
    with connect(database_url) as connection:
        run = journal.latest_run(connection, "numbers.n")
    assert run is not None
    assert not run.verified_clean


def test_without_a_predicate_the_values_are_compared(database_url: str) -> None:
    numbers(database_url, 500)
    fill(database_url, spec("numbers", "note", "'row ' || id"))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET note = 'other' WHERE id = 33")
    assert verify(database_url, "numbers.note").verdict.sample == (("33",),)


def test_an_expression_that_reads_what_it_writes_cannot_be_judged(database_url: str) -> None:
    numbers(database_url, 100)
    assert fill(database_url, spec("numbers", "n", "n + 1")).verdict is None
    with pytest.raises(CannotVerify):
        verify(database_url, "numbers.n")


HELD = {
    "numeric(5,2)": "id / 7.0",
    "real": "id / 7.0",
    "timestamp(0)": "timestamp '2026-01-01 00:00:00.7' + id * interval '1 s'",
    "date": "timestamp '2026-01-01 00:00:00.7' + id * interval '1 s'",
    "json": "json_build_object('a', id)",
    "json[]": "array[json_build_object('a', id)]",
    "point": "point(id, n)",
}


@pytest.mark.parametrize("kind", sorted(HELD))
def test_values_are_compared_as_the_column_holds_them(database_url: str, kind: str) -> None:
    numbers(database_url, 300)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE numbers ADD v {kind}".encode())
        outcome = fill(database_url, spec("numbers", "v", HELD[kind]))
        assert outcome.verdict is not None
        assert outcome.verdict.clean
        connection.execute("UPDATE numbers SET v = NULL WHERE id = 33")
    assert verify(database_url, "numbers.v").verdict.sample == (("33",),)


def test_what_cannot_be_asked_of_a_row_is_refused_before_one_is_written(database_url: str) -> None:
    numbers(database_url, 100)
    with pytest.raises(BadExpression):
        fill(database_url, spec("numbers", "note", "default"))
    with connect(database_url) as connection:
        assert journal.latest_run(connection, "numbers.note") is None


def test_many_windows_add_up(database_url: str) -> None:
    numbers(database_url, 30_000)
    fill(database_url, spec("numbers", "n", "7", where="n = 0"), verify=False)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET n = 0 WHERE id % 2 = 0")
    verdict = verify(database_url, "numbers.n").verdict
    assert (verdict.rows, verdict.misses, len(verdict.sample)) == (30_000, 15_000, 10)


def test_nulls_and_values_are_summed_up_whatever_the_order_and_the_settings(database_url: str) -> None:
    numbers(database_url, 1000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers ADD at timestamptz")
        connection.execute("UPDATE numbers SET hits = 1 WHERE id = 33")
    fill(
        database_url,
        spec("numbers", "at", "CASE hits WHEN 0 THEN to_timestamp(id) END", where="at IS NULL AND hits = 0"),
    )
    first = verify(database_url, "numbers.at").verdict
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT set_config('d.b', current_database(), false)")
        connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_setting('d.b'), 'Asia/Tokyo');"
            " END $$"
        )
        connection.execute("CREATE TABLE copied AS TABLE numbers; TRUNCATE numbers")
        connection.execute("INSERT INTO numbers SELECT * FROM copied ORDER BY note")
    second = verify(database_url, "numbers.at")
    assert first.nulls == (("at", 1),)
    assert second.same
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE numbers SET at = at + interval '1 us' WHERE id = 66")
    assert verify(database_url, "numbers.at").same is False


def test_a_signal_ends_it_and_nothing_is_kept(database_url: str) -> None:
    numbers(database_url, 500)
    kept = fill(database_url, spec("numbers", "n", "7", where="n = 0")).verdict
    quiet = Quiet(stop_when=lambda: True)
    with pytest.raises(VerificationStopped, match="SIGTERM after 500 rows"):
        verify(database_url, "numbers.n", quiet)
    with connect(database_url) as connection:
        run = journal.latest_run(connection, "numbers.n")
    assert run is not None
    assert run.verify == kept


def test_a_type_without_a_binary_form_has_no_checksum(database_url: str) -> None:
    numbers(database_url, 100)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE numbers ADD rights aclitem")
    run = fill(
        database_url,
        spec("numbers", "rights", "makeaclitem(10, 10, 'SELECT', false)", where="rights IS NULL"),
    )
    assert run.verdict is not None
    assert (run.verdict.misses, run.verdict.checksum) == (0, None)
