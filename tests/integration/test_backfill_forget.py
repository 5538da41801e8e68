"""What an ended run keeps for undo can go; that it was done stays known."""

from __future__ import annotations

import json

import psycopg
import pytest
from support.backfill import Quiet, by_value, command_line, fill, numbers, spec

from evolve.app.backfill_log import backfill_log
from evolve.app.backfill_work import Pace
from evolve.app.forget_backfill import forget_backfill, forget_expired
from evolve.app.pause_backfill import cancel_backfill
from evolve.app.show_backfills import show_backfill
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.forgetting import StillGoesOn, StillNeeded
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.postgres.undo_journal import NothingToUndo

pytestmark = pytest.mark.server

NAME = "numbers.n"
SEVEN = spec("numbers", "n", "7", where="n = 0")


def forget(url: str, *, force: bool = False, dry_run: bool = False) -> int:
    """Bytes that went."""
    return forget_backfill(url, NAME, force=force, dry_run=dry_run).kept.bytes


def age(url: str, days: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE evolve.backfill_run SET ended_at = ended_at - make_interval(days => %s)", (days,)
        )


def journals(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relname LIKE 'backfill_undo_%' AND relkind = 'r'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_it_cannot_be_undone_and_is_still_done(database_url: str) -> None:
    numbers(database_url, 500)
    for _ in range(2):
        fill(database_url, SEVEN, undo_journal_mode=JournalMode.ON, restart=journals(database_url) > 0)
    assert journals(database_url) == 2
    assert forget(database_url, dry_run=True) > 0
    assert journals(database_url) == 2
    assert forget(database_url) > 0
    assert journals(database_url) == 0
    with pytest.raises(NothingToUndo):
        undo_backfill(database_url, NAME, pace=Pace(), stop=Quiet(), watch=Quiet())
    assert fill(database_url, SEVEN).already
    assert [(run, event.kind) for run, event in backfill_log(database_url, NAME, 10)] == [(2, "forget")]
    record = show_backfill(database_url, NAME).record
    assert (record.state, record.verified_clean) == (State.DONE, True)


def test_what_may_be_wanted_stays_unless_it_is_forced(database_url: str) -> None:
    numbers(database_url, 500)
    fill(database_url, SEVEN, undo_journal_mode=JournalMode.ON, verify=False)
    with pytest.raises(StillNeeded, match="it has not been verified"):
        forget(database_url)
    stopping = Quiet()
    stopping.stop_when = lambda: stopping.batches > 1
    second = spec("numbers", "hits", "hits + 1")
    fill(database_url, second, stopping)
    with pytest.raises(StillGoesOn, match="is paused"):
        forget_backfill(database_url, second.name, force=True, dry_run=False)
    cancel_backfill(database_url, second.name)
    with pytest.raises(StillNeeded, match="half-way"):
        forget_backfill(database_url, second.name, force=False, dry_run=False)
    assert forget(database_url, force=True) > 0
    assert journals(database_url) == 1


def test_only_what_is_old_enough_and_settled_expires(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, SEVEN, undo_journal_mode=JournalMode.ON)
    fill(
        database_url,
        spec("numbers", "hits", "5", where="hits = 0"),
        undo_journal_mode=JournalMode.ON,
        verify=False,
    )
    assert forget_expired(database_url, 86_400, force=False, dry_run=False) == []
    age(database_url, 2)
    found = {each.name: each for each in forget_expired(database_url, 86_400, force=False, dry_run=False)}
    assert found[NAME].refusal is None
    assert "not been verified" in str(found["numbers.hits"].refusal)
    assert journals(database_url) == 1


def test_a_run_that_is_being_undone_is_not_forgotten_under_it(database_url: str) -> None:
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "n + 1"))
    refusals: list[str] = []

    def meddle(batches: int) -> None:
        if batches == 2:
            with pytest.raises(StillGoesOn) as refused:
                forget(database_url, force=True)
            refusals.append(refused.value.what)

    quiet = Quiet(between=meddle)
    undo_backfill(database_url, NAME, pace=Pace(largest=100), stop=quiet, watch=quiet)
    assert "is undoing" in refusals[0]
    assert by_value(database_url) == {0: 1000}


def test_by_command_line(database_url: str) -> None:
    numbers(database_url, 300)
    with command_line(database_url) as cli:
        cli.run("run", NAME, "--set", "n + 1")
        assert "would lose" in cli.run("forget", NAME, "--dry-run")
        age(database_url, 15)
        gone = json.loads(cli.run("forget", "--expired", "--format", "json"))
        assert [each["name"] for each in gone["forgotten"]] == [NAME]
        assert "forget by" in cli.run("log", NAME)
        assert "give the NAME of a run, or --expired" in cli.fail("forget", expect=2)
