"""A worker: takes ranges of a run, one after the other, and walks each to its end."""

from __future__ import annotations

import math
import os
import random
import secrets
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace

from evolve.app.backfill_function import computing
from evolve.app.backfill_work import Pace, actor, persistently, told
from evolve.backfill.again import Again
from evolve.backfill.calling import Computing, FunctionFailed
from evolve.backfill.controller import LARGEST, TARGET, Controller
from evolve.backfill.delivering import Followed, deliver
from evolve.backfill.happenings import Left, Observer, Taken, nobody
from evolve.backfill.ports import DatabaseFailure, Lease, Pass, Stop, TooManyRejects, Want, Watch
from evolve.backfill.record import RunRecord
from evolve.backfill.runner import (
    HEARTBEAT,
    BatchFailed,
    Finished,
    Forward,
    Interrupted,
    LeaseLost,
    RejectsOverBudget,
    Runner,
)
from evolve.backfill.settings import Settings
from evolve.backfill.shapes import Chooser, Paces, candidates
from evolve.backfill.spec import Spec, has_effects
from evolve.backfill.status import State
from evolve.backfill.steering import Desk, Doing, Steering
from evolve.backfill.throttle import Throttle
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.undo import Backward
from evolve.errors import Refused
from evolve.postgres import journal
from evolve.postgres.backfill_target import Target
from evolve.postgres.batches import SqlBatches
from evolve.postgres.change_of import change_of
from evolve.postgres.changing import Change
from evolve.postgres.failure import translated
from evolve.postgres.ground import Grounds
from evolve.postgres.outbox import SqlOutbox
from evolve.postgres.session import Session
from evolve.postgres.undoing import SqlUndoBatches

SLOW = 20  # times the target: a batch that took so long makes the plan of the next one suspect
POLL = 0.2  # seconds between two looks for a range that somebody gave up


def new_owner() -> str:
    """A name for a lease that nobody else has: who, which process, and a random part."""
    return f"{actor()}#{os.getpid()}#{secrets.token_hex(4)}"


def largest(rows: float, spec: Spec) -> int:
    """Rows of a batch: where a function may take so many a second, no more than that at once."""
    rate = spec.work.rate if isinstance(spec.work, Transform) else None
    return int(rows) if rate is None else max(1, min(int(rows), math.ceil(rate)))


@dataclass(slots=True)
class Worker:
    """Works on the ranges of one run over a connection of its own.

    Args:
        way: RUNNING goes forward, UNDOING gives back what the undo journal holds, DONE tries rejects once more.
        throttle: asked before each batch.
        steering: of this process; what its checkpoints read goes there.
        paces: of the shapes; shared with the other workers of this process.
        runner: while it works; for whoever looks on.
        crowded: as `Runner` has it.
    """

    url: str
    record: RunRecord
    target: Target
    pace: Pace
    steering: Steering
    throttle: Throttle
    stop: Stop
    watch: Watch
    way: State = State.RUNNING
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    observer: Observer = nobody
    paces: Paces = field(default_factory=Paces)
    runner: Runner | None = None
    crowded: Callable[[], bool] = bool
    _given_back: int = 0
    owner: str = field(default_factory=new_owner)
    controller: Controller = field(init=False)
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        self.controller = Controller()
        self._aim(self.steering.settings)
        self.desk = Desk(self.steering, self._doing, self._aim, self.clock)

    def _aim(self, settings: Settings) -> None:
        rows = LARGEST if settings.batch is None else settings.batch
        target = TARGET if settings.target is None else settings.target / 1000
        self.controller.aim(target, largest(rows, self.record.spec))

    def _doing(self) -> Doing:
        usual = self.controller.usual
        held = None if self.runner is None else self.runner.held
        return Doing(
            size=self.controller.size,
            milliseconds=None if usual is None else round(usual * 1000, 1),
            hold=None if held is None else held.reason,
        )

    @property
    def gave_back(self) -> int:
        """Rows that an undo restored so far."""
        lease = None if self.runner is None else self.runner.lease
        return self._given_back + (0 if lease is None else lease.changed)

    def work(self) -> Interrupted | None:
        """Walk ranges until none is left, or somebody asks to stop.

        While others hold the last ranges it waits: what they leave behind is taken over.

        Returns:
            None where no range is open any more.

        Raises:
            BatchFailed, GaveUp, ServerTrouble: what was committed stays.
        """
        with (
            closing(
                Session(
                    self.url,
                    f"evolve backfill {self.record.name}",
                    self.pace.timeouts,
                    lasting=has_effects(self.record.spec),
                )
            ) as session,
            computing(self.record.spec, self.target) as compute,
        ):
            runner = self.runner = self._runner(session, compute)
            with told(f'backfill "{self.record.name}" stopped', session):
                return persistently(
                    session,
                    lambda: self._ranges(session, runner) or self._outbox(session, runner, compute),
                    name=self.record.name,
                    pace=self.pace,
                    stop=self.stop,
                    watch=self.watch,
                    clock=self.clock,
                )

    def _ranges(self, session: Session, runner: Runner) -> Interrupted | None:
        run_id = self.record.run_id
        while True:
            signal = self.stop.requested()
            if signal is not None:
                return Interrupted(None, Want.PAUSE, signal)
            lease = journal.claim(session.current(), run_id, self.owner, self.pace.lease_seconds, self.way)
            if lease is not None:
                # It may have been said while this worker had no range.
                self.desk.hear(journal.orders(session.current(), run_id))
                ending = self._walk(session, runner, lease)
                if isinstance(ending, Interrupted):
                    return ending
                continue
            want, left = journal.left_to_do(session.current(), run_id, self.way)
            if want is not Want.RUN:
                return Interrupted(None, want, None)
            if not left:
                return None
            self.stop.wait(POLL)

    def _outbox(self, session: Session, runner: Runner, compute: Computing | None) -> Interrupted | None:
        """Carry out what is left in the outbox of the run, if it has one; as `_ranges`."""
        outbox = self._outbox_of(session)
        if outbox is None or compute is None:
            return None
        while True:
            signal = self.stop.requested()
            if signal is not None:
                return Interrupted(None, Want.PAUSE, signal)
            want, _ = journal.left_to_do(session.current(), self.record.run_id, self.way)
            if want is not Want.RUN:
                return Interrupted(None, want, None)
            self.desk.hear(journal.orders(session.current(), self.record.run_id))
            hold = self.throttle.hold()
            if hold is not None:
                self.stop.wait(min(hold.seconds, HEARTBEAT))
                continue
            began = self.clock()
            try:
                handled = deliver(outbox, compute, runner.controller.size).handled
            except FunctionFailed as failure:
                raise BatchFailed(self.record.name, failure, None) from failure
            except TooManyRejects as over:
                raise RejectsOverBudget(self.record.name, over) from over
            self.throttle.committed(handled, self.clock() - began)
            if not handled:
                if not outbox.left():
                    return None
                self.stop.wait(POLL)

    def _outbox_of(self, session: Session) -> SqlOutbox | None:
        work = self.record.spec.work
        if not isinstance(work, Transform) or work.mode is not Mode.OUTBOX or self.way is State.UNDOING:
            return None
        seconds = self.pace.lease_seconds
        return SqlOutbox(session, self.record.run_id, work, self.target, seconds=seconds)

    def _walk(self, session: Session, runner: Runner, lease: Lease) -> Interrupted | None:
        """One range to its end; None where that was reached, or where somebody else took it over."""
        if self.way is State.UNDOING:
            lease = replace(lease, finished=False, scanned=0, changed=0)
        elif self.way is State.DONE:
            lease = replace(lease, finished=False)
        self.observer(Taken(lease))
        try:
            ending = runner.run(lease)
        except LeaseLost as lost:
            self.watch.say(lost.what)
            return None
        except Refused:
            # Where the server is away the lease runs out by itself.
            with suppress(DatabaseFailure), translated(session.current()):
                journal.release(session.current(), runner.lease or lease)
            raise
        finally:
            now = runner.lease or lease
            self.observer(Left(now, now.finished))
        ended = ending.lease or lease
        self._given_back += ended.changed
        runner.lease = None
        journal.release(session.current(), ended)
        return None if isinstance(ending, Finished) else ending

    def _runner(self, session: Session, compute: Computing | None) -> Runner:
        return Runner(
            name=self.record.name,
            work=self._pass(session, compute),
            leases=journal.Hold(
                session.current,
                session.reopen,
                actor=actor(),
                seconds=self.pace.lease_seconds,
                link=self.desk,
            ),
            controller=self.controller,
            throttle=self.throttle,
            stop=self.stop,
            watch=self.watch,
            clock=self.clock,
            random=self.chance,
            patience=self.pace.patience,
            again="undo" if self.way is State.UNDOING else "resume",
            observer=self.observer,
            crowded=self.crowded,
        )

    def _pass(self, session: Session, compute: Computing | None) -> Pass:
        walking = self._walking(session, compute)
        outbox = self._outbox_of(session)
        if outbox is None or compute is None:
            return walking
        return Followed(walking, outbox, compute)

    def _walking(self, session: Session, compute: Computing | None) -> Pass:
        lease_seconds = self.pace.lease_seconds
        if self.way is State.UNDOING:
            run_id = self.record.run_id
            return Backward(
                SqlUndoBatches(
                    session,
                    run_id,
                    self.record.spec,
                    self.target,
                    lease_seconds=lease_seconds,
                    link=self.desk,
                )
            )
        undo_of = self.record.run_id if self.record.journal else None
        spec, target = self.record.spec, self.target

        def change(target: Target) -> Change:
            return change_of(spec, target, undo_of, compute, lease_seconds=lease_seconds)

        grounds = Grounds(spec, target, change, self.watch.say)
        slow = SLOW * self.controller.target
        batches = SqlBatches(session, grounds, slow=slow, lease_seconds=lease_seconds, link=self.desk)
        if self.way is State.DONE:
            return Again(batches)
        # Which indexes a leaf has is seen when its turn comes.
        can_touch = bool(target.touched) or (bool(target.leaves) and not target.plain_sql)
        # Notes of effects are only inserted: several commits to a window bring them nothing.
        can_slice = target.sliced and self._outbox_of(session) is None
        shapes = [shape for shape in self.pace.shapes if can_slice or shape.slices == 1]
        shapes = shapes or [*candidates(can_touch=can_touch, can_slice=can_slice)]
        return Forward(batches, Chooser(shapes, self.paces), self.clock)
