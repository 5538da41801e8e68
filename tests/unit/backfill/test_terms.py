"""What a run keeps of a command line beside its limits."""

from __future__ import annotations

import pytest

from evolve.app.backfill_work import Pace
from evolve.backfill.settings import Settings
from evolve.backfill.terms import Terms

WINDOW = "Mon-Fri 22:00-06:00 UTC"
ALL = Terms((WINDOW, "00:00-01:00 UTC"), workers=4, lock_timeout=700, statement_timeout=9_000)


@pytest.mark.parametrize("terms", [Terms(), ALL, Terms(windows=(WINDOW,)), Terms(workers=2)])
def test_they_are_kept_beside_settings(terms: Terms) -> None:
    kept = Settings(duty=0.5).to_json() | terms.to_json()
    assert Terms.from_json(kept) == terms
    assert Settings.from_json(kept) == Settings(duty=0.5)


def test_a_run_goes_on_by_what_was_said_and_by_what_is_said_now() -> None:
    pace = Pace(workers=2, terms=Terms(workers=2)).on(ALL)
    assert [hours.text for hours in pace.throttling.windows] == list(ALL.windows or ())
    assert (pace.workers, pace.timeouts.lock, pace.timeouts.statement) == (2, 700, 9_000)
    assert pace.terms == Terms(ALL.windows, 2, 700, 9_000)


def test_nothing_said_changes_nothing() -> None:
    assert Pace(workers=3).on(Terms()) == Pace(workers=3)


def test_they_are_told_as_options() -> None:
    assert ALL.words == (
        f'window="{WINDOW}; 00:00-01:00 UTC"',
        "workers=4",
        "lock-timeout=700",
        "statement-timeout=9000",
    )
