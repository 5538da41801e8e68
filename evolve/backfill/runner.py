"""The loop of a backfill: ask, wait, one transaction, look at what happened; and the forward pass it drives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from evolve.backfill.controller import Controller
from evolve.backfill.failures import Verdict, judge
from evolve.backfill.happenings import Committed, Observer, Retried, Waiting, WentOn, nobody
from evolve.backfill.isolation import MOST, isolate
from evolve.backfill.ports import (
    Batches,
    DatabaseFailure,
    Lease,
    Leases,
    Pass,
    Piece,
    Step,
    Stop,
    TooManyRejects,
    Transaction,
    Want,
    Watch,
    Window,
)
from evolve.backfill.shapes import Chooser, Shape
from evolve.backfill.throttle import Hold, Throttle
from evolve.counted import counted
from evolve.errors import Refused

AT_ONCE = 3  # windows that are written in turns
PREPARING = 5.0  # times as long as its commit a batch may be prepared, before that makes batches smaller
HEARTBEAT = 2.0  # seconds: a wait is cut into pieces of this, each renews the lease and reads what is wanted
FIRST_BACKOFF = 0.01  # seconds
LONGEST_BACKOFF = 5.0
PROOFS = 3  # times that a row runs out of time in a batch of its own, until it is at fault and not the server
PATIENCE = 300.0  # seconds without a commit after which a worker gives up


class LeaseLost(Refused):
    def __init__(self, name: str) -> None:
        super().__init__(
            f'another worker took over backfill "{name}"',
            why="this one was silent for longer than its lease; what it had not committed was rolled back",
            fix=f"see who works on it: evolve backfill status {name}",
        )


class BatchFailed(Refused):
    """
    Args:
        lease: where the batch began; None where it was no batch.
        again: the command that goes on.
    """

    def __init__(
        self, name: str, failure: DatabaseFailure, lease: Lease | None, again: str = "resume"
    ) -> None:
        place = ""
        if lease is not None:
            place = (
                " before the first key" if lease.after is None else f" after key ({', '.join(lease.after)})"
            )
        super().__init__(
            f'backfill "{name}" failed{place}: {failure.message}',
            why=f"SQLSTATE {failure.sqlstate}: trying again gives the same answer; what was committed stays",
            fix=f"mend the cause, then: evolve backfill {again} {name}",
        )


class RejectsOverBudget(Refused):
    def __init__(self, name: str, over: TooManyRejects) -> None:
        key = ", ".join(over.first.key)
        backfill, verb = f'backfill "{name}"', "be written"
        if over.undoing:
            backfill, verb = f"undo of {backfill}", "take their old values"
        if over.allowed == 0:
            what = f"{backfill} stopped at the row with key ({key}): {over.first.message}"
            why = f"SQLSTATE {over.first.sqlstate}; --max-rejects is 0, so no row may be set aside"
        else:
            what = (
                f"{backfill} has more than {counted(over.allowed, 'row')} that cannot {verb},"
                f" one of them with key ({key}): {over.first.message}"
            )
            why = f"SQLSTATE {over.first.sqlstate}; no more may be set aside; what was committed stays"
        super().__init__(
            what,
            why=why,
            fix="mend the rows, or allow more to be set aside (--max-rejects N):"
            f" evolve backfill {'undo' if over.undoing else 'resume'} {name}",
        )


class GaveUp(Refused):
    def __init__(self, name: str, seconds: float, failure: DatabaseFailure, again: str = "resume") -> None:
        super().__init__(
            f'backfill "{name}" could not commit a batch for {seconds:.0f} s: {failure.message}',
            why=f"SQLSTATE {failure.sqlstate}" if failure.sqlstate else "the server could not be reached",
            fix=f"look at the server, then: evolve backfill {again} {name}",
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """The pass reached its end."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The pass stopped between two batches.

    Args:
        lease: None where no range was held.
        want: PAUSE or CANCEL.
        signal: the signal that asked; None where an operator wrote it into the journal.
    """

    lease: Lease | None
    want: Want
    signal: str | None


Ending = Finished | Interrupted


class CheckpointRefused(Exception):
    """Raised inside a batch's transaction, which rolls back: the range is not where this worker believes it to be."""


class Forward:
    """Walks a range from its first key on: boundary, change and checkpoint in one transaction each.

    Where a row keeps a batch from being written, the keys of that batch are gone over once more in small transactions
    that set such rows aside; see `isolation`.
    """

    def __init__(self, batches: Batches, chooser: Chooser, clock: Callable[[], float]) -> None:
        self._batches = batches
        self._chooser = chooser
        self._clock = clock
        self._suspects = 0  # keys ahead, one of which failed a batch
        self._timeouts = 0  # of one and the same row, in a batch of its own

    def advance(self, lease: Lease, size: int) -> Step:
        shape = self._chooser.next()
        try:
            if self._suspects > 0:
                return self._isolate(lease, size)
            step = self._batch(lease, size, shape)
        except DatabaseFailure as failure:
            verdict = judge(failure)
            if verdict is Verdict.TOO_SLOW and size == 1 and not failure.lost:
                self._timeouts += 1
                if self._timeouts < PROOFS:
                    raise
            elif verdict is not Verdict.ROW or self._suspects > 0:
                raise
            if self._suspects <= 0:
                self._suspects = size if lease.window is not None else size * shape.slices
        else:
            self._timeouts = 0
            return step
        return self._isolate(lease, size)

    def _batch(self, lease: Lease, size: int, shape: Shape) -> Step:
        began = self._clock()
        planned = self._prepared(lease, size, shape)
        prepared = self._clock() - began
        with self._batches.transaction(lease) as transaction:
            if planned is None:
                planned = self._planned(transaction, lease, size, shape)
            window = planned.windows[planned.turn]
            changed = transaction.change(lease, _piece(planned, shape))
            step = _checked(transaction, lease, planned, changed)
        if window.slices == shape.slices:
            seconds = self._clock() - began
            first, last = lease.window is None, step.lease.window is None
            self._chooser.committed(shape, window.share, seconds, first=first, last=last)
        if self._batches.prepares:
            # Nothing is locked while it prepares: that may take several times as long as a commit should.
            locked = self._clock() - began - prepared
            return replace(step, seconds=max(locked, prepared / PREPARING))
        return step

    def _isolate(self, lease: Lease, size: int) -> Step:
        with self._batches.transaction(lease) as transaction:
            transaction.check_at_once()
            planned = self._planned(transaction, lease, min(size, MOST), _PLAIN)
            slow = self._timeouts >= PROOFS
            isolated = isolate(transaction, lease, _piece(planned, _PLAIN), slow=slow)
            if isolated.rejects:
                # Before the checkpoint: who stops a run locks its row first and its ranges then.
                transaction.reject(lease, isolated.rejects)
            step = _checked(transaction, lease, planned, isolated.changed, max(1, isolated.parts))
        self._suspects -= step.scanned
        if self._suspects <= 0:
            self._timeouts = 0
        return step

    def reread(self, lease: Lease, journal: Lease) -> Lease:
        return journal

    def _prepared(self, lease: Lease, size: int, shape: Shape) -> Lease | None:
        """Let what can be done before the batch's transaction be done; None where nothing can."""
        if not self._batches.prepares:
            return None
        if lease.window is not None:
            planned = _cut(lease, size)
        else:
            with self._batches.transaction(lease) as transaction:
                planned = self._planned(transaction, lease, size, shape)
        self._batches.prepare(lease, _piece(planned, shape))
        return planned

    def _planned(self, transaction: Transaction, lease: Lease, size: int, shape: Shape) -> Lease:
        """With the windows that are to be written next, and the one whose turn it is in slices of about `size` rows.

        Windows take turns: what a commit killed cannot be pruned until the transactions that ran beside it are over,
        and those of other workers last about as long as ours. Meanwhile other windows are written.
        """
        if lease.window is None:
            rows, most = size * shape.slices, 1 if self._batches.prepares else AT_ONCE
            windows = [self._window(transaction, lease, rows, shape.slices)]
            while len(windows) < most and windows[-1].slices > 1 and windows[-1].upto != lease.upto:
                behind = replace(lease, cursor=windows[-1].upto)
                windows.append(self._window(transaction, behind, rows, shape.slices))
            lease = lease.with_windows(windows)
        return _cut(lease, size)

    def _window(self, transaction: Transaction, lease: Lease, rows: int, slices: int) -> Window:
        boundary = transaction.boundary(lease, rows)
        if boundary is not None:
            return Window(boundary, slices, done=0, rows=rows)
        # Fewer are left, and some of them may be gone by now.
        left = transaction.count(lease)
        return Window(lease.upto, slices if left >= slices else 1, done=0, rows=left)


_PLAIN = Shape(1, touch=False)


def _cut(planned: Lease, size: int) -> Lease:
    windows, turn = list(planned.windows), planned.turn
    if windows[turn].slices > 1:
        windows[turn] = windows[turn].cut(size)
    return planned.with_windows(windows)


def _checked(transaction: Transaction, lease: Lease, planned: Lease, changed: int, batches: int = 1) -> Step:
    """Checkpoint a transaction that has written one slice of the window whose turn it was.

    Raises:
        CheckpointRefused
    """
    windows, turn = list(planned.windows), planned.turn
    window = windows[turn]
    windows[turn] = replace(window, done=window.done + 1)
    if windows[0].done < windows[0].slices:
        after = planned.with_windows(windows)
    else:
        last = len(windows) == 1 and window.upto == lease.upto
        after = replace(planned.with_windows(windows[1:]), cursor=window.upto, finished=last)
    after = replace(
        after,
        batches=lease.batches + batches,
        scanned=lease.scanned + window.share,
        changed=lease.changed + changed,
    )
    want = transaction.checkpoint(lease, after)
    if want is None:
        raise CheckpointRefused
    return Step(after, window.share, changed, want)


def _piece(planned: Lease, shape: Shape) -> Piece:
    windows, turn = planned.windows, planned.turn
    window = windows[turn]
    after = windows[turn - 1].upto if turn else planned.after
    return Piece(after, window.upto, window.slices, window.done, shape.touch, planned.first)


@dataclass(slots=True)
class Runner:
    """Drives one pass over one range to its end.

    Between two batches it obeys a signal, what the journal wants, and the throttle, in this order; a wait renews the
    lease. After a failure it decides by SQLSTATE: wait with jitter and halve, reconnect and read the range back, or
    stop. No state is kept here that the journal does not have.

    Args:
        random: uniform in [0, 1), for jitter.
        patience: seconds without a commit before giving up. Waits that the throttle asks for do not count.
        lease: as last committed or retaken; there also after an error, for whoever writes that down.
        held: what it waits for just now; for whoever looks on.
        worked: seconds it was at batches that committed; for whoever looks on.
        again: the command that goes on where it stops: resume or undo.
        crowded: whether somebody waited for a lock of the run since it was asked last; asked before each batch.
    """

    name: str
    work: Pass
    leases: Leases
    controller: Controller
    throttle: Throttle
    stop: Stop
    watch: Watch
    clock: Callable[[], float]
    random: Callable[[], float]
    patience: float = PATIENCE
    lease: Lease | None = None
    held: Hold | None = None
    observer: Observer = nobody
    worked: float = 0.0
    again: str = "resume"
    crowded: Callable[[], bool] = bool

    def run(self, lease: Lease) -> Ending:
        """Work until the range is finished, or a signal or the journal asks to stop.

        Raises:
            LeaseLost: another worker holds the range.
            BatchFailed: an error that another try would meet again.
            RejectsOverBudget: more rows cannot be written than the run allows to set aside.
            GaveUp: `patience` ran out.
        """
        struggle = Struggle(self)
        self.lease = lease
        while not lease.finished:
            try:
                asked = self._ask(lease, struggle)
                if asked is not None:
                    return asked
                if self.crowded():
                    self.controller.waited_for()
                began = self.clock()
                step = self.work.advance(lease, self.controller.size)
                seconds = self.clock() - began
            except DatabaseFailure as failure:
                lease = self.lease = struggle.after(failure, lease)
                continue
            except CheckpointRefused as refusal:
                # The range is not where we left it: somebody took it, or a COMMIT that seemed to fail did not.
                lease = self.lease = struggle.reread(lease, refusal)
                continue
            except TooManyRejects as over:
                raise RejectsOverBudget(self.name, over) from over
            lease = self.lease = step.lease
            self.worked += seconds
            struggle.committed()
            self.controller.committed(step.scanned, seconds if step.seconds is None else step.seconds)
            self.throttle.committed(step.changed, seconds)
            self.observer(Committed(step.scanned, step.changed, seconds, self.controller.size))
            if step.want is not Want.RUN and not lease.finished:
                return Interrupted(lease, step.want, None)
        return Finished(lease)

    def _ask(self, lease: Lease, struggle: Struggle) -> Interrupted | None:
        """Wait as long as the throttle says; an ending where somebody wants to stop first."""
        renewed = self.clock()
        while True:
            signal = self.stop.requested()
            if signal is not None:
                return Interrupted(lease, Want.PAUSE, signal)
            before, self.held = self.held, self.throttle.hold()
            if self.held is None:
                if before is not None:
                    self.observer(WentOn())
                return None
            self.observer(Waiting(self.held))
            self.stop.wait(min(self.held.seconds, HEARTBEAT))
            struggle.waited()
            if self.clock() - renewed >= HEARTBEAT:
                want = self.leases.renew(lease)
                renewed = self.clock()
                if want is None:
                    raise LeaseLost(self.name)
                if want is not Want.RUN:
                    return Interrupted(lease, want, None)


class Struggle:
    """Failures since the last commit: how long to wait, and when to give up."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._since = runner.clock()
        self._failures = 0

    def committed(self) -> None:
        self._since = self._runner.clock()
        self._failures = 0

    def waited(self) -> None:
        """A wait that the throttle asked for is no failure to commit."""
        if not self._failures:
            self._since = self._runner.clock()

    def after(self, failure: DatabaseFailure, lease: Lease) -> Lease:
        """Wait, reconnect where needed, and return the range as the journal has it.

        Raises:
            BatchFailed, GaveUp, LeaseLost: see `Runner.run`.
        """
        runner = self._runner
        verdict = judge(failure)
        while True:
            match verdict:
                case Verdict.FATAL | Verdict.ROW:
                    # An undo has its cursor elsewhere.
                    place = lease if runner.again == "resume" else None
                    raise BatchFailed(runner.name, failure, place, runner.again) from failure
                case Verdict.CONTENDED:
                    runner.controller.contended()
                case Verdict.TOO_SLOW:
                    runner.controller.too_slow()
                case Verdict.EXHAUSTED | Verdict.DISCONNECTED:
                    # The session was ended because a function computed for too long while its rows were locked.
                    if failure.sqlstate == "25P03":
                        runner.controller.too_slow()
                case _:
                    assert_never(verdict)
            if runner.clock() - self._since >= runner.patience:
                raise GaveUp(runner.name, runner.clock() - self._since, failure, runner.again) from failure
            seconds = 0.0 if verdict is Verdict.TOO_SLOW else self._backoff()
            runner.watch.say(
                f"{failure.message}; next try in {seconds:.1f} s with {runner.controller.size} rows"
            )
            if self._failures == 0 or verdict is Verdict.DISCONNECTED:
                reason = f"{failure.sqlstate or 'connection lost'}: {failure.message}"
            else:
                reason = None  # one event per struggle is enough to know what it was about
            runner.observer(Retried(failure.sqlstate, failure.message, seconds))
            self._failures += 1
            runner.stop.wait(seconds)
            if runner.stop.requested() is not None and failure.lost:
                raise GaveUp(runner.name, runner.clock() - self._since, failure, runner.again) from failure
            try:
                held: Lease | None = lease
                if failure.lost or verdict is Verdict.DISCONNECTED:
                    read = runner.leases.retake(lease)
                    held = None if read is None else runner.work.reread(lease, read)
                if held is None:
                    raise LeaseLost(runner.name)
                if reason is not None:
                    runner.leases.note(held, "retry", reason)
            except DatabaseFailure as next_failure:
                failure = next_failure
                verdict = judge(failure)
                continue
            return held

    def reread(self, lease: Lease, refusal: CheckpointRefused) -> Lease:
        """Where the range stands, if it is still ours.

        Raises:
            LeaseLost, BatchFailed, GaveUp
        """
        runner = self._runner
        try:
            read = runner.leases.retake(lease)
        except DatabaseFailure as failure:
            return self.after(failure, lease)
        if read is None:
            raise LeaseLost(runner.name) from refusal
        return runner.work.reread(lease, read)

    def _backoff(self) -> float:
        """Doubles from 10 ms to 5 s; between half and all of it, so that two workers do not meet again."""
        longest = min(FIRST_BACKOFF * 2.0**self._failures, LONGEST_BACKOFF)
        return longest * (0.5 + self._runner.random() / 2)
