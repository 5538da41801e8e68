"""Backfills that come after others never wait for themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve.app.backfill_work import OldTransactions
from evolve.app.declared_backfills import declared_in
from evolve.backfill.dependencies import CircularOrder, refuse_circles, waits_for
from evolve.postgres.fence import OldTransaction


def test_a_circle_is_named_from_its_beginning() -> None:
    known = {"b": ("x", "c"), "c": ("d",), "d": ("a",)}
    with pytest.raises(CircularOrder, match='"a" after "b" after "c" after "d" after "a"'):
        refuse_circles("a", ("b",), known)


def test_two_ways_to_the_same_are_no_circle() -> None:
    refuse_circles("a", ("b", "c"), {"b": ("d",), "c": ("d",), "d": ("e",)})


def test_a_circle_of_others_is_theirs() -> None:
    refuse_circles("a", ("b",), {"b": ("c",), "c": ("b",)})


def test_what_has_never_run_is_waited_for() -> None:
    ((name, why),) = waits_for(["b"], {})
    assert (name, why.command) == ("b", "evolve backfill run b")


@pytest.mark.parametrize(
    ("pid", "prepared", "fix"),
    [
        (7, None, "end them (SELECT pg_terminate_backend(PID)), then: evolve backfill resume b"),
        (None, "it's", "end them (ROLLBACK PREPARED 'it''s'), then: evolve backfill resume b"),
        (None, None, "end them, then: evolve backfill resume b"),
    ],
)
def test_an_older_transaction_is_ended_where_it_is(pid: int | None, prepared: str | None, fix: str) -> None:
    blocker = OldTransaction("9", pid, prepared, None, None, None)
    assert OldTransactions("b", 1.0, [blocker]).fix == fix


def test_a_circle_is_found_when_it_is_declared(tmp_path: Path) -> None:
    (tmp_path / "declared_in_a_circle.py").write_text(
        "from evolve.backfills import Backfill\n"
        'one = Backfill(table="t", set={"a": "1"}, after=["two"])\n'
        'two = Backfill(table="t", set={"b": "1"}, after=["one"])\n'
    )
    with pytest.raises(CircularOrder, match='"one" after "two" after "one"'):
        declared_in(["declared_in_a_circle"], tmp_path)
