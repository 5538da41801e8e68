"""The runner against a server in memory that fails, loses connections and dies wherever it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.backfill.controller import Controller
from evolve.backfill.keyset import Key
from evolve.backfill.ports import DatabaseFailure, Lease, Want
from evolve.backfill.progress import Meter, Snapshot
from evolve.backfill.runner import (
    BatchFailed,
    Ending,
    Finished,
    Forward,
    GaveUp,
    Interrupted,
    LeaseLost,
    Runner,
)
from evolve.backfill.throttle import Hold, Throttle, Throttles

FAULTS = {
    "deadlock": ("40P01", False),
    "serialization": ("40001", False),
    "lock timeout": ("55P03", False),
    "statement timeout": ("57014", False),
    "disk full": ("53100", False),
    "shutdown": ("57P01", True),
    "lost": (None, True),
}


class Killed(BaseException):
    """kill -9."""


@dataclass
class Server:
    """Rows and one range; a transaction's work counts only once it commits.

    Args:
        faults: what happens at each point that is passed, in order; then nothing happens any more.
    """

    rows: dict[int, int]
    upto: int | None
    faults: list[str] = field(default_factory=list)
    lease: Lease = field(init=False)
    want: Want = Want.RUN
    commits: int = 0
    on_commit: dict[int, Want] = field(default_factory=dict)
    stolen_at: int | None = None
    now: float = 0.0

    def __post_init__(self) -> None:
        upto = None if self.upto is None else (str(self.upto),)
        self.lease = Lease(1, 1, "nobody", 0, None, upto)

    def claim(self, owner: str) -> Lease:
        self.lease = replace(self.lease, owner=owner, epoch=self.lease.epoch + 1)
        return self.lease

    def pass_point(self) -> None:
        if self.faults:
            fault = self.faults.pop(0)
            if fault == "kill":
                raise Killed
            if fault in FAULTS:
                sqlstate, lost = FAULTS[fault]
                raise DatabaseFailure(fault, sqlstate=sqlstate, lost=lost)

    @contextmanager
    def transaction(self) -> Iterator[Memory]:
        self.pass_point()
        memory = Memory(self)
        yield memory
        # COMMIT: what goes wrong on the way there leaves nothing, what goes wrong on the way back leaves everything.
        self.pass_point()
        self.now += 0.01
        assert memory.new is not None
        for key in memory.changed:
            self.rows[key] += 1
        self.lease = replace(memory.new, owner=self.lease.owner)
        self.commits += 1
        self.want = self.on_commit.get(self.commits, self.want)
        if self.stolen_at == self.commits:
            self.claim("thief")
        self.pass_point()

    # Leases
    def retake(self, lease: Lease) -> Lease | None:
        self.pass_point()
        return self.claim(lease.owner) if self.lease.owner == lease.owner else None

    def renew(self, lease: Lease) -> Want | None:
        return self.want if self.lease.epoch == lease.epoch else None

    def note(self, lease: Lease, kind: str, detail: str) -> None:
        self.pass_point()


@dataclass
class Memory:
    server: Server
    changed: list[int] = field(default_factory=list)
    new: Lease | None = None

    def boundary(self, after: Key | None, upto: Key, rows: int) -> Key | None:
        self.server.pass_point()
        keys = self.inside(after, upto)
        return (str(keys[rows - 1]),) if len(keys) >= rows else None

    def change(self, lease: Lease, upto: Key) -> int:
        self.server.pass_point()
        self.changed = self.inside(lease.cursor, upto)
        return len(self.changed)

    def checkpoint(self, old: Lease, new: Lease) -> Want | None:
        self.server.pass_point()
        if (self.server.lease.epoch, self.server.lease.cursor) != (old.epoch, old.cursor):
            return None
        self.new = new
        return self.server.want

    def inside(self, after: Key | None, upto: Key) -> list[int]:
        low = None if after is None else int(after[0])
        return sorted(key for key in self.server.rows if (low is None or key > low) and key <= int(upto[0]))


@dataclass
class Stopping:
    server: Server
    after_waits: int | None = None
    waits: list[float] = field(default_factory=list)

    def requested(self) -> str | None:
        return "SIGINT" if self.after_waits is not None and len(self.waits) >= self.after_waits else None

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.server.now += seconds


@dataclass
class Seen:
    snapshots: list[Snapshot] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def report(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def say(self, message: str) -> None:
        self.said.append(message)


@dataclass
class Setup:
    server: Server
    runner: Runner
    stop: Stopping
    seen: Seen

    def run(self) -> Ending:
        return self.runner.run(self.server.claim("worker"))


def setup(
    server: Server, *, throttle: Throttle | None = None, size: int = 3, stop_after: int | None = None
) -> Setup:
    stop = Stopping(server, stop_after)
    seen = Seen()
    runner = Runner(
        name="run",
        work=Forward(server),
        leases=server,
        controller=Controller(smallest=1, largest=size, first=size),
        throttle=throttle or Throttles(()),
        stop=stop,
        watch=seen,
        meter=Meter(len(server.rows), lambda: server.now),
        clock=lambda: server.now,
        random=lambda: 0.5,
        by_key=lambda lease: None,
        patience=60,
    )
    return Setup(server, runner, stop, seen)


keys = st.sets(st.integers(-1000, 1000), max_size=40)


@given(
    inside=keys,
    outside=st.integers(0, 5),
    size=st.integers(1, 12),
    faults=st.lists(st.sampled_from(["", "", "", "kill", *FAULTS]), max_size=60),
)
def test_every_row_of_the_range_is_written_once_and_none_outside(
    inside: set[int], outside: int, size: int, faults: list[str]
) -> None:
    upto = max(inside, default=None)
    rows = dict.fromkeys(inside | {2000 + n for n in range(outside)}, 0)
    server = Server(rows, upto, faults)
    while True:
        try:
            ending = setup(server, size=size).run()
            break
        except Killed:
            continue
    assert isinstance(ending, Finished)
    assert server.rows == {key: int(key in inside) for key in rows}


@given(faults=st.lists(st.sampled_from(["", "", "lost", "deadlock"]), max_size=30), at=st.integers(1, 12))
def test_a_worker_whose_range_was_taken_commits_nothing_more(faults: list[str], at: int) -> None:
    server = Server(dict.fromkeys(range(40), 0), 39, faults, stolen_at=at)
    with pytest.raises(LeaseLost):
        setup(server).run()
    assert server.commits == at


def test_progress_never_says_all_before_the_end() -> None:
    made = setup(Server(dict.fromkeys(range(100), 0), 99))
    made.runner.meter = Meter(10, lambda: made.server.now)  # the statistics are old
    made.run()
    assert max(shot.fraction or 0 for shot in made.seen.snapshots[:-1]) < 1
    assert made.seen.snapshots[-1].fraction == 1.0


def test_pause_acts_at_the_next_commit() -> None:
    made = setup(Server(dict.fromkeys(range(30), 0), 29, on_commit={2: Want.PAUSE}))
    ending = made.run()
    assert isinstance(ending, Interrupted)
    assert (ending.want, ending.signal, made.server.commits) == (Want.PAUSE, None, 3)


def test_a_signal_leaves_between_two_batches() -> None:
    made = setup(Server(dict.fromkeys(range(30), 0), 29), throttle=Once(5), stop_after=1)
    ending = made.run()
    assert isinstance(ending, Interrupted)
    assert (ending.signal, made.server.commits) == ("SIGINT", 0)


def test_a_wait_renews_the_lease_and_reads_what_is_wanted() -> None:
    server = Server(dict.fromkeys(range(30), 0), 29)
    server.want = Want.CANCEL
    made = setup(server, throttle=Once(60))
    ending = made.run()
    assert isinstance(ending, Interrupted)
    assert (ending.want, server.commits) == (Want.CANCEL, 0)


def test_a_wait_shows_its_reason() -> None:
    made = setup(Server(dict.fromkeys(range(3), 0), 2), throttle=Once(1))
    made.run()
    assert [shot.hold for shot in made.seen.snapshots if shot.state == "throttled"] == ["because"]


def test_an_error_of_the_expression_stops_at_once_and_says_where() -> None:
    server = Server(dict.fromkeys(range(30), 0), 29, [""] * 12)
    server.faults.append("bad")
    FAULTS_BAD = DatabaseFailure("division by zero", sqlstate="22012", lost=False)
    made = setup(server)

    class Failing(Memory):
        def change(self, lease: Lease, upto: Key) -> int:
            if lease.cursor == ("2",):
                raise FAULTS_BAD
            return super().change(lease, upto)

    made.runner.work = Forward(Transactions(server, Failing))
    with pytest.raises(BatchFailed, match=r"after key \(2\): division by zero"):
        made.run()
    assert server.commits == 1


def test_it_gives_up_when_nothing_commits_for_too_long() -> None:
    made = setup(Server(dict.fromkeys(range(30), 0), 29, ["lock timeout"] * 1000))
    with pytest.raises(GaveUp, match="lock timeout"):
        made.run()
    assert 60 <= made.server.now < 70


def test_a_timeout_is_tried_again_with_half_the_rows() -> None:
    server = Server(dict.fromkeys(range(30), 0), 29, ["", "", "statement timeout"])
    made = setup(server, size=8)
    made.run()
    assert server.commits > 30 / 8
    assert "with 4 rows" in made.seen.said[0]


def test_backoff_grows_and_differs_between_workers() -> None:
    made = setup(Server(dict.fromkeys(range(3), 0), 2, ["lock timeout"] * 8))
    made.run()
    assert made.stop.waits == sorted(made.stop.waits)
    assert made.stop.waits[0] == pytest.approx(0.0075)  # random() is 0.5: three quarters of 10 ms


@dataclass
class Transactions:
    server: Server
    kind: type[Memory]

    @contextmanager
    def transaction(self) -> Iterator[Memory]:
        with self.server.transaction() as memory:
            memory.__class__ = self.kind
            yield memory


@dataclass
class Once:
    """Holds once for that many seconds."""

    seconds: float

    def committed(self, rows: int, seconds: float) -> None: ...

    def hold(self) -> Hold | None:
        left, self.seconds = self.seconds, self.seconds - 2
        return Hold(left, "because") if left > 0 else None
