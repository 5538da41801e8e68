"""The runner against a server in memory that fails, loses connections and dies wherever it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.backfill.controller import Controller
from evolve.backfill.keyset import Key
from evolve.backfill.ports import BUCKETS, DatabaseFailure, Lease, Piece, Reject, TooManyRejects, Want
from evolve.backfill.progress import Snapshot
from evolve.backfill.runner import (
    BatchFailed,
    Ending,
    Finished,
    Forward,
    GaveUp,
    Interrupted,
    LeaseLost,
    RejectsOverBudget,
    Runner,
)
from evolve.backfill.shapes import Chooser, Shape
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


POISON = DatabaseFailure("division by zero", sqlstate="22012", lost=False)


class Killed(BaseException):
    """kill -9."""


@dataclass
class Server:
    """Rows and one range; a transaction's work counts only once it commits.

    Args:
        faults: what happens at each point that is passed, in order; then nothing happens any more.
        poison: rows that no batch can write.
    """

    rows: dict[int, int]
    upto: int
    faults: list[str] = field(default_factory=list)
    lease: Lease = field(init=False)
    want: Want = Want.RUN
    commits: int = 0
    on_commit: dict[int, Want] = field(default_factory=dict)
    stolen_at: int | None = None
    now: float = 0.0
    poison: set[int] = field(default_factory=set)
    rejected: list[int] = field(default_factory=list)
    max_rejects: int = 100

    def __post_init__(self) -> None:
        self.lease = Lease(1, 1, "nobody", 0, None, (str(self.upto),))

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

    prepares = False

    def prepare(self, lease: Lease, piece: Piece) -> None:
        raise AssertionError("nothing is to be prepared")

    @contextmanager
    def transaction(self, lease: Lease) -> Iterator[Memory]:
        self.pass_point()
        memory = Memory(self)
        yield memory
        # COMMIT: what goes wrong on the way there leaves nothing, what goes wrong on the way back leaves everything.
        self.pass_point()
        self.now += 0.01
        assert memory.new is not None
        for key in memory.changed:
            self.rows[key] += 1
        self.rejected += memory.rejects
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
    rejects: list[int] = field(default_factory=list)
    new: Lease | None = None

    def boundary(self, lease: Lease, rows: int) -> Key | None:
        self.server.pass_point()
        keys = self.inside(lease.after, lease.upto)
        return (str(keys[rows - 1]),) if len(keys) >= rows else None

    def count(self, lease: Lease) -> int:
        self.server.pass_point()
        return len(self.inside(lease.after, lease.upto))

    def change(self, lease: Lease, piece: Piece) -> int:
        self.server.pass_point()
        self.changed = self.of(piece)
        if self.server.poison & set(self.changed):
            raise POISON
        return len(self.changed)

    def check_at_once(self) -> None:
        self.server.pass_point()

    def keys(self, piece: Piece) -> list[Key]:
        self.server.pass_point()
        return [(str(key),) for key in self.of(piece)]

    def attempt(self, lease: Lease, piece: Piece) -> int:
        self.server.pass_point()
        found = self.of(piece)
        if self.server.poison & set(found):
            raise POISON
        self.changed += found
        return len(found)

    def reject(self, lease: Lease, rejects: Sequence[Reject]) -> None:
        self.server.pass_point()
        self.rejects = [int(each.key[0]) for each in rejects]
        left = self.server.max_rejects - len(self.server.rejected)
        if len(self.rejects) > left:
            raise TooManyRejects(rejects[left], self.server.max_rejects)

    def of(self, piece: Piece) -> list[int]:
        low, high = (BUCKETS * number // piece.slices for number in (piece.slice, piece.slice + 1))
        first = None if piece.after is not None or piece.first is None else int(piece.first[0])
        return [
            key
            for key in self.inside(piece.after, piece.upto)
            if low <= key * 2_654_435_761 % BUCKETS < high and (first is None or key >= first)
        ]

    def checkpoint(self, old: Lease, new: Lease) -> Want | None:
        self.server.pass_point()
        if (self.server.lease.epoch, self.server.lease.batches) != (old.epoch, old.batches):
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
    on_wait: Callable[[], object] = bool

    def requested(self) -> str | None:
        return "SIGINT" if self.after_waits is not None and len(self.waits) >= self.after_waits else None

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.on_wait()
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
    server: Server,
    *,
    throttle: Throttle | None = None,
    size: int = 3,
    stop_after: int | None = None,
    shapes: tuple[Shape, ...] = (Shape(1, touch=False),),
) -> Setup:
    stop = Stopping(server, stop_after)
    seen = Seen()
    runner = Runner(
        name="run",
        work=Forward(server, Chooser(shapes), lambda: server.now),
        leases=server,
        controller=Controller(smallest=1, largest=size, first=size),
        throttle=throttle or Throttles(()),
        stop=stop,
        watch=seen,
        clock=lambda: server.now,
        random=lambda: 0.5,
        patience=60,
    )
    return Setup(server, runner, stop, seen)


keys = st.sets(st.integers(-1000, 1000), min_size=1, max_size=40)
WINDOWS = tuple(Shape(slices, touch=False) for slices in (5, 1))


@given(
    inside=keys,
    outside=st.integers(0, 5),
    size=st.integers(1, 12),
    slices=st.integers(1, 4),
    poison=st.sets(st.integers(-1000, 1000), max_size=20),
    faults=st.lists(st.sampled_from(["", "", "", "kill", *FAULTS]), max_size=60),
)
def test_every_row_of_the_range_is_written_once_or_set_aside_once_and_none_outside(
    inside: set[int], outside: int, size: int, slices: int, poison: set[int], faults: list[str]
) -> None:
    upto = max(inside)
    rows = dict.fromkeys(inside | {2000 + n for n in range(outside)}, 0)
    server = Server(rows, upto, faults, poison=poison)
    while True:
        try:
            ending = setup(server, size=size, shapes=(Shape(slices, touch=False), *WINDOWS)).run()
            break
        except Killed:
            continue
    assert isinstance(ending, Finished)
    assert server.rows == {key: int(key in inside - poison) for key in rows}
    assert sorted(server.rejected) == sorted(inside & poison)


def test_windows_are_written_in_turns() -> None:
    """So that what one worker kills can be pruned, although another's transaction runs beside it."""
    server = Server(dict.fromkeys(range(100), 0), 99)
    made = setup(server, size=2, shapes=(Shape(4, touch=False),))
    pieces: list[tuple[Key | None, Key]] = []
    change = Memory.change

    def noted(memory: Memory, lease: Lease, piece: Piece) -> int:
        pieces.append((piece.after, piece.upto))
        return change(memory, lease, piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memory, "change", noted)
        made.run()
    first, second, third = (None, ("7",)), (("7",), ("15",)), (("15",), ("23",))
    assert pieces[:12] == [first, second, third] * 4
    assert set(server.rows.values()) == {1}


@given(faults=st.lists(st.sampled_from(["", "", "lost", "deadlock"]), max_size=30), at=st.integers(1, 12))
def test_a_worker_whose_range_was_taken_commits_nothing_more(faults: list[str], at: int) -> None:
    server = Server(dict.fromkeys(range(40), 0), 39, faults, stolen_at=at)
    with pytest.raises(LeaseLost):
        setup(server).run()
    assert server.commits == at


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


def test_a_wait_shows_its_reason_while_it_lasts() -> None:
    made = setup(Server(dict.fromkeys(range(3), 0), 2), throttle=Once(1))
    reasons = []
    made.stop.on_wait = lambda: reasons.append(made.runner.held and made.runner.held.reason)
    made.run()
    assert reasons == ["because"]
    assert made.runner.held is None


def test_what_was_walked_adds_up_however_a_window_was_cut() -> None:
    faults = ["", "", "statement timeout", "", "", "", "", "", "statement timeout"]
    server = Server(dict.fromkeys(range(100), 0), 99, faults)
    setup(server, size=10, shapes=(Shape(5, touch=False),)).run()
    assert server.lease.scanned == server.lease.changed == 100


def test_a_slice_that_took_too_long_is_cut() -> None:
    server = Server(dict.fromkeys(range(100), 0), 99, [""] * 6 + ["statement timeout"])
    made = setup(server, size=20, shapes=(Shape(5, touch=False),))
    made.run()
    assert server.commits == 1 + 4 * 2


def test_an_error_of_the_expression_stops_at_once_and_says_where() -> None:
    server = Server(dict.fromkeys(range(30), 0), 29, [""] * 12)
    server.faults.append("bad")
    FAULTS_BAD = DatabaseFailure("no such function", sqlstate="42883", lost=False)
    made = setup(server)

    class Failing(Memory):
        def change(self, lease: Lease, piece: Piece) -> int:
            if lease.cursor == ("2",):
                raise FAULTS_BAD
            return super().change(lease, piece)

    made.runner.work = Forward(
        Transactions(server, Failing), Chooser((Shape(1, touch=False),)), lambda: server.now
    )
    with pytest.raises(BatchFailed, match=r"after key \(2\): no such function"):
        made.run()
    assert server.commits == 1


def test_one_row_more_than_may_be_set_aside_stops_it_and_is_named() -> None:
    server = Server(dict.fromkeys(range(30), 0), 29, poison={5, 17, 25}, max_rejects=2)
    with pytest.raises(RejectsOverBudget, match=r"more than 2 rows .* key \(25\): division by zero"):
        setup(server, size=8).run()
    assert server.rejected == [5, 17]


def test_a_row_that_needs_what_another_one_still_has_is_written_after_it() -> None:
    server = Server(dict.fromkeys(range(4), 0), 3, poison={1})
    made = setup(server, size=4)

    class Following(Memory):
        """Row 0 can be written once row 2 is."""

        def attempt(self, lease: Lease, piece: Piece) -> int:
            if 0 in self.of(piece) and 2 not in self.changed:
                raise POISON
            return super().attempt(lease, piece)

    made.runner.work = Forward(
        Transactions(server, Following), Chooser((Shape(1, touch=False),)), lambda: server.now
    )
    made.run()
    assert (server.rows, server.rejected) == ({0: 1, 1: 0, 2: 1, 3: 1}, [1])


def test_a_row_that_alone_runs_out_of_time_again_and_again_is_set_aside() -> None:
    server = Server(dict.fromkeys(range(12), 0), 11)
    made = setup(server, size=8)

    class Slow(Memory):
        def change(self, lease: Lease, piece: Piece) -> int:
            if 5 in self.of(piece):
                raise DatabaseFailure("statement timeout", sqlstate="57014", lost=False)
            return super().change(lease, piece)

        def attempt(self, lease: Lease, piece: Piece) -> int:
            if 5 in self.of(piece):
                raise DatabaseFailure("statement timeout", sqlstate="57014", lost=False)
            return super().attempt(lease, piece)

    made.runner.work = Forward(
        Transactions(server, Slow), Chooser((Shape(1, touch=False),)), lambda: server.now
    )
    made.run()
    assert server.rejected == [5]
    assert server.rows == {key: int(key != 5) for key in range(12)}


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

    prepares = False

    def prepare(self, lease: Lease, piece: Piece) -> None:
        raise AssertionError("nothing is to be prepared")

    @contextmanager
    def transaction(self, lease: Lease) -> Iterator[Memory]:
        with self.server.transaction(self.server.lease) as memory:
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
