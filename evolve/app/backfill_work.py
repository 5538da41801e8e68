"""What everything that works on a run shares: its pace, its outcome, and what is looked at before it starts."""

from __future__ import annotations

import getpass
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from evolve.app.backfill_function import computing
from evolve.backfill.aftermath import Aftermath
from evolve.backfill.controller import LARGEST, TARGET
from evolve.backfill.failures import Verdict as Judgement
from evolve.backfill.failures import judge
from evolve.backfill.happenings import Ended
from evolve.backfill.hours import Hours
from evolve.backfill.ports import DatabaseFailure, Stop, Watch
from evolve.backfill.runner import PATIENCE, GaveUp
from evolve.backfill.settings import NAMES, OFF, Settings
from evolve.backfill.shapes import Shape
from evolve.backfill.spec import Spec, names_schema
from evolve.backfill.status import State
from evolve.backfill.terms import UNSAID, Terms
from evolve.backfill.throttling import Throttling
from evolve.backfill.transform import Transform
from evolve.backfill.verify import Verdict
from evolve.counted import counted
from evolve.errors import Misuse, Refused
from evolve.postgres import journal
from evolve.postgres.backfill_target import Target, read_target
from evolve.postgres.comparing import check_predicate
from evolve.postgres.expressions import try_expressions
from evolve.postgres.failure import translated
from evolve.postgres.fence import OldTransaction
from evolve.postgres.function_trial import try_function
from evolve.postgres.leaves import first_ground, with_leaves
from evolve.postgres.other_table import check_partners, check_work
from evolve.postgres.refusal import forbidden
from evolve.postgres.session import Session, Timeouts
from evolve.postgres.trying import PROBE, Trial, try_batch
from evolve.postgres.writable import refuse_read_only

T = TypeVar("T")

HEALTHY = 10.0  # seconds after which what fails is a new trouble, not the old one
LONGEST = 2**31 - 1  # milliseconds that PostgreSQL takes for a timeout
MOST_WORKERS = 32  # a server has some hundred connections, and two workers keep most disks busy


class ServerTrouble(Refused):
    def __init__(self, doing: str, failure: DatabaseFailure) -> None:
        super().__init__(
            f"{doing}: {failure.message}",
            why=f"SQLSTATE {failure.sqlstate}" if failure.sqlstate else "the server could not be reached",
            fix="try again; what was committed stays",
        )


class OldTransactions(Refused):
    def __init__(self, name: str, seconds: float, blockers: list[OldTransaction]) -> None:
        # Nobody's session holds a prepared one: there is nothing to terminate.
        prepared = next((blocker.prepared for blocker in blockers if blocker.prepared is not None), None)
        end = "SELECT pg_terminate_backend(PID)" if any(blocker.pid for blocker in blockers) else None
        rollback = None if prepared is None else "ROLLBACK PREPARED '" + prepared.replace("'", "''") + "'"
        how = ", ".join(each for each in (end, rollback) if each is not None)
        super().__init__(
            f'backfill "{name}" waited {seconds:.0f} s for transactions older than itself: '
            + "; ".join(str(blocker) for blocker in blockers[:5]),
            why="they may still write rows in the old shape behind the cursor",
            fix=f"end them{how and f' ({how})'}, then: evolve backfill resume {name}",
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
        workers: of this process; each has a connection of its own.
        timeouts: of each statement.
        shapes: of the batches, to choose from by measurement; none: all that the table allows.
        given: names of the settings that somebody asked for; None: those that are not the default.
        wal_per_second: bytes of WAL; None sets no limit.
        throttling: what is looked at, and when the run may work.
        terms: what somebody asked for of `throttling`, `workers` and `timeouts`; the run keeps it.
    """

    commit_seconds: float = TARGET
    largest: int = LARGEST
    duty: float = 1.0
    rows_per_second: float | None = None
    replica_lag: int | None = 64_000_000
    fence_seconds: float = 600.0
    patience: float = PATIENCE
    lease_seconds: float = journal.LEASE
    workers: int = 1
    timeouts: Timeouts = field(default_factory=Timeouts)
    shapes: tuple[Shape, ...] = ()
    given: frozenset[str] | None = None
    wal_per_second: float | None = None
    throttling: Throttling = field(default_factory=Throttling)
    terms: Terms = UNSAID

    def on(self, kept: Terms) -> Pace:
        """As it is for a run that keeps those, where nobody asked for others.

        Raises:
            BadWindow: this machine does not know its time zone.
        """
        terms, throttling, timeouts = self.terms.over(kept), self.throttling, self.timeouts
        if terms.windows is not None:
            throttling = replace(throttling, windows=tuple(map(Hours.parse, terms.windows)))
        if terms.lock_timeout is not None:
            timeouts = replace(timeouts, lock=terms.lock_timeout)
        if terms.statement_timeout is not None:
            timeouts = replace(timeouts, statement=terms.statement_timeout)
        workers = self.workers if terms.workers is None else terms.workers
        return replace(self, throttling=throttling, timeouts=timeouts, workers=workers, terms=terms)

    @property
    def settings(self) -> Settings:
        """Those that may be set while a run goes on; none is left open."""
        return Settings(
            target=self.commit_seconds * 1000,
            duty=self.duty,
            rows=OFF if self.rows_per_second is None else self.rows_per_second,
            wal=OFF if self.wal_per_second is None else self.wal_per_second,
            batch=self.largest,
            lag=OFF if self.replica_lag is None else self.replica_lag,
        )

    @property
    def said(self) -> Settings:
        """Those that somebody asked for; the run keeps them."""
        if self.given is None:
            return self.begun
        return self.settings.without(NAMES - self.given)

    @property
    def begun(self) -> Settings:
        """Those that a new run keeps: somebody asked for them, or the project has other defaults."""
        default, given = Pace().settings.said, self.given or frozenset()
        usual = {name for name, value in self.settings.said.items() if value == default[name]}
        return self.settings.without(usual - given)

    def check(self) -> None:
        """Refuse a number that would stop the run or break its lease.

        Raises:
            BadLimit: naming the option.
        """
        if not 0 < self.duty <= 1:
            raise BadLimit("--duty", self.duty, "a share above 0, up to 1")
        if self.rows_per_second is not None and not self.rows_per_second > 0:
            raise BadLimit("--max-rows-per-second", self.rows_per_second, "a number above 0")
        if self.wal_per_second is not None and self.wal_per_second <= 0:
            raise BadLimit("--max-wal", self.wal_per_second / 1e6, "megabytes per second above 0")
        if not 0 < self.commit_seconds < math.inf:
            raise BadLimit("--target-ms", self.commit_seconds * 1000, "milliseconds above 0")
        if self.largest < 1:
            raise BadLimit("--max-batch", self.largest, "at least 1 row")
        if not 1 <= self.workers <= MOST_WORKERS:
            raise BadLimit("--workers", self.workers, f"1 to {MOST_WORKERS}")
        if not 1 <= self.lease_seconds <= 86_400:
            raise BadLimit("--lease", self.lease_seconds, "1 second to a day")
        limits = (("--lock-timeout", self.timeouts.lock), ("--statement-timeout", self.timeouts.statement))
        for option, milliseconds in limits:
            if milliseconds > LONGEST:
                raise BadLimit(option, milliseconds, f"{LONGEST:,} ms at most")


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
        rejects: rows that could not be written, or not take their old values, and were set aside.
        aftermath: how the table stands now; None where nobody looked.
        doubles: to run it once more from the first row on would write some a second time, to another value.
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
    rejects: int = 0
    aftermath: Aftermath | None = None
    doubles: bool = False

    @property
    def good(self) -> bool:
        """It got where it was going, or left the rest to another process; nothing is known to be missing."""
        if self.state in (State.RUNNING, State.VERIFYING):
            return self.stopped_by is None
        if self.state not in (State.DONE, State.UNDONE) or self.stopped_by is not None:
            return False
        return (self.verdict is None or self.verdict.clean) and not self.conflicts and not self.rejects

    @property
    def only_rejects(self) -> bool:
        """It is done, or undone, but for the rows that were set aside."""
        if self.state is State.UNDONE:
            return self.rejects > 0 and not self.conflicts
        if self.state is not State.DONE or not self.rejects or self.stopped_by is not None:
            return False
        return self.verdict is None or self.verdict.misses <= self.rejects


def ended(outcome: Outcome) -> Ended:
    """As whoever looks on is told."""
    return Ended(
        outcome.state,
        rows=outcome.rows,
        batches=outcome.batches,
        seconds=outcome.seconds,
        stopped_by=outcome.stopped_by,
        rejects=outcome.rejects,
        conflicts=outcome.conflicts,
        misses=None if outcome.verdict is None else outcome.verdict.misses,
    )


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


def checked_target(
    session: Session, spec: Spec, watch: Watch, *, plain_sql: bool, newest_first: bool = False
) -> Target:
    """Look at everything that can be refused, down to one batch that is rolled back; write nothing.

    Raises:
        StandbyServer, ReadOnlySession, NoSuchTable, NotATable, NoSuchColumn, BadTarget, NoKey, UnusableKey, MayNot,
        RowSecurity, BadExpression, PlanIgnoresKey, ServerTrouble
    """
    refuse_read_only(session.current())
    target = read_target(session.current(), spec, plain_sql=plain_sql, newest_first=newest_first)
    if target.by_block or not names_schema(spec):
        target = with_leaves(session.current(), target)
    check_work(session.current(), spec, target)
    try_expressions(session.current(), spec)
    check_predicate(session.current(), spec, tuple(column.name for column in target.key))
    check_partners(session.current(), spec)
    try:
        trial = tried(session, spec, target, PROBE)
        if trial is not None and trial.rejects:
            first = trial.rejects[0]
            watch.say(
                f"{len(trial.rejects)} of the first {counted(trial.rows, 'row')} cannot be written and would be set"
                f" aside, such as ({', '.join(first.key)}): {first.message}"
            )
    except DatabaseFailure as failure:
        if judge(failure) not in (Judgement.CONTENDED, Judgement.ROW):
            refusal = forbidden(failure.__cause__)
            raise refusal or ServerTrouble("trying the first batch, rolled back", failure) from failure
        watch.say(f"the first rows could not be tried beforehand: {failure.message}")
    return target


def tried(session: Session, spec: Spec, target: Target, rows: int) -> Trial | None:
    """One batch of about so many rows that is rolled back; None where the table is empty.

    Raises:
        BadExpression, PlanIgnoresKey, CannotImport, NoFunction, BadModel, BadFunction
        DatabaseFailure: a lock, the server, or something in one of these rows.
    """
    with computing(spec, target) as compute:
        if isinstance(spec.work, Transform) and compute is not None:
            return try_function(session, spec, spec.work, target, compute, rows)
        return try_batch(session, spec, first_ground(session.current(), target), rows)


def persistently(
    session: Session,
    work: Callable[[], T],
    *,
    name: str,
    pace: Pace,
    stop: Stop,
    watch: Watch,
    clock: Callable[[], float],
    again: Callable[[], T | None] | None = None,
) -> T:
    """Do `work`, and once more over a new connection whenever the old one is lost on the way.

    Args:
        again: called first over each new connection; what it returns ends it, None goes on.

    Raises:
        DatabaseFailure: another try would meet it again, or somebody asked to stop meanwhile.
        GaveUp: `pace.patience` ran out without a healthy stretch.
    """
    since = clock()
    failures = 0
    while True:
        began = clock()
        try:
            if failures:
                with translated():
                    session.reopen()
            with translated(session.current()):
                ended = again() if failures and again is not None else None
                return work() if ended is None else ended
        except DatabaseFailure as failure:
            if clock() - began >= HEALTHY:
                since, failures = clock(), 0
            if judge(failure) in (Judgement.FATAL, Judgement.ROW):
                raise
            if clock() - since >= pace.patience:
                raise GaveUp(name, clock() - since, failure) from failure
            if failures and stop.requested() is not None:
                raise
            failures += 1
            watch.say(f"{failure.message}; going on from what the journal says")
            stop.wait(min(0.05 * 2**failures, 5.0))
