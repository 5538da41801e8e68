"""A standby that is behind, or gone, holds a backfill until it is there again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.backfill import fill, numbers, spec
from support.holds import Releasing, by
from support.standby import Streaming, streaming

from evolve.backfill.status import State
from evolve.postgres.connect import connect

pytestmark = pytest.mark.server

HARD = 2_000_000  # bytes
MOST_OF_A_BATCH = 200_000  # bytes of WAL for 100 rows, first images of pages and all


@pytest.fixture
def pair() -> Iterator[Streaming]:
    with streaming({}) as pair:
        numbers(pair.primary, 12_000)
        pair.caught_up()
        yield pair


def once(act: Callable[[], object]) -> Callable[[], None]:
    left = [act]

    def do() -> None:
        if left:
            left.pop()()

    return do


def lag(pair: Streaming) -> float:
    with connect(pair.primary, autocommit=True) as primary:
        row = primary.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::float8 FROM pg_stat_replication"
        ).fetchone()
    assert row is not None
    return float(str(row[0]))


def test_a_standby_that_replays_nothing_is_never_more_than_a_batch_beyond_the_limit(pair: Streaming) -> None:
    peaks: list[float] = []
    with ExitStack() as stack:
        stack.enter_context(pair.lagging())

        def release() -> None:
            time.sleep(0.5)  # whatever would still be written by now is
            peaks.append(lag(pair))
            stack.close()

        quiet = Releasing(word="limit", release=once(release))
        sensors = {"replica-lag": {"soft": 100_000, "hard": HARD}, "replica-delay": {"off": True}}
        pace = by(sensors, replica_lag=HARD)
        outcome = fill(pair.primary, spec("numbers", "n", "n + 1"), quiet, pace=pace)
    assert outcome.state is State.DONE
    assert quiet.held("limit").startswith("replica lag 2")
    assert quiet.held("limit").endswith(' MB on "follower", limit 2 MB')
    assert HARD < peaks[0] < HARD + MOST_OF_A_BATCH


def test_a_named_standby_that_disappears_in_the_middle_holds(pair: Streaming) -> None:
    def disappear(batch: int) -> None:
        if batch == 3:
            pair.stop()

    quiet = Releasing(word="not connected", release=once(pair.start), between=disappear)
    pace = by({"replica-lag": {"standbys": ["follower"]}}, largest=50)
    assert fill(pair.primary, spec("numbers", "n", "n + 1"), quiet, pace=pace).state is State.DONE
    assert quiet.held("not") == 'standby "follower" is not connected'


@pytest.mark.long
def test_a_standby_that_receives_nothing_holds(pair: Streaming) -> None:
    """The connection stands, and nobody is at its other end: what a network that swallows packets looks like."""
    with connect(pair.standby, autocommit=True) as standby:
        row = standby.execute("SELECT pid FROM pg_stat_wal_receiver").fetchone()
    assert row is not None
    receiver = int(str(row[0]))
    peaks: list[float] = []

    def release() -> None:
        peaks.append(lag(pair))
        os.kill(receiver, signal.SIGCONT)

    quiet = Releasing(word="limit", release=once(release))
    sensors = {"replica-lag": {"soft": 100_000, "hard": HARD}, "replica-delay": {"off": True}}
    os.kill(receiver, signal.SIGSTOP)
    try:
        outcome = fill(pair.primary, spec("numbers", "n", "n + 1"), quiet, pace=by(sensors, replica_lag=HARD))
    finally:
        os.kill(receiver, signal.SIGCONT)
    assert outcome.state is State.DONE
    assert quiet.held("limit").endswith(' MB on "follower", limit 2 MB')
    assert HARD < peaks[0] < HARD + MOST_OF_A_BATCH


@pytest.mark.long
def test_a_standby_that_is_late_on_purpose_holds_unless_it_is_left_out(pair: Streaming) -> None:
    with connect(pair.standby, autocommit=True) as standby:
        standby.execute("ALTER SYSTEM SET recovery_min_apply_delay = '4s'")
        standby.execute("SELECT pg_reload_conf()")
    quiet = Releasing()
    pace = by({"replica-delay": {"hard": "1s"}}, largest=2_000)
    outcome = fill(pair.primary, spec("numbers", "n", "n + 1"), quiet, pace=pace)
    left_out = Releasing()
    pace = by({"replica-delay": {"hard": "1s", "ignore": ["follower"]}}, largest=2_000)
    again = fill(pair.primary, spec("numbers", "hits", "hits + 1"), left_out, pace=pace)
    assert (outcome.state, again.state) == (State.DONE, State.DONE)
    assert not [hold for hold in left_out.holds if "delay" in hold]
