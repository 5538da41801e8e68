"""Several workers on one run: in one process, and in several that come and go."""

from __future__ import annotations

import signal
import time

import psycopg
import pytest
from support.backfill import Quiet, by_value, command_line, fill, numbers, spec, writers
from support.deployed import until

from evolve.app.backfill_work import BadLimit, Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode

pytestmark = pytest.mark.server

NAME = "numbers.n"


def ranges(url: str) -> list[tuple[int, int, bool]]:
    """(number, rows walked, finished) of each."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "SELECT range_no, scanned::int, finished FROM evolve.backfill_range ORDER BY 1"
        ).fetchall()


@pytest.mark.parametrize("undo", ["on", "off"])
def test_each_row_is_written_once_by_one_of_them(database_url: str, undo: str) -> None:
    numbers(database_url, 4000)
    outcome = fill(
        database_url,
        spec("numbers", "n", "n + 1"),
        pace=Pace(largest=50, workers=3),
        undo_journal_mode=JournalMode(undo),
    )
    assert (outcome.state, outcome.rows) == (State.DONE, 4000)
    assert by_value(database_url) == {1: 4000}
    assert len(ranges(database_url)) > 3
    assert sum(walked for _, walked, _ in ranges(database_url)) == 4000


def test_under_writers_no_row_is_missed(database_url: str) -> None:
    numbers(database_url, 5000)
    with writers(database_url, 3) as errors:
        fill(database_url, spec("numbers", "n", "n + 1", where="n = 0"), pace=Pace(largest=50, workers=3))
    assert errors == []
    assert set(by_value(database_url)) == {1}


def test_all_of_them_are_undone(database_url: str) -> None:
    numbers(database_url, 4000)
    fill(database_url, spec("numbers", "n", "n + id::int"), pace=Pace(largest=50, workers=3))
    quiet = Quiet()
    outcome = undo_backfill(database_url, NAME, pace=Pace(workers=2), stop=quiet, watch=quiet)
    assert (outcome.state, outcome.rows) == (State.UNDONE, 4000)
    assert by_value(database_url) == {0: 4000}


def test_an_error_in_one_ends_the_batches_of_the_others(database_url: str) -> None:
    numbers(database_url, 4000)
    with pytest.raises(Exception, match="division by zero"):
        fill(
            database_url,
            spec("numbers", "n", "1 / (id - 9000)::int"),
            pace=Pace(largest=50, workers=3),
            max_rejects=0,
        )
    with command_line(database_url) as cli:
        assert cli.status(NAME)["state"] == "failed"


def test_a_number_of_workers_that_is_none(database_url: str) -> None:
    with pytest.raises(BadLimit, match="--workers 0"):
        fill(database_url, spec("numbers", "n", "n + 1"), pace=Pace(workers=0))


def test_processes_join_and_leave_and_the_last_one_ends_it(database_url: str) -> None:
    numbers(database_url, 16_000)
    slowly = ("--max-batch", "50", "--max-rows-per-second", "200", "--lease", "2")
    with command_line(database_url) as cli:
        lead = cli.start("run", NAME, "--set", "n + 1", "--workers", "2", *slowly)
        until(lambda: holds_a_range(database_url, lead.pid))
        joined = [cli.start("work", NAME, *slowly) for _ in range(2)]
        leaving = cli.start("work", NAME, *slowly)
        until(lambda: all(holds_a_range(database_url, each.pid) for each in (*joined, leaving)))
        leaving.send_signal(signal.SIGTERM)
        left, _ = leaving.communicate(timeout=30)
        joined[0].kill()
        lead.kill()
        cli.run("set", NAME, "rows=20000")  # slow until all had joined
        out, err = joined[1].communicate(timeout=60)
        state = cli.status(NAME)["state"]
    assert leaving.returncode == 1
    assert "the others go on" in left
    assert (joined[1].returncode, state) == (0, "done"), err
    assert "is done: 16,000 rows" in out
    assert by_value(database_url) == {1: 16_000}


def holds_a_range(url: str, pid: int) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('evolve.backfill_range')").fetchone() == (None,):
            return False
        return connection.execute(
            "SELECT count(*) > 0 FROM evolve.backfill_range WHERE lease_owner LIKE %s", (f"%#{pid}#%",)
        ).fetchone() == (True,)


def test_nobody_works_on_a_paused_run(database_url: str) -> None:
    numbers(database_url, 1000)
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches > 2
    fill(database_url, spec("numbers", "n", "n + 1"), quiet)
    with command_line(database_url) as cli:
        assert "is paused" in cli.fail("work", NAME, expect=1)


def test_who_joined_does_not_start_again_what_has_failed(database_url: str) -> None:
    numbers(database_url, 6000)
    slowly = ("--max-batch", "50", "--max-rows-per-second", "1500", "--max-rejects", "0")
    with command_line(database_url) as cli:
        lead = cli.start("run", NAME, "--set", "n + 1 / (id - 15000)::int * 0 + 1", *slowly)
        until(lambda: holds_a_range(database_url, lead.pid))
        joined = cli.start("work", NAME, *slowly[:4])
        lead.communicate(timeout=60)
        out, err = joined.communicate(timeout=60)
        again = cli.fail("work", NAME, expect=1)
        events = cli.run("log", NAME)
    assert (lead.returncode, joined.returncode) == (1, 1), out + err
    assert "has failed" in err or "stopped at the row" in err, err  # whichever of the two met that row
    assert "division by zero" in again
    assert events.count(" failed") == 1


def test_a_second_interrupt_ends_it_at_once(database_url: str) -> None:
    numbers(database_url, 100)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION slow(n integer) RETURNS integer LANGUAGE plpgsql AS"
            " $$ BEGIN IF n > 0 THEN PERFORM pg_sleep(60); END IF; RETURN n + 1; END $$"
        )
        connection.execute("UPDATE numbers SET n = 1 WHERE id = 270")
        with command_line(database_url) as cli:
            process = cli.start("run", NAME, "--set", "slow(n)", "--statement-timeout", "50000")
            until(
                lambda: (
                    connection.execute(
                        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                        " AND datname = current_database()"
                    ).fetchone()
                    == (True,)
                )
            )
            process.send_signal(signal.SIGINT)
            time.sleep(1)
            assert process.poll() is None  # the batch at hand is waited for
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
    assert process.returncode != 0
