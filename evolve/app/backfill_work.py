"""One worker's time with a run, from its lease to the state it leaves behind; shared by run, resume and undo."""

from __future__ import annotations

import getpass
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace

from evolve.backfill.controller import LARGEST, TARGET, Controller
from evolve.backfill.failures import Verdict as Judgement
from evolve.backfill.failures import judge
from evolve.backfill.keyset import fraction
from evolve.backfill.ports import DatabaseFailure, Lease, Stop, Want, Watch
from evolve.backfill.progress import Meter, Snapshot
from evolve.backfill.record import AlreadyRunning, Holder, RunRecord, TargetChanged
from evolve.backfill.runner import (
    HEARTBEAT,
    PATIENCE,
    BatchFailed,
    Finished,
    Forward,
    GaveUp,
    Interrupted,
    LeaseLost,
    Runner,
)
from evolve.backfill.spec import Spec
from evolve.backfill.status import ACTIVE, State
from evolve.backfill.throttle import Duty, ReplicaLag, RowsPerSecond, Throttle, Throttles
from evolve.backfill.undo import Backward
from evolve.backfill.verify import Verdict, Verification, misses_predicate
from evolve.errors import Misuse, Refused
from evolve.postgres import journal, undo_journal
from evolve.postgres.backfill_target import Target, read_target, try_expressions
from evolve.postgres.batches import SqlBatches, key_range, try_batch
from evolve.postgres.connect import connect
from evolve.postgres.failure import translated
from evolve.postgres.fence import OldTransaction, older_transactions
from evolve.postgres.refusal import forbidden
from evolve.postgres.replica_lag import ReplicaSensor
from evolve.postgres.session import Session, Timeouts
from evolve.postgres.windows import SqlWindows
from evolve.postgres.writable import refuse_read_only

POLL = 0.2  # seconds between two looks at a lease, or at older transactions


class ServerTrouble(Refused):
    def __init__(self, doing: str, failure: DatabaseFailure) -> None:
        super().__init__(
            f"{doing}: {failure.message}",
            why=f"SQLSTATE {failure.sqlstate}" if failure.sqlstate else "the server could not be reached",
            fix="try again; what was committed stays",
        )


class OldTransactions(Refused):
    def __init__(self, name: str, seconds: float, blockers: list[OldTransaction]) -> None:
        super().__init__(
            f'backfill "{name}" waited {seconds:.0f} s for transactions older than itself: '
            + "; ".join(str(blocker) for blocker in blockers[:5]),
            why="they may still write rows in the old shape behind the cursor",
            fix=f"end them (SELECT pg_terminate_backend(PID)), then: evolve backfill resume {name}",
        )


class BadLimit(Misuse):
    def __init__(self, option: str, value: float, expected: str) -> None:
        super().__init__(f"{option} {value:g} does not work", fix=f"give {expected}")


@dataclass(frozen=True, slots=True)
class Pace:
    """How gently a run goes.

    Args:
        commit_seconds: one commit should take this long.
        largest: rows of a batch at most.
        duty: share of the time it works, above 0 up to 1.
        rows_per_second: None sets no limit.
        replica_lag: bytes of WAL a standby may be behind; None does not look.
        fence_seconds: how long to wait for transactions older than the run.
        patience: seconds without a commit before giving up.
        lease_seconds: a worker silent for longer than this loses the run to the next one.
        timeouts: of each statement.
    """

    commit_seconds: float = TARGET
    largest: int = LARGEST
    duty: float = 1.0
    rows_per_second: float | None = None
    replica_lag: int | None = 64_000_000
    fence_seconds: float = 600.0
    patience: float = PATIENCE
    lease_seconds: float = journal.LEASE
    timeouts: Timeouts = field(default_factory=Timeouts)

    def check(self) -> None:
        """Refuse a number that would stop the run or break its lease.

        Raises:
            BadLimit: naming the option.
        """
        if not 0 < self.duty <= 1:
            raise BadLimit("--duty", self.duty, "a share above 0, up to 1")
        if self.rows_per_second is not None and self.rows_per_second <= 0:
            raise BadLimit("--max-rows-per-second", self.rows_per_second, "a number above 0")
        if self.commit_seconds <= 0:
            raise BadLimit("--target-ms", self.commit_seconds * 1000, "milliseconds above 0")
        if self.largest < 1:
            raise BadLimit("--max-batch", self.largest, "at least 1 row")
        if self.lease_seconds < 1:
            raise BadLimit("--lease", self.lease_seconds, "at least 1 second")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a worker left its run.

    Args:
        rows: rows written (or given back) by the whole run.
        batches: committed by the whole run.
        seconds: this worker's share of the time.
        verdict: None where nothing was verified.
        already: the run had ended before; nothing was done.
        stopped_by: the signal or "the journal", where it stopped before its end.
        conflicts: rows that undo left alone.
    """

    name: str
    state: State
    rows: int
    batches: int
    seconds: float
    verdict: Verdict | None = None
    already: bool = False
    stopped_by: str | None = None
    conflicts: int = 0

    @property
    def good(self) -> bool:
        """It got where it was going, and nothing is known to be missing."""
        if self.state not in (State.DONE, State.UNDONE):
            return False
        return (self.verdict is None or self.verdict.clean) and not self.conflicts


def actor() -> str:
    """Who acts, as events and leases show it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@contextmanager
def told(doing: str, session: Session) -> Iterator[None]:
    """Turn a failure of the server that nobody retries into an error a person can act on."""
    try:
        with translated(session.current()):
            yield
    except DatabaseFailure as failure:
        raise forbidden(failure.__cause__) or ServerTrouble(doing, failure) from failure


def checked_target(session: Session, spec: Spec, watch: Watch, *, plain_sql: bool) -> Target:
    """Look at everything that can be refused, down to one batch that is rolled back; write nothing.

    Raises:
        StandbyServer, ReadOnlySession, NoSuchTable, NotATable, NoSuchColumn, BadTarget, NoKey, UnusableKey, MayNot,
        RowSecurity, BadExpression, PlanIgnoresKey, ServerTrouble
    """
    refuse_read_only(session.current())
    target = read_target(session.current(), spec, plain_sql=plain_sql)
    try_expressions(session.current(), spec)
    try:
        try_batch(session, spec, target, None)
    except DatabaseFailure as failure:
        if judge(failure) is not Judgement.CONTENDED:
            refusal = forbidden(failure.__cause__)
            raise refusal or ServerTrouble("trying the first batch, rolled back", failure) from failure
        watch.say(f"the first rows could not be tried beforehand: {failure.message}")
    return target


@dataclass(slots=True)
class Worker:
    """Works on one run.

    Args:
        verify: look at every row once the last batch has committed.
    """

    url: str
    session: Session
    record: RunRecord
    target: Target
    pace: Pace
    stop: Stop
    watch: Watch
    verify: bool = True
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    began: float = field(default_factory=time.monotonic)

    def forward(self) -> Outcome:
        """Walk the run to its end and verify it, from wherever it stands.

        Raises:
            TargetChanged, AlreadyRunning: before anything is done.
            OldTransactions, BatchFailed, GaveUp, LeaseLost, ServerTrouble: on the way; what was committed stays.
        """
        with told(f'backfill "{self.record.name}" stopped', self.session):
            self._same_table()
            held = _Held(self._take_lease())
            try:
                return self._persistently(held, lambda: self._forward(held))
            except (BatchFailed, GaveUp, OldTransactions) as error:
                cause = error.__cause__
                # Where the server is away nothing can be written down: the lease runs out, and the run shows as
                # interrupted.
                with suppress(ServerTrouble, LeaseLost), told("writing down the failure", self.session):
                    sqlstate = cause.sqlstate if isinstance(cause, DatabaseFailure) else None
                    self._leave(held.lease, State.FAILED, error.what, sqlstate=sqlstate)
                raise

    def backward(self) -> Outcome:
        """Give back what the undo journal holds.

        Raises:
            TargetChanged, AlreadyRunning: before anything is done.
            BatchFailed, GaveUp, LeaseLost, ServerTrouble: on the way; undo goes on from there.
        """
        with told(f'undo of backfill "{self.record.name}" stopped', self.session):
            self._same_table()
            held = _Held(self._take_lease())
            return self._persistently(held, lambda: self._backward(held))

    def _persistently(self, held: _Held, work: Callable[[], Outcome]) -> Outcome:
        """Do `work`, and again from where the journal stands when the connection is lost between two batches.

        What fails inside a batch is the runner's business; this is for the statements around them.
        """
        began = self.clock()
        failures = 0
        while True:
            try:
                with translated(self.session.current()):
                    if failures:
                        left = self._retake(held)
                        if left is not None:
                            return left
                    return work()
            except DatabaseFailure as failure:
                if judge(failure) is Judgement.FATAL or self.clock() - began >= self.pace.patience:
                    raise
                if failures and self.stop.requested() is not None:
                    raise
                failures += 1
                self.watch.say(f"{failure.message}; going on from what the journal says")
                self.stop.wait(min(0.05 * 2**failures, 5.0))

    def _retake(self, held: _Held) -> Outcome | None:
        """Reconnect and read the range back; an outcome where the run was left before the connection was lost.

        Raises:
            LeaseLost: another worker holds it.
        """
        lease = self._hold().retake(held.lease)
        if lease is not None:
            held.lease = lease
            return None
        record = journal.named_run(self.session.current(), self.record.name)
        if record.holder is None and record.state not in ACTIVE:
            return self._outcome(record.state, held.lease, verdict=record.verify)
        raise LeaseLost(self.record.name)

    def _backward(self, held: _Held) -> Outcome:
        connection = self.session.current()
        journal.enter(connection, self.record.name, held.lease, State.UNDOING, actor())
        run_id = self.record.run_id
        batches = undo_journal.SqlUndoBatches(
            self.session, run_id, self.target, lease_seconds=self.pace.lease_seconds
        )
        runner = self._runner(Backward(batches), undo_journal.size(connection, run_id))
        runner.state = "undoing"
        try:
            ending = runner.run(replace(held.lease, finished=False, scanned=0, changed=0, batches=0))
        finally:
            held.lease = runner.lease or held.lease
        if isinstance(ending, Interrupted):
            journal.release(self.session.current(), held.lease)
            return self._outcome(State.UNDOING, held.lease, stopped_by=ending.signal or "the journal")
        journal.leave(
            self.session.current(),
            self.record.name,
            held.lease,
            State.UNDONE,
            actor=actor(),
            detail=f"{held.lease.changed} rows",
            also=lambda connection: undo_journal.drop(connection, run_id),
        )
        return self._outcome(
            State.UNDONE, held.lease, conflicts=journal.count_rejects(self.session.current(), run_id)
        )

    def _forward(self, held: _Held) -> Outcome:
        while True:
            stopped = None if held.lease.finished else self._walk(held)
            verdict = None
            if stopped is None:
                stopped, verdict = self._verify(held)
            if stopped is None:
                self._leave(held.lease, State.DONE)
                return self._outcome(State.DONE, held.lease, verdict=verdict)
            state = State.CANCELLED if stopped.want is Want.CANCEL else State.PAUSED
            asked = None if stopped.signal is not None else stopped.want
            # Somebody may have said resume between our last look and now; then we go on.
            if self._leave(held.lease, state, stopped.signal or "", asked=asked):
                return self._outcome(state, held.lease, stopped_by=stopped.signal or "the journal")

    def _walk(self, held: _Held) -> Interrupted | None:
        """Until the range is finished; an ending where somebody stops it first."""
        if held.lease.upto is None:
            journal.enter(self.session.current(), self.record.name, held.lease, State.FENCING, actor())
            stopped = self._fence(held)
            if stopped is not None:
                return stopped
            connection = self.session.current()
            low, upto = key_range(connection, self.record.spec, self.target)
            held.lease = journal.set_range(connection, self.record.name, held.lease, low, upto)
            self.record = replace(self.record, low=low, upto=upto)
        else:
            journal.enter(self.session.current(), self.record.name, held.lease, State.RUNNING, actor())
        batches = SqlBatches(
            self.session,
            self.record.spec,
            self.target,
            undo_of=self.record.run_id if self.record.journal else None,
            lease_seconds=self.pace.lease_seconds,
        )
        with self._throttle() as throttle:
            runner = self._runner(Forward(batches), self.record.rows_estimate, throttle)
            try:
                ending = runner.run(held.lease)
            finally:
                held.lease = runner.lease or held.lease
        match ending:
            case Finished():
                return None
            case Interrupted():
                return ending

    def _fence(self, held: _Held) -> Interrupted | None:
        """Wait until every transaction that is older than the run has ended."""
        began = renewed = self.clock()
        named: set[str] = set()
        while True:
            older = older_transactions(self.session.current(), self.record.fence)
            if not older:
                return None
            if {blocker.xid for blocker in older} - named:
                named = {blocker.xid for blocker in older}
                self.watch.say(
                    "waiting for transactions older than this run to end: "
                    + "; ".join(str(blocker) for blocker in older[:5])
                )
            waited = self.clock() - began
            if waited >= self.pace.fence_seconds:
                raise OldTransactions(self.record.name, waited, older)
            signal = self.stop.requested()
            if signal is not None:
                return Interrupted(held.lease, Want.PAUSE, signal)
            if self.clock() - renewed >= min(HEARTBEAT, self.pace.lease_seconds / 3):
                stopped = self._renew(held)
                if stopped is not None:
                    return stopped
                renewed = self.clock()
            self.stop.wait(POLL)

    def _verify(self, held: _Held) -> tuple[Interrupted | None, Verdict | None]:
        """Look at every row; nothing where it is not wanted, or where nothing can tell."""
        predicate = misses_predicate(self.record.spec)
        if not self.verify or predicate is None:
            return None, None
        name = self.record.name
        journal.enter(self.session.current(), name, held.lease, State.VERIFYING, actor())
        hold = self._hold()
        for left in (4, 3, 2, 1, 0):
            try:
                verdict = self._look(held, predicate)
                journal.store_verdict(self.session.current(), self.record.run_id, verdict, actor())
                return None, verdict
            except _StopLooking as stopping:
                return stopping.stopped, None
            except DatabaseFailure as failure:
                if left == 0 or judge(failure) is Judgement.FATAL:
                    raise BatchFailed(name, failure, held.lease) from failure
                self.watch.say(f"verification: {failure.message}; again from the first key")
                retaken = hold.retake(held.lease)
                if retaken is None:
                    raise LeaseLost(name) from failure
                held.lease = retaken
        return None, None

    def _look(self, held: _Held, predicate: str) -> Verdict:
        renewed = self.clock()
        meter = Meter(held.lease.scanned or self.record.rows_estimate, self.clock)
        seen = 0

        def between(rows: int) -> None:
            nonlocal renewed, seen
            meter.committed(rows - seen)
            seen = rows
            part = meter.fraction(rows, None, finished=False)
            self.watch.report(
                Snapshot(
                    name=self.record.name,
                    state="verifying",
                    rows=held.lease.changed,
                    scanned=rows,
                    fraction=part,
                    rows_per_second=meter.rate(),
                    seconds_left=meter.seconds_left(rows, part),
                    size=looking.controller.size,
                )
            )
            signal = self.stop.requested()
            if signal is not None:
                raise _StopLooking(Interrupted(held.lease, Want.PAUSE, signal))
            if self.clock() - renewed >= min(HEARTBEAT, self.pace.lease_seconds / 3):
                stopped = self._renew(held)
                renewed = self.clock()
                if stopped is not None:
                    raise _StopLooking(stopped)

        windows = SqlWindows(self.session.current(), self.record.spec.table, self.record.key, predicate)
        looking = Verification(windows, predicate, self.clock, between)
        return looking.run()

    def _renew(self, held: _Held) -> Interrupted | None:
        want = self._hold().renew(held.lease)
        if want is None:
            raise LeaseLost(self.record.name)
        return None if want is Want.RUN else Interrupted(held.lease, want, None)

    def _hold(self) -> journal.Hold:
        return journal.Hold(
            self.session.current, self.session.reopen, actor=actor(), seconds=self.pace.lease_seconds
        )

    def _runner(
        self, work: Forward | Backward, estimate: int | None, throttle: Throttle | None = None
    ) -> Runner:
        return Runner(
            name=self.record.name,
            work=work,
            leases=self._hold(),
            controller=Controller(target=self.pace.commit_seconds, largest=self.pace.largest),
            throttle=throttle or Throttles(()),
            stop=self.stop,
            watch=self.watch,
            meter=Meter(estimate, self.clock),
            clock=self.clock,
            random=self.chance,
            by_key=lambda lease: fraction(self.record.key, self.record.low, lease.cursor, lease.upto),
            patience=self.pace.patience,
        )

    @contextmanager
    def _throttle(self) -> Iterator[Throttles]:
        pace = self.pace
        throttles: list[Throttle] = []
        with ExitStack() as stack:
            if pace.duty < 1:
                throttles.append(Duty(pace.duty, self.clock))
            if pace.rows_per_second is not None:
                throttles.append(RowsPerSecond(pace.rows_per_second, self.clock))
            if pace.replica_lag is not None:
                own = connect(self.url, application_name="evolve backfill sensor", autocommit=True)
                stack.callback(own.close)
                sensor = ReplicaSensor(own)
                if sensor.lag_bytes() is None:
                    self.watch.say(
                        "the lag of standbys cannot be seen by this role (GRANT pg_monitor): going on without it"
                    )
                else:
                    throttles.append(ReplicaLag(sensor, pace.replica_lag, self.clock))
            yield Throttles(throttles)

    def _leave(
        self,
        lease: Lease,
        state: State,
        detail: str = "",
        *,
        sqlstate: str | None = None,
        asked: Want | None = None,
    ) -> bool:
        return journal.leave(
            self.session.current(),
            self.record.name,
            lease,
            state,
            actor=actor(),
            detail=detail,
            sqlstate=sqlstate,
            asked=asked,
        )

    def _outcome(
        self,
        state: State,
        lease: Lease,
        *,
        verdict: Verdict | None = None,
        stopped_by: str | None = None,
        conflicts: int = 0,
    ) -> Outcome:
        return Outcome(
            name=self.record.name,
            state=state,
            rows=lease.changed,
            batches=lease.batches,
            seconds=self.clock() - self.began,
            verdict=verdict,
            stopped_by=stopped_by,
            conflicts=conflicts,
        )

    def _same_table(self) -> None:
        if self.target.oid != self.record.table_oid:
            raise TargetChanged(self.record, "another table has taken its name")
        if self.target.key != self.record.key:
            was, now = (
                ", ".join(f"{c.name} {c.type}" for c in key) for key in (self.record.key, self.target.key)
            )
            raise TargetChanged(self.record, f"it was walked by ({was}), its key is now ({now})")

    def _take_lease(self) -> Lease:
        """Claim the run; where somebody holds it, wait until that lease ends or is seen to be renewed.

        Raises:
            AlreadyRunning: the holder is alive.
        """
        owner = f"{actor()}#{os.getpid()}#{secrets.token_hex(4)}"
        connection = self.session.current()
        first: Holder | None = None
        while True:
            lease = journal.claim(connection, self.record.run_id, owner, self.pace.lease_seconds)
            # Read again in any case: the run may have moved on while the lease was waited for.
            self.record = journal.named_run(connection, self.record.name)
            if lease is not None:
                return lease
            holder = self.record.holder
            if holder is not None:
                if first is not None and holder.until > first.until:
                    raise AlreadyRunning(self.record, holder)
                if first is None:
                    first = holder
                    self.watch.say(f"{holder.person} holds this run; waiting whether its lease ends")
                if self.stop.requested() is not None:
                    raise AlreadyRunning(self.record, holder)
            self.stop.wait(POLL)


@dataclass(slots=True)
class _Held:
    """The lease as it stands, also after a reconnect gave it another epoch."""

    lease: Lease


class _StopLooking(Exception):
    """Carries an ending out of the walk."""

    def __init__(self, stopped: Interrupted) -> None:
        self.stopped = stopped
