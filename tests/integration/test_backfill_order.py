"""A backfill that comes after others waits for them, and gates and revisions ask the same of the journal."""

from __future__ import annotations

import pytest
from support.backfill import Quiet, by_value, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.resume_backfill import resume_backfill
from evolve.app.show_backfills import show_backfill
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.dependencies import CircularOrder, WaitsForOthers
from evolve.backfill.status import State

pytestmark = pytest.mark.server

FIRST = spec("numbers", "n", "7", where="n = 0")
SECOND = spec("numbers", "hits", "n + 1", where="hits = 0")


def test_it_does_not_begin_before_the_others_are_done_and_verified(database_url: str) -> None:
    numbers(database_url, 200)
    with pytest.raises(WaitsForOthers, match="it has never run here"):
        fill(database_url, SECOND, after=(FIRST.name,))
    fill(database_url, FIRST, verify=False)
    with pytest.raises(WaitsForOthers, match=r"not been verified(.|\n)*evolve backfill verify numbers\.n"):
        fill(database_url, SECOND, after=(FIRST.name,))
    fill(database_url, FIRST, restart=True)
    assert fill(database_url, SECOND, after=(FIRST.name,)).state is State.DONE
    assert by_value(database_url) == {7: 200}


def test_it_does_not_go_on_once_one_of_them_is_undone(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, FIRST)
    stopping = Quiet()
    stopping.stop_when = lambda: stopping.batches > 2
    fill(database_url, SECOND, stopping, after=(FIRST.name,))
    undo_backfill(database_url, FIRST.name, pace=Pace(), stop=Quiet(), watch=Quiet())
    with pytest.raises(WaitsForOthers, match="it is undone"):
        resume_backfill(database_url, SECOND.name, pace=Pace(), stop=Quiet(), watch=Quiet())
    ((name, why),) = show_backfill(database_url, SECOND.name).waits
    assert (name, why.command) == (FIRST.name, "evolve backfill run numbers.n --restart")


def test_none_waits_for_itself(database_url: str) -> None:
    numbers(database_url, 100)
    fill(database_url, FIRST)
    fill(database_url, SECOND, after=(FIRST.name,))
    with pytest.raises(CircularOrder, match=r'"numbers.n" after "numbers.hits" after "numbers.n"'):
        fill(database_url, FIRST, restart=True, after=(SECOND.name,))
    with pytest.raises(CircularOrder):
        fill(database_url, FIRST, restart=True, after=(FIRST.name,))


def test_a_done_one_is_left_alone_whatever_it_comes_after(database_url: str) -> None:
    numbers(database_url, 100)
    fill(database_url, FIRST)
    assert fill(database_url, FIRST, after=("missing",)).already
