"""`evolve backfill` as a user drives it: output, exit status, signals, steering from another terminal, bad
input.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable

import psycopg
import pytest
from support.backfill import Cli, by_value, command_line, numbers

pytestmark = pytest.mark.server

SLOWLY = ("run", "numbers.n", "--set", "n + 1", "--max-batch", "50", "--max-rows-per-second", "400")
QUICKLY = ("--max-batch", "500", "--max-rows-per-second", "100000")


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.05)


def begun(cli: Cli) -> bool:
    with psycopg.connect(cli.url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('evolve.backfill_range')").fetchone() == (None,):
            return False
        return connection.execute("SELECT sum(changed) > 0 FROM evolve.backfill_range").fetchone() == (True,)


def test_it_tells_the_result_on_stdout_and_progress_on_stderr(database_url: str) -> None:
    numbers(database_url, 1000)
    with command_line(database_url) as cli:
        process = cli.start("run", "numbers.n", "--set", "7", "--where", "n = 0")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[0].startswith('backfill "numbers.n" is done: 1,000 rows in ')
    assert out.splitlines()[1].startswith("verified 1,000 rows at ")
    assert "numbers.n: running, 0 %" in err


def test_quiet_is_quiet(database_url: str) -> None:
    numbers(database_url, 100)
    with command_line(database_url) as cli:
        _, err = cli.start("run", "numbers.n", "--set", "7", "--quiet").communicate(timeout=60)
    assert err == ""


def test_json_is_a_line_a_second_and_the_end(database_url: str) -> None:
    numbers(database_url, 900)
    with command_line(database_url) as cli:
        lines = [json.loads(line) for line in cli.run(*SLOWLY, "--format", "json").splitlines()]
    assert [line["event"] for line in lines] == ["progress"] * (len(lines) - 1) + ["end"]
    assert 2 <= len(lines) < 900 / 50  # which is how many batches there are
    assert all(line["schema"] == 1 for line in lines)
    assert (lines[-1]["state"], lines[-1]["rows"]) == ("done", 900)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_pauses_it_and_says_how_to_go_on(database_url: str, number: signal.Signals) -> None:
    numbers(database_url, 3000)
    with command_line(database_url) as cli:
        process = cli.start(*SLOWLY)
        wait_for(lambda: begun(cli))
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 1, err
        assert f"paused by {number.name}" in out
        assert "go on: evolve backfill resume numbers.n" in out
        assert cli.status("numbers.n")["state"] == "paused"
        cli.run("resume", "numbers.n", *QUICKLY)
    assert by_value(database_url) == {1: 3000}


def test_another_terminal_pauses_resumes_and_cancels_it(database_url: str) -> None:
    numbers(database_url, 20_000)  # more than it writes until somebody cancels it
    with command_line(database_url) as cli:
        process = cli.start(*SLOWLY)
        wait_for(lambda: begun(cli))
        assert f"pid {process.pid} obeys at its next commit" in cli.run("pause", "numbers.n")
        out, _ = process.communicate(timeout=20)
        assert (process.returncode, "paused by the journal" in out) == (1, True)
        process = cli.start("resume", "numbers.n", *SLOWLY[4:])
        wait_for(lambda: cli.status("numbers.n")["state"] == "running")
        cli.run("cancel", "numbers.n")
        out, _ = process.communicate(timeout=20)
        assert (process.returncode, "was cancelled" in out) == (1, True)
        assert cli.status("numbers.n")["state"] == "cancelled"


def test_a_killed_run_shows_as_interrupted_and_run_goes_on_with_it(database_url: str) -> None:
    numbers(database_url, 1000)
    with command_line(database_url) as cli:
        process = cli.start(*SLOWLY)
        wait_for(lambda: begun(cli))
        process.kill()
        process.communicate()
        wait_for(lambda: cli.status("numbers.n")["state"] == "interrupted")
        assert "go on: evolve backfill resume numbers.n" in cli.run("status", "numbers.n")
        cli.run(*SLOWLY[:4])
    assert by_value(database_url) == {1: 1000}


def test_watching_ends_when_the_run_rests(database_url: str) -> None:
    numbers(database_url, 1500)
    with command_line(database_url) as cli:
        process = cli.start(*SLOWLY)
        wait_for(lambda: begun(cli))
        lines = cli.run("status", "numbers.n", "--watch", "--format", "json").splitlines()
        process.communicate(timeout=30)
    fractions = [json.loads(line)["fraction"] for line in lines]
    assert fractions == sorted(fractions)
    assert (len(fractions) > 1, fractions[-1]) == (True, 1.0)


def test_all_runs_are_listed(database_url: str) -> None:
    numbers(database_url, 100)
    with command_line(database_url) as cli:
        assert cli.run("status") == "no backfill has run here\n"
        cli.run("run", "numbers.n", "--set", "n + 1", "--name", "first")
        cli.run("run", "numbers.hits", "--set", "hits + 1", "--name", "second")
        assert [line.split()[0] for line in cli.run("status").splitlines()] == ["second", "first"]


def test_verify_and_undo_answer_by_exit_status(database_url: str) -> None:
    numbers(database_url, 500)
    with command_line(database_url) as cli, psycopg.connect(database_url, autocommit=True) as connection:
        cli.run("run", "numbers.n", "--set", "7", "--where", "n = 0")
        cli.run("verify", "numbers.n")
        connection.execute("UPDATE numbers SET n = 0 WHERE id = 300")
        told = cli.run("verify", "numbers.n", expect=1)
        assert "(300)" in told
        assert "  (n = 0)" in told.splitlines()
        assert "(300) changed since" in cli.run("undo", "numbers.n", expect=1)
    assert by_value(database_url) == {0: 500}


def test_a_dry_run_shows_the_statement_and_its_plan(database_url: str) -> None:
    numbers(database_url, 5000)
    with command_line(database_url) as cli:
        out = cli.run("run", "numbers.n", "--set", "n + 1", "--dry-run")
    assert 'UPDATE "public"."numbers" SET "n" = (n + 1)' in out
    assert "numbers_pkey" in out
    assert "tried and rolled back: 1,000 of 1,000 rows" in out
    assert by_value(database_url) == {0: 5000}


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (("run", "numbers", "--set", "1"), 2, "table.column"),
        (("run", "numbers.n"), 2, "evolve backfill run numbers.n --set 'EXPRESSION'"),
        (("run", "some_change"), 2, "no Alembic project here"),
        (("run", "a_change", "--where", "true"), 2, "--where does not go with"),
        (("run", "numbers.n", "--set", "oops"), 2, 'column "oops" does not exist'),
        (("run", "numbers.n", "--set", "1", "--key", "note"), 2, "use --key id"),
        (("run", "nowhere.n", "--set", "1"), 2, 'no table "nowhere"'),
        (("run", "numbers.n", "--set", "1", "--duty", "0"), 2, "--duty 0 does not work"),
        (("run", "numbers.n", "--set", "1", "--max-rows-per-second", "-1"), 2, "above 0"),
        (("run", "numbers.n", "--set", "1", "--lease", "0.1"), 2, "--lease 0.1"),
        (("run", "numbers.n", "--set", "1", "--lease", "1e300"), 2, "--lease 1e+300"),
        (("run", "numbers.n", "--set", "1", "--target-ms", "nan"), 2, "nan is no number"),
        (("run", "numbers.n", "--set", "1", "--max-replica-lag", "inf"), 2, "inf is no number"),
        (("run", "numbers.n", "--set", "1", "--fence-timeout", "nan"), 2, "nan is no number"),
        (("run", "numbers.n", "--set", "1", "--lock-timeout", "2147483648"), 2, "--lock-timeout 2.14748e+09"),
        (("run", "numbers.n", "--set", "default"), 2, "what verification is to ask"),
        (("resume", "nothing"), 2, "its journal holds no run at all"),
        (("pause", "nothing"), 2, 'no backfill "nothing"'),
        (("undo", "nothing"), 2, 'no backfill "nothing"'),
        (("status", "nothing"), 2, 'no backfill "nothing"'),
        (("status", "--watch"), 2, "needs the name of a run"),
        (("verify", "nothing"), 2, 'no backfill "nothing"'),
    ],
)
def test_bad_input(database_url: str, arguments: tuple[str, ...], status: int, expected: str) -> None:
    numbers(database_url, 10)
    with command_line(database_url) as cli:
        assert expected in cli.fail(*arguments, expect=status)
    assert by_value(database_url) == {0: 10}


def test_a_server_that_is_down_is_named_without_its_password() -> None:
    with command_line("postgresql://me:secret@127.0.0.1:1/nothing") as cli:
        told = cli.fail("status", expect=2)
    assert "127.0.0.1:1" in told
    assert "secret" not in told


def test_the_server_goes_away_for_good(database_url: str) -> None:
    numbers(database_url, 3000)
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with command_line(database_url) as cli:
        process = cli.start(*SLOWLY, "--give-up-after", "2")
        wait_for(lambda: begun(cli))
        with psycopg.connect(
            psycopg.conninfo.make_conninfo(database_url, dbname="postgres"), autocommit=True
        ) as other:
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            _, err = process.communicate(timeout=30)
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
        assert process.returncode == 1, err
        assert "could not commit a batch for" in err
        cli.run("resume", "numbers.n", *QUICKLY)
    assert by_value(database_url) == {1: 3000}
