"""The lead of a run: waits until it may begin, cuts it into ranges, lets workers walk them, verifies, ends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from evolve.app.backfill_crew import LOOK, CrewProgress, crew_under
from evolve.app.backfill_look import look
from evolve.app.backfill_reins import Reins, reins_of
from evolve.app.backfill_same import refuse_another
from evolve.app.backfill_work import (
    OldTransactions,
    Outcome,
    Pace,
    ServerTrouble,
    actor,
    ended,
    persistently,
    told,
)
from evolve.app.backfill_worker import POLL, new_owner
from evolve.backfill.failures import Verdict as Judgement
from evolve.backfill.failures import judge
from evolve.backfill.happenings import Begun, Entered, Observer, Waiting, WentOn, nobody
from evolve.backfill.ports import DatabaseFailure, Stop, Want, Watch
from evolve.backfill.progress import Meter, Snapshot
from evolve.backfill.record import AlreadyRunning, Holder, RunEnded, RunRecord
from evolve.backfill.runner import BatchFailed, GaveUp, Interrupted, LeaseLost, RejectsOverBudget
from evolve.backfill.spec import has_effects
from evolve.backfill.status import ACTIVE, ENDED, State
from evolve.backfill.throttle import Throttle
from evolve.backfill.verify import Verdict
from evolve.counted import counted
from evolve.postgres import journal, steering, undo_journal
from evolve.postgres import rejects as set_aside
from evolve.postgres.backfill_target import Target
from evolve.postgres.comparing import predicate_of
from evolve.postgres.connect import Connection
from evolve.postgres.drift import TableAltered
from evolve.postgres.fence import older_transactions
from evolve.postgres.kept import ValueOverwritten
from evolve.postgres.key_histogram import key_histogram
from evolve.postgres.leaves import cut_leaves
from evolve.postgres.one_writer import refuse_another_writer
from evolve.postgres.outbox import notes_left
from evolve.postgres.plan_check import PlanIgnoresKey
from evolve.postgres.session import Session
from evolve.postgres.undoing import offer_again
from evolve.postgres.unkeyed import StillFits

MOST_SWEEPS = 3  # walks behind the first one; what then still needs work comes from somewhere else
RENEW = 1.0  # seconds between two renewals of the lead


@dataclass(slots=True)
class Lead:
    """Leads one run over a connection of its own; each worker has another.

    Args:
        session: in the hands of the caller, who closes it.
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
    observer: Observer = nobody
    clock: Callable[[], float] = time.monotonic
    began: float = field(default_factory=time.monotonic)
    _lead: journal.Lead = field(init=False)
    _renewed: float = field(init=False)
    _reins: Reins = field(init=False)

    def __post_init__(self) -> None:
        self.pace = self.pace.on(self.record.terms)
        self.session.timeouts = self.pace.timeouts

    def forward(self) -> Outcome:
        """Walk the run to its end and verify it, from wherever it stands.

        Raises:
            TargetChanged, AlreadyRunning: before anything is done.
            OldTransactions, BatchFailed, GaveUp, LeaseLost, ServerTrouble: on the way; what was committed stays.
        """
        with told(f'backfill "{self.record.name}" stopped', self.session):
            refuse_another(self.session.current(), self.record, self.target)
            self._take_lead()
            if self.record.state in ENDED:
                return self._ended_meanwhile()
            self.observer(Begun(self.record, State.RUNNING))
            try:
                return self._persistently(self._forward)
            except (
                *(BatchFailed, GaveUp, OldTransactions, RejectsOverBudget),
                *(TableAltered, ValueOverwritten, PlanIgnoresKey, StillFits),
            ) as error:
                cause = error.__cause__
                # Where the server is away nothing can be written down: the lease runs out, and the run shows as
                # interrupted.
                with suppress(ServerTrouble, LeaseLost), told("writing down the failure", self.session):
                    sqlstate = cause.sqlstate if isinstance(cause, DatabaseFailure) else None
                    self._leave(State.FAILED, error.what, sqlstate=sqlstate)
                raise

    def retry(self) -> Outcome:
        """Try the rejects of a run that is done once more, and verify it where that wrote some.

        Raises:
            TargetChanged, AlreadyRunning: before anything is done.
            BatchFailed, GaveUp, LeaseLost, ServerTrouble: on the way; what was committed stays.
        """
        with told(f'retry of backfill "{self.record.name}" stopped', self.session):
            refuse_another(self.session.current(), self.record, self.target)
            self._take_lead()
            self.observer(Begun(self.record, State.DONE))
            return self._persistently(self._retry)

    def backward(self) -> Outcome:
        """Give back what the undo journal holds.

        Raises:
            TargetChanged, AlreadyRunning, WritesTheSame: before anything is done.
            BatchFailed, GaveUp, LeaseLost, ServerTrouble: on the way; undo goes on from there.
        """
        with told(f'undo of backfill "{self.record.name}" stopped', self.session):
            refuse_another(self.session.current(), self.record, self.target, undoing=True)
            was = self.record.state
            self._take_lead()
            if was is not State.UNDONE and self.record.state is State.UNDONE:
                return self._ended_meanwhile()
            self.observer(Begun(self.record, State.UNDOING))
            return self._persistently(self._backward)

    def _ended_meanwhile(self) -> Outcome:
        """Whoever led the run brought it to its end while this one waited for the lead.

        Raises:
            RunEnded: it is not done, and goes on no more.
        """
        journal.give_up_lead(self.session.current(), self._lead)
        if self.record.state is State.DONE:
            return replace(self._outcome(State.DONE, verdict=self.record.verify), already=True)
        if self.record.state is State.UNDONE:
            raise RunEnded(
                self.record,
                why="its rows have their old values",
                fix=f"see what was left alone: evolve backfill status {self.record.name}",
            )
        raise RunEnded(self.record)

    def _persistently(self, work: Callable[[], Outcome]) -> Outcome:
        def under_reins() -> Outcome:
            with reins_of(self.url, self.record, self.target.oid, self.pace, self.watch) as self._reins:
                return work()

        outcome = persistently(
            self.session,
            under_reins,
            name=self.record.name,
            pace=self.pace,
            stop=self.stop,
            watch=self.watch,
            clock=self.clock,
            again=self._lead_again,
        )
        self.observer(ended(outcome))
        return outcome

    def _lead_again(self) -> Outcome | None:
        """Take the lead over the new connection; an outcome where the run was left before the old one was lost.

        Raises:
            LeaseLost: somebody else leads it.
        """
        connection = self.session.current()
        self.record = journal.named_run(connection, self.record.name)
        if self.record.lead is None and self.record.state not in ACTIVE:
            return self._outcome(self.record.state, verdict=self.record.verify)
        lead = journal.take_lead(connection, self.record.run_id, self._lead.owner, self.pace.lease_seconds)
        if lead is None:
            raise LeaseLost(self.record.name)
        self._lead = lead
        self._renewed = self.clock()
        return None

    def _backward(self) -> Outcome:
        run_id = self.record.run_id
        self._enter(State.UNDOING, alone=True)
        restored, before = 0, 0
        while True:
            connection = self.session.current()
            with connection.transaction():
                journal.keep_lead(connection, self.record.name, self._lead, self.pace.lease_seconds)
                journal.fence_workers(connection, run_id)
                offer_again(connection, run_id)
            stopped, more = self._let_work(State.UNDOING, undo_journal.size(connection, run_id))
            restored += more
            if stopped is not None:
                journal.give_up_lead(self.session.current(), self._lead)
                by = stopped.signal or "the journal"
                return self._outcome(State.UNDOING, rows=restored, stopped_by=by)
            left = self.record.unrestored
            # Once more where some are left: a row may need a value that another had until it was restored.
            if left in (0, before):
                break
            before = left
        self._leave(
            State.UNDONE,
            f"{restored} rows",
            also=None if left else lambda connection: undo_journal.drop(connection, run_id),
        )
        conflicts = set_aside.count_conflicts(self.session.current(), run_id)
        return self._outcome(State.UNDONE, rows=restored, conflicts=conflicts)

    def _retry(self) -> Outcome:
        name, before = self.record.name, self.record.rejects
        connection = self.session.current()
        with connection.transaction():
            refuse_another_writer(connection, self.record.spec, self.record.table_oid)
        journal.begin_retry(self.session.current(), name, self._lead, actor())
        stopped, _ = self._let_work(State.DONE, None)
        verdict = None
        if stopped is None and self.record.rejects < before:
            stopped, verdict = self._verify()
        journal.give_up_lead(self.session.current(), self._lead)
        by = None if stopped is None else stopped.signal or "the journal"
        return self._outcome(State.DONE, verdict=verdict, stopped_by=by)

    def _forward(self) -> Outcome:
        while True:
            self._read()
            stopped = None
            if not self.record.at_end or self._notes_left():
                stopped = self._walk()
            elif self.record.state not in ACTIVE:
                # It was stopped behind its last batch; what is paused or failed cannot become done.
                self._enter(State.RUNNING)
            verdict = None
            if stopped is None:
                stopped, verdict = self._verify()
            if stopped is None and verdict is not None and self._sweep(verdict):
                continue
            if stopped is None:
                self._leave(State.DONE)
                return self._outcome(State.DONE, verdict=verdict)
            state = State.CANCELLED if stopped.want is Want.CANCEL else State.PAUSED
            asked = None if stopped.signal is not None else stopped.want
            # Somebody may have said resume between our last look and now; then we go on.
            if self._leave(state, stopped.signal or "", asked=asked):
                return self._outcome(state, stopped_by=stopped.signal or "the journal")

    def _sweep(self, verdict: Verdict) -> bool:
        """Make ranges of the whole table once more, where rows that have no key moved behind the walk."""
        record = self.record
        missed = verdict.misses - record.rejects
        if not record.by_block or missed <= 0 or record.sweeps >= MOST_SWEEPS:
            return False
        self.watch.say(f"{counted(missed, 'row')} moved while the blocks were walked: walking them once more")
        connection = self.session.current()
        stretches = cut_leaves(connection, self.target, self.pace.workers)
        journal.cut_run(connection, record.name, self._lead, stretches, sweep=True)
        return True

    def _notes_left(self) -> bool:
        """Effects were noted that nobody has carried out."""
        return has_effects(self.record.spec) and notes_left(self.session.current(), self.record.run_id) > 0

    def _walk(self) -> Interrupted | None:
        """Until every range is finished; an ending where somebody stops it first."""
        if not self.record.cut:
            self._enter(State.FENCING)
            stopped = self._fence()
            if stopped is not None:
                return stopped
            connection = self.session.current()
            stretches = cut_leaves(connection, self.target, self.pace.workers)
            journal.cut_run(connection, self.record.name, self._lead, stretches)
        else:
            self._enter(State.RUNNING)
        stopped, _ = self._let_work(State.RUNNING, self.record.rows_estimate)
        return stopped

    def _fence(self) -> Interrupted | None:
        """Wait until every transaction that is older than the run has ended.

        What the run waits for beside that does not count into how long it waits for those.
        """
        began = self.clock()
        named: set[str] = set()
        throttle = self._reins.reader()
        while True:
            held = self.clock()
            stopped = self._hold(throttle)
            if stopped is not None:
                return stopped
            began += self.clock() - held
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
            stopped = self._asked()
            if stopped is not None:
                return stopped
            self.stop.wait(POLL)

    def _let_work(self, way: State, total: int | None) -> tuple[Interrupted | None, int]:
        """Workers walk the ranges in threads of their own, while this one reports and keeps the lead.

        Args:
            total: rows there are, about.

        Returns:
            An ending where somebody stopped them, and how many rows workers of this process gave back.

        Raises:
            BatchFailed, GaveUp: of a worker; the others end their batch first.
            DatabaseFailure: of our own connection; as above.
        """
        with crew_under(
            self._reins,
            *(self.url, self.record, self.target, self.pace, self.stop, self.watch, way, self.observer),
        ) as crew:
            meter = Meter(total, self.clock)
            bounds = key_histogram(self.session.current(), self.target.table, self.target.key[0])
            progress = CrewProgress(crew, way, meter, self.watch, self.observer, bounds)
            while crew.alive():
                self._read()
                progress.report(self.record)
                self._keep()
                crew.join(LOOK)
            self._read()
            progress.report(self.record)
            return crew.ending(), crew.restored

    def _read(self) -> None:
        self.record = journal.named_run(self.session.current(), self.record.name)

    def _verify(self) -> tuple[Interrupted | None, Verdict | None]:
        """Look at every row; nothing where it is not wanted, or where nothing can tell."""
        key = tuple(column.name for column in self.record.key)
        predicate = predicate_of(self.session.current(), self.record.spec, key)
        # Without a key nothing else tells whether every row was met.
        if not (self.verify or self.record.by_block) or predicate is None:
            return None, None
        name = self.record.name
        if self.record.state is not State.DONE:
            self._enter(State.VERIFYING)
        for left in (4, 3, 2, 1, 0):
            try:
                verdict = self._look(predicate)
                journal.store_verdict(self.session.current(), self.record.run_id, verdict, actor())
            except _StopLooking as stopping:
                return stopping.stopped, None
            except DatabaseFailure as failure:
                if failure.lost or left == 0:
                    raise
                if judge(failure) in (Judgement.FATAL, Judgement.ROW):
                    raise BatchFailed(name, failure, None) from failure
                self.watch.say(f"verification: {failure.message}; again from the first key")
            else:
                return None, verdict
        return None, None

    def _look(self, predicate: str) -> Verdict:
        throttle, began = self._reins.reader(), self.clock()

        def asked(shown: Snapshot) -> None:
            nonlocal began
            throttle.committed(0, self.clock() - began)
            stopped = self._asked() or self._hold(throttle, shown)
            if stopped is not None:
                raise _StopLooking(stopped)
            began = self.clock()

        held = self._asked() or self._hold(throttle)
        if held is not None:
            raise _StopLooking(held)
        connection = self.session.current()
        return look(connection, self.record, predicate, watch=self.watch, clock=self.clock, asked=asked)

    def _hold(self, throttle: Throttle, shown: Snapshot | None = None) -> Interrupted | None:
        """Wait as long as the throttle says, and show why; an ending where somebody wants to stop first."""
        hold = throttle.hold()
        if hold is None:
            return None
        if shown is None:
            run = self.record
            shown = Snapshot(run.name, run.state.value, run.changed, run.scanned, None, None, None, 0)
        while hold is not None:
            self.observer(Waiting(hold))
            self.watch.report(replace(shown, state="throttled", hold=hold.reason))
            self.stop.wait(min(hold.seconds, RENEW, self.pace.lease_seconds / 3))
            stopped = self._asked()
            if stopped is not None:
                return stopped
            hold = throttle.hold()
        self.observer(WentOn())
        return None

    def _asked(self) -> Interrupted | None:
        """An ending where somebody wants to stop; asked between two short waits."""
        signal = self.stop.requested()
        if signal is not None:
            return Interrupted(None, Want.PAUSE, signal)
        before = self._renewed
        want = self._keep()
        if self._renewed != before:
            # No worker is there that would hear it with a checkpoint.
            self._reins.steering.hear(journal.orders(self.session.current(), self.record.run_id))
        return None if want is Want.RUN else Interrupted(None, want, None)

    def _keep(self) -> Want:
        """Renew the lease from time to time; what was wanted of the run when that was last done."""
        if self.clock() - self._renewed < min(RENEW, self.pace.lease_seconds / 3):
            return Want.RUN
        want = journal.keep_lead(
            self.session.current(), self.record.name, self._lead, self.pace.lease_seconds
        )
        self._renewed = self.clock()
        return want

    def _enter(self, state: State, *, alone: bool = False) -> None:
        """
        Args:
            alone: refuse it where another run writes the same columns.

        Raises:
            WritesTheSame
        """

        def allow(connection: Connection) -> None:
            refuse_another_writer(connection, self.record.spec, self.record.table_oid)

        journal.enter(
            self.session.current(),
            self.record.name,
            self._lead,
            state,
            actor(),
            allow=allow if alone else None,
        )
        self.observer(Entered(state))

    def _leave(
        self,
        state: State,
        detail: str = "",
        *,
        sqlstate: str | None = None,
        asked: Want | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> bool:
        left = journal.leave(
            self.session.current(),
            self.record.name,
            self._lead,
            state,
            actor=actor(),
            detail=detail,
            sqlstate=sqlstate,
            asked=asked,
            also=also,
        )
        if left:
            self.observer(Entered(state))
        return left

    def _outcome(
        self,
        state: State,
        *,
        rows: int | None = None,
        verdict: Verdict | None = None,
        stopped_by: str | None = None,
        conflicts: int = 0,
    ) -> Outcome:
        return Outcome(
            name=self.record.name,
            state=state,
            rows=self.record.changed if rows is None else rows,
            batches=self.record.batches,
            seconds=self.clock() - self.began,
            verdict=verdict,
            stopped_by=stopped_by,
            conflicts=conflicts,
            doubles=self.record.doubles,
            rejects=self.record.unrestored if state in (State.UNDOING, State.UNDONE) else self.record.rejects,
        )

    def _take_lead(self) -> None:
        """Where somebody leads the run, wait until that lease ends or is seen to be renewed.

        Raises:
            AlreadyRunning: the lead is alive.
        """
        owner = new_owner()
        connection = self.session.current()
        first: Holder | None = None
        while True:
            lead = journal.take_lead(connection, self.record.run_id, owner, self.pace.lease_seconds)
            if lead is not None:
                steering.begin(connection, self.record.run_id, self.pace.said, self.pace.terms, actor())
            # Read again in any case: the run may have moved on while the lease was waited for.
            self.record = journal.named_run(connection, self.record.name)
            if lead is not None:
                self._lead = lead
                self._renewed = self.clock()
                return
            holder = self.record.lead
            if holder is not None:
                if first is not None and holder.until > first.until:
                    raise AlreadyRunning(self.record, holder)
                if first is None:
                    first = holder
                    self.watch.say(f"{holder.person} holds this run; waiting whether its lease ends")
                if self.stop.requested() is not None:
                    raise AlreadyRunning(self.record, holder)
            self.stop.wait(POLL)


class _StopLooking(Exception):
    """Carries an ending out of the walk."""

    def __init__(self, stopped: Interrupted) -> None:
        self.stopped = stopped
