"""Settings, brakes and approvals of a run, said while it goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

import psycopg
import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.explain_backfill import explain_backfill
from evolve.app.pause_backfill import cancel_backfill, pause_backfill
from evolve.app.resume_backfill import resume_backfill
from evolve.app.run_backfill import run_backfill
from evolve.app.steer_backfill import (
    ApprovedByOneself,
    NothingToApprove,
    approve_backfill,
    let_go,
    set_backfill,
    throttle_backfill,
)
from evolve.backfill.happenings import Committed, Happening, Waiting
from evolve.backfill.record import NoSuchRun, NotApproved, RunEnded, RunRecord
from evolve.backfill.settings import OFF, Settings
from evolve.backfill.shapes import Shape
from evolve.backfill.status import State
from evolve.backfill.terms import Terms
from evolve.errors import Refused
from evolve.postgres import journal
from evolve.postgres.connect import connect

pytestmark = pytest.mark.server

NAME = "numbers.n"
PLAIN = (Shape(1, touch=False),)


class Notes:
    """Keys walked by each batch, and reasons for which workers waited."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.holds: list[str] = []

    def __call__(self, happening: Happening) -> None:
        if isinstance(happening, Committed):
            self.sizes.append(happening.scanned)
        elif isinstance(happening, Waiting):
            self.holds.append(happening.hold.reason)


def at_batch(number: int, act: Callable[[], object]) -> Quiet:
    """Before that batch, somebody does something at another terminal."""

    def between(batch: int) -> None:
        if batch == number:
            act()

    return Quiet(between=between)


def stopped_after(batches: int) -> Quiet:
    quiet = Quiet()
    quiet.stop_when = lambda: quiet.batches >= batches
    return quiet


def record(url: str) -> RunRecord:
    with closing(connect(url, autocommit=True)) as connection:
        return journal.named_run(connection, NAME)


def told(url: str) -> list[tuple[str, str]]:
    with closing(connect(url, autocommit=True)) as connection:
        return [
            (event.kind, event.detail)
            for event in journal.events(connection, journal.named_run(connection, NAME).run_id, 50)
        ]


def test_a_setting_acts_at_the_next_commit(database_url: str) -> None:
    numbers(database_url, 1000)
    notes = Notes()
    # No commit takes so long that batches shrink by themselves.
    quiet = at_batch(2, lambda: set_backfill(database_url, NAME, Settings(batch=50)))
    fill(
        database_url,
        spec("numbers", "n", "n + 1"),
        quiet,
        pace=Pace(commit_seconds=5, largest=100, shapes=PLAIN),
        observer=notes,
    )
    assert notes.sizes[:4] == [100, 100, 100, 50]
    assert by_value(database_url) == {1: 1000}


def test_a_wait_under_an_old_limit_ends_when_it_is_lifted(database_url: str) -> None:
    numbers(database_url, 1000)
    timer = threading.Timer(1.0, lambda: set_backfill(database_url, NAME, Settings(rows=OFF)))
    timer.start()
    # At this pace it would take a quarter of an hour.
    outcome = fill(database_url, spec("numbers", "n", "n + 1"), pace=Pace(largest=100, rows_per_second=1))
    timer.join()
    assert outcome.state is State.DONE


def test_settings_are_kept_with_their_actor_above_those_of_the_command_line(database_url: str) -> None:
    numbers(database_url, 1000)
    pace = Pace(largest=100, duty=0.9)
    fill(database_url, spec("numbers", "n", "n + 1"), stopped_after(2), pace=pace)
    before, after = set_backfill(database_url, NAME, Settings(duty=0.5, rows=70))
    _, reset = set_backfill(database_url, NAME, Settings(batch=7), reset=True)
    assert (before.settings, before.pace) == (Settings(), Settings(batch=100, duty=0.9))
    assert (after.settings, reset.settings) == (Settings(duty=0.5, rows=70), Settings(batch=7))
    assert [each for each in told(database_url) if each[0] in ("start", "set")] == [
        ("start", "duty=0.9 batch=100"),
        ("set", "duty=0.5 rows=70/s"),
        ("set", "batch=7; back to the command line's: duty, rows"),
    ]


def test_resume_goes_on_at_the_pace_of_the_start_unless_told_otherwise(database_url: str) -> None:
    numbers(database_url, 1000)
    begun = spec("numbers", "n", "n + 1")
    fill(database_url, begun, stopped_after(2), pace=Pace(largest=60, shapes=PLAIN))
    set_backfill(database_url, NAME, Settings(batch=20))
    first, second, third = Notes(), Notes(), Notes()

    def resume(pace: Pace, quiet: Quiet, notes: Notes) -> None:
        resume_backfill(database_url, NAME, pace=pace, stop=quiet, watch=quiet, observer=notes)

    resume(Pace(shapes=PLAIN), stopped_after(3), first)
    set_backfill(database_url, NAME, Settings(), reset=True)
    resume(Pace(shapes=PLAIN), stopped_after(3), second)
    set_backfill(database_url, NAME, Settings(batch=20))
    resume(Pace(largest=30, shapes=PLAIN), Quiet(), third)
    assert (max(first.sizes), max(second.sizes), max(third.sizes)) == (20, 60, 30)
    assert by_value(database_url) == {1: 1000}


def test_resume_keeps_to_the_windows_and_workers_of_the_start_unless_told_otherwise(
    database_url: str,
) -> None:
    numbers(database_url, 1000)
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT extract(hour FROM clock_timestamp() AT TIME ZONE 'UTC')").fetchone()
    hour = int(str(row and row[0]))
    shut = f"{(hour + 8) % 24:02}:00-{(hour + 9) % 24 or 24:02}:00 UTC"
    begun = spec("numbers", "n", "n + 1")
    fill(database_url, begun, stopped_after(2), pace=Pace(largest=60, shapes=PLAIN))
    notes, open_now = Notes(), Terms(windows=("00:00-24:00 UTC",))

    def resume(terms: Terms, quiet: Quiet) -> None:
        pace = Pace(terms=terms, workers=terms.workers or 1)
        resume_backfill(database_url, NAME, pace=pace, stop=quiet, watch=quiet, observer=notes)

    held = Quiet()
    held.stop_when = lambda: bool(notes.holds)
    resume(Terms(windows=(shut,), workers=2), held)
    assert record(database_url).terms == Terms(windows=(shut,), workers=2)
    notes.holds.clear()
    resume(Terms(), held)  # of the dashboard, say
    assert any("UTC" in reason for reason in notes.holds)
    resume(open_now, Quiet())
    assert record(database_url).terms == Terms(windows=open_now.windows, workers=2)
    assert by_value(database_url) == {1: 1000}
    paces = [detail for kind, detail in told(database_url) if kind == "pace"]
    assert paces[0].endswith(f'window="{shut}" workers=2')
    assert len(paces) == 2


def test_a_brake_holds_the_run_names_who_and_why_and_ends_by_itself(database_url: str) -> None:
    numbers(database_url, 1000)
    notes = Notes()
    quiet = at_batch(2, lambda: throttle_backfill(database_url, NAME, seconds=1.5, reason="lunch"))
    outcome = fill(
        database_url,
        spec("numbers", "n", "n + 1"),
        quiet,
        pace=Pace(largest=100, shapes=PLAIN),
        observer=notes,
    )
    assert outcome.state is State.DONE
    assert outcome.seconds > 1.4
    assert any("held by" in hold and hold.endswith(": lunch") for hold in notes.holds)
    assert ("throttle", "held for 1.5 s: lunch") in told(database_url)
    assert by_value(database_url) == {1: 1000}


def test_a_brake_that_slows_sets_the_share_of_the_time(database_url: str) -> None:
    numbers(database_url, 500)
    notes = Notes()
    quiet = at_batch(1, lambda: throttle_backfill(database_url, NAME, seconds=None, share=0.25))
    fill(
        database_url,
        spec("numbers", "n", "n + 1"),
        quiet,
        pace=Pace(largest=100, shapes=PLAIN),
        observer=notes,
    )
    assert "duty 25%" in notes.holds


def test_letting_go_says_whether_anything_was_held(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, spec("numbers", "n", "n + 1"), stopped_after(1))
    throttle_backfill(database_url, NAME, seconds=None)
    assert (let_go(database_url, NAME), let_go(database_url, NAME)) == (True, False)
    assert record(database_url).brake is None


def test_words_from_many_terminals_at_once_are_all_kept(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, spec("numbers", "n", "n + 1"), stopped_after(1))
    words = [Settings(duty=0.5), Settings(rows=10), Settings(batch=7), Settings(lag=1e6), Settings(wal=1e6)]
    together([partial(set_backfill, database_url, NAME, word) for word in words])
    assert record(database_url).settings == Settings(duty=0.5, rows=10, batch=7, lag=1e6, wal=1e6)


def test_who_steers_at_once_leaves_the_run_whole(database_url: str) -> None:
    numbers(database_url, 3000)
    begun = spec("numbers", "n", "n + 1")
    said: list[BaseException] = []

    def attempt(act: Callable[[], object]) -> Callable[[], None]:
        def work() -> None:
            try:
                act()
            except Refused as refused:
                said.append(refused)

        return work

    def steer() -> None:
        together(
            [
                attempt(lambda: pause_backfill(database_url, NAME)),
                attempt(lambda: set_backfill(database_url, NAME, Settings(batch=90))),
                attempt(lambda: throttle_backfill(database_url, NAME, seconds=0.1)),
                attempt(lambda: set_backfill(database_url, NAME, Settings(duty=0.9), reset=True)),
                attempt(lambda: cancel_backfill(database_url, NAME)),
            ]
        )

    outcome = fill(database_url, begun, at_batch(3, steer))
    assert said == []
    assert outcome.state in (State.PAUSED, State.CANCELLED)
    rows = by_value(database_url)
    assert rows == {1: outcome.rows, 0: 3000 - outcome.rows}


def together(acts: Sequence[Callable[[], object]]) -> None:
    barrier = threading.Barrier(len(acts))

    def work(act: Callable[[], object]) -> None:
        barrier.wait()
        act()

    threads = [threading.Thread(target=work, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_run_that_has_ended_cannot_be_steered(database_url: str) -> None:
    numbers(database_url, 10)
    fill(database_url, spec("numbers", "n", "n + 1"))
    with pytest.raises(RunEnded, match="is done"):
        set_backfill(database_url, NAME, Settings(duty=0.5))


def test_explain_names_who_holds_a_row(database_url: str) -> None:
    numbers(database_url, 1000)
    found: list[str] = []
    with psycopg.connect(database_url, application_name="somebody at lunch") as other:

        def look() -> None:
            while not any("somebody at lunch" in text for text in found):
                found.extend(cause.text for cause in explain_backfill(database_url, NAME).causes)
            other.rollback()

        looker = threading.Thread(target=look)

        def hold() -> None:
            other.execute("UPDATE numbers SET hits = 1 WHERE id = 2700")
            looker.start()

        fill(database_url, spec("numbers", "n", "n + 1"), at_batch(1, hold))
        looker.join()
    assert any("waits for a lock that another session holds: pid" in text for text in found)


def test_explain_names_the_transaction_that_a_run_waits_for(database_url: str) -> None:
    numbers(database_url, 10)
    found: list[str] = []
    with psycopg.connect(database_url, application_name="somebody at lunch") as other:
        other.execute("UPDATE numbers SET hits = 1 WHERE id = 3")

        def look() -> None:
            while not found:
                with contextlib.suppress(NoSuchRun):
                    explained = explain_backfill(database_url, NAME)
                    found.extend(each.text for each in explained.causes if each.kind == "fence")
            other.rollback()

        looker = threading.Thread(target=look)
        looker.start()
        fill(database_url, spec("numbers", "n", "n + 1"))
        looker.join()
    assert "somebody at lunch" in found[0]


def test_a_run_that_wants_approval_waits_for_another_person(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers(database_url, 1000)
    quiet = Quiet()

    def run() -> State:
        return run_backfill(
            database_url,
            spec("numbers", "n", "n + 1"),
            pace=Pace(),
            stop=quiet,
            watch=quiet,
            approval=lambda table, rows: f"{rows} rows" if table.name == "numbers" else None,
        ).state

    monkeypatch.setenv("LOGNAME", "alice")
    for _ in range(2):
        with pytest.raises(NotApproved, match="waits for approval"):
            run()
    with pytest.raises(NotApproved):
        resume_backfill(database_url, NAME, pace=Pace(), stop=quiet, watch=quiet)
    with pytest.raises(ApprovedByOneself):
        approve_backfill(database_url, NAME)
    assert record(database_url).shown == "waiting for approval"
    assert by_value(database_url) == {0: 1000}
    monkeypatch.setenv("LOGNAME", "bob")
    approve_backfill(database_url, NAME)
    with pytest.raises(NothingToApprove, match="was approved"):
        approve_backfill(database_url, NAME)
    monkeypatch.setenv("LOGNAME", "alice")
    assert run() is State.DONE
    assert [kind for kind, _ in told(database_url)][:2] == ["start", "approve"]
