"""Bring a database to a revision: one runner at a time, short lock waits, retries within a budget, blockers named."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from evolve.app.gates_anew import ask_anew
from evolve.app.half_applied import take_back, to_end_first
from evolve.app.project_changes import StrangeRevisions
from evolve.app.upgrade_ledger import NoLedger, RevisionLedger, Unfinished
from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.gates import Rules
from evolve.postgres.allow_list import Allowance
from evolve.postgres.blockers import Blocker, BlockerWatch, end_sessions
from evolve.postgres.connect import Connection, connect
from evolve.postgres.invalid_indexes import drop_invalid_index
from evolve.postgres.old_snapshots import OldSnapshot, old_snapshots, waits
from evolve.postgres.runner_lock import RecordLocked, RunnerLockLost, runner_lock
from evolve.postgres.stamps import applied_heads, has_versions, server_identity, stamp
from evolve.postgres.upgrade_record import UpgradeRecord, can_record
from evolve.revisions.gate_asking import asking
from evolve.revisions.ledger import Sent
from evolve.revisions.project import Project
from evolve.revisions.run import DUPLICATE_TABLE, Limits, Pending, RevisionFailed, Runner, ServerIdentity

Direction = Literal["upgrade", "downgrade"]
# The applied heads of each place that env.py runs revisions in: mostly one.
Standings = tuple[tuple[str, ...], ...]

_PAUSE = 0.2  # seconds between two looks at what passes by itself


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a runner goes on trying.

    Args:
        wait: seconds to wait for another runner.
        retries: attempts after the first, for each revision.
        budget: seconds that all waiting between attempts may take together.
        first_delay, longest_delay: seconds; the delay doubles from one to the other, less up to half of it at random,
            so that several waiting sessions do not meet again.
    """

    wait: float = 600.0
    retries: int = 20
    budget: float = 300.0
    first_delay: float = 0.5
    longest_delay: float = 20.0

    def delay(self, attempt: int, random_fraction: float) -> float:
        whole = min(self.longest_delay, self.first_delay * 2.0 ** min(attempt - 1, 64))
        return whole * (1 - random_fraction / 2)


@dataclass(frozen=True, slots=True)
class Done:
    """One revision applied or reverted. `blockers` kept it waiting on the way."""

    revision: str
    message: str
    seconds: float
    retries: int
    blockers: tuple[Blocker, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    direction: Direction
    done: tuple[Done, ...]
    heads: tuple[str, ...]


class Observer:
    """Told what happens while it happens; this one makes nothing of it."""

    def waiting_for_runner(self, holder: str) -> None: ...
    def opens(self, direction: Direction, steps: Sequence[Pending]) -> None: ...
    def not_recorded(self, reason: str, fix: str) -> None: ...
    def begins(self, step: Pending, number: int, total: int) -> None: ...

    def goes_on(self, step: Pending, done: Sequence[str]) -> None:
        """An earlier run did a part of it, which is not done again."""

    def takes_back(self, revision: str, statement: str) -> None:
        """What an earlier run did of a revision that is not applied is undone, before any is reverted."""

    def ends_downgrade(self, revision: str) -> None:
        """An earlier downgrade was cut short in it; that is brought to its end, before going up."""

    def waits(self, reason: str) -> None:
        """Something that is in the way passes by itself."""

    def retries(self, failure: RevisionFailed, blockers: list[Blocker], delay: float) -> None: ...
    def session_ended(self, blocker: Blocker) -> None: ...
    def ends(self, done: Done) -> None: ...
    def fails(self, step: Pending, error: BaseException) -> None: ...
    def closes(self, outcome: Outcome) -> None: ...


class OutOfPatience(Refused):
    """The lock was not to be had within the limits."""

    def __init__(
        self, failure: RevisionFailed, attempts: int, waited: float, blockers: list[Blocker], index_left: bool
    ) -> None:
        names = "; ".join(str(blocker) for blocker in blockers)
        left = ""
        if index_left and failure.unfinished_index is not None:
            index, table = failure.unfinished_index
            left = (
                f"; the invalid index {index or f'of {table}'} is left: "
                "DROP INDEX CONCURRENTLY removes it, once no session builds it any more"
            )
        super().__init__(
            f"revision {failure.revision} did not get its lock in {attempts} attempts over {waited:.0f} s",
            why=(f"blocked by {names}" if names else "nobody was seen holding it") + left,
            fix="end those sessions (SELECT pg_terminate_backend(PID)) or wait for a quieter hour, then run it again; "
            "what was applied before stays applied",
        )
        self.failure = failure


class OldTransactions(Refused):
    """A statement with CONCURRENTLY would wait for them before it ends, so it is not begun."""

    def __init__(self, revision: str, sent: Sent, waited: float, sessions: Sequence[OldSnapshot]) -> None:
        super().__init__(
            f"revision {revision} has not begun what would wait for older transactions, after {waited:.0f} s: {sent}",
            why=f"still there: {'; '.join(map(str, sessions))}",
            fix="end those sessions (SELECT pg_terminate_backend(PID)), let them be ended by --terminate-blockers, or "
            "run it again at a quieter hour",
        )


class SeveralStandings(Misuse):
    def __init__(self, standings: Sequence[tuple[str, ...]]) -> None:
        listed = "; ".join(", ".join(heads) or "base" for heads in standings)
        super().__init__(
            f"env.py runs revisions in several places, which are not at the same one: {listed}",
            why="a number of steps, or a way down, would mean another revision in each",
            fix="bring all to the same first: evolve upgrade heads",
        )


class NothingRan(Misuse):
    """env.py came to its end, and the version table does not say what it should."""

    def __init__(self, step: Pending, project: Project, direction: Direction) -> None:
        missing = "has not got" if direction == "upgrade" else "still has"
        super().__init__(
            f"env.py came to its end, but table {project.version_table} {missing} revision {step.revision}",
            why="it ran no migrations, or keeps their versions in a table that evolve does not see in it",
            fix=f"let {project.script_directory / 'env.py'} call context.configure(connection=…, version_table='…') "
            "with a literal name, then context.run_migrations()",
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """Time and chance, so that tests need neither."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


def migrate(
    project: Project,
    url: str,
    target: str,
    direction: Direction,
    *,
    limits: Limits,
    patience: Patience,
    observer: Observer,
    override_url: str | None = None,
    terminate: Sequence[Allowance] = (),
    unfinished: Unfinished | None = None,
    rules: Callable[[], Rules] = Rules,
    environment: Environment | None = None,
) -> Outcome:
    """Apply (or revert) revisions one by one until the database is at `target`.

    Each revision is its own transaction whatever env.py says about `transaction_per_migration`: a failure keeps what
    was applied before and loses only the revision at hand. What a revision does outside its transaction is recorded in
    schema evolve before and after, so that the next attempt, or the next run after a crash, goes on behind it.

    Args:
        url: where evolve itself connects, for the runner's lock and to see who blocks.
        override_url: replaces the project's own `sqlalchemy.url` for env.py; None leaves that alone.
        terminate: sessions that are ended when they keep a revision waiting.
        unfinished: what to do about a statement of an earlier run of which nobody can tell whether it was done.
        rules: what the project asks of gates, which are looked at again before something is taken away.

    Raises:
        GateShut: something that a revision takes away is in use, or nobody can tell.
        AnotherRunner: another runner held the lock for longer than `patience.wait`.
        RevisionFailed: a revision failed in a way that trying again does not mend.
        RevisionRaised: its Python code raised.
        OutOfPatience: retries or budget are used up.
        OldTransactions: a statement with CONCURRENTLY would have waited for them for longer than the budget.
        CutShortDowngrade: a downgrade of a revision by hand was, and going up would pass over what it took away.
        CannotTell, NotAsRecorded, StillAtWork, IndexInTheWay, DetachmentPending: a revision that an earlier run has
            left half-done cannot be gone on with.
        RunnerLockLost: the session that holds the lock ended; the revision at hand may be applied, none after it.
        RecordLocked: another session keeps a table of schema evolve locked; the revision at hand was rolled back.
        CannotReach: env.py cannot connect.
        WrongDatabase: env.py connects to another database than `url`.
        NothingRan: env.py ended well and did nothing that can be seen.
        StrangeRevisions: the database is at a revision that the project does not have.
    """
    environment = environment or Environment()
    version_table = f"{project.version_table_schema or ''}.{project.version_table}"
    with runner_lock(
        url, version_table, wait=patience.wait, on_wait=observer.waiting_for_runner, sleep=environment.sleep
    ) as own:
        # No lock. A revision whose account cannot be written would keep its own locks as long as that waits.
        own.execute("SELECT set_config('lock_timeout', %s, false)", (str(limits.lock_timeout),))
        # Which revisions are missing is asked only now: a runner that waited finds nothing left to do.
        runner, standings, steps = planned(project, own, target, direction, limits, override_url)
        carry_out = _CarryOut(
            project, runner, own, version_table, url, limits, patience, observer, environment, terminate, unfinished,
            rules,
        )  # fmt: skip
        if direction == "upgrade":
            heads = _heads(own, project)
            left = to_end_first(
                project, own, version_table, runner.applied(heads), settled=unfinished == "restart"
            )
            for revision in left:
                observer.ends_downgrade(revision)
                carry_out(
                    standings, runner.to_revert(f"{revision}@-1", _heads(own, project)), "downgrade", revision
                )
            if left:
                standings = _standings(runner, own, project)
                steps = _steps(runner, standings, target, direction)
        observer.opens(direction, steps)
        if direction == "downgrade":
            take_back(
                project,
                own,
                version_table,
                runner.applied(_heads(own, project)),
                lock_timeout=limits.concurrently_lock_timeout,
                on_undo=observer.takes_back,
                sleep=environment.sleep,
            )
        done = carry_out(standings, steps, direction, target)
        reached = {head for heads in _standings(runner, own, project) for head in heads}
        outcome = Outcome(direction, tuple(done), tuple(sorted(reached)))
        observer.closes(outcome)
        return outcome


@dataclass(frozen=True, slots=True)
class _CarryOut:
    """Runs steps with a watch for blockers and a record, within one run of evolve."""

    project: Project
    runner: Runner
    own: Connection
    version_table: str
    url: str
    limits: Limits
    patience: Patience
    observer: Observer
    environment: Environment
    terminate: Sequence[Allowance]
    unfinished: Unfinished | None
    rules: Callable[[], Rules]

    def __call__(
        self, standings: Standings, steps: Sequence[Pending], direction: Direction, target: str
    ) -> list[Done]:
        if not steps:
            return []
        with BlockerWatch(self.url, allowances=self.terminate) as watch:
            record = _record(
                self.own, self.version_table, self.runner, standings, direction, target, self.observer
            )
            attempts = _Attempts(
                self.project, self.runner, direction, self.own, watch, record, self.limits, self.patience,
                self.observer, self.environment, self.terminate, self.unfinished,
            )  # fmt: skip
            with asking(partial(ask_anew, self.own, rules=self.rules)):
                return attempts.run_all(steps)


def planned(
    project: Project,
    own: Connection,
    target: str,
    direction: Direction,
    limits: Limits,
    override_url: str | None,
) -> tuple[Runner, Standings, list[Pending]]:
    runner = Runner(project, override_url, limits, expected=ServerIdentity(*server_identity(own)))
    standings = _standings(runner, own, project)
    if unknown := runner.unknown(dict.fromkeys(head for heads in standings for head in heads)):
        raise StrangeRevisions(unknown)
    return runner, standings, _steps(runner, standings, target, direction)


def _steps(runner: Runner, standings: Standings, target: str, direction: Direction) -> list[Pending]:
    """What any of them lacks. Alembic passes over a revision where it is applied already."""
    different = sorted(set(standings))
    if len(different) == 1:
        heads = different[0]
        return runner.pending(target, heads) if direction == "upgrade" else runner.to_revert(target, heads)
    if direction == "downgrade" or target.startswith(("+", "-")):
        raise SeveralStandings(different)
    missing = {step.revision for heads in different for step in runner.pending(target, heads)}
    return [step for step in runner.pending(target, ()) if step.revision in missing]


def _standings(runner: Runner, own: Connection, project: Project) -> Standings:
    """The applied heads of every place that env.py runs revisions in: of one, unless it loops over several."""
    if has_versions(own, project.version_table, project.version_table_schema):
        return (_heads(own, project),)
    _heads(own, project)  # refuses a table that is there and hidden
    return runner.survey() or ((),)


def _record(
    own: Connection,
    version_table: str,
    runner: Runner,
    standings: Standings,
    direction: Direction,
    target: str,
    observer: Observer,
) -> UpgradeRecord | None:
    """None where the role may not keep one: it may be allowed to migrate all the same."""
    not_kept = can_record(own)
    if not_kept is not None:
        observer.not_recorded(not_kept.reason, not_kept.fix)
        return None
    record = UpgradeRecord(own, version_table)
    applied = [runner.applied(heads) for heads in standings] or [frozenset()]
    through = frozenset.intersection(*applied) if direction == "upgrade" else frozenset.union(*applied)
    record.begin_run(direction, target, through)
    return record


def preview(project: Project, url: str, target: str, direction: Direction) -> list[Pending]:
    """The revisions that `migrate` would run now, in order; reads the version table and nothing else."""
    with connect(url, autocommit=True) as connection:
        return planned(project, connection, target, direction, Limits(0, 0), None)[2]


def _heads(connection: Connection, project: Project) -> tuple[str, ...]:
    return tuple(sorted(applied_heads(connection, project.version_table, project.version_table_schema)))


@dataclass(slots=True)
class _Attempts:
    """Tries a revision until it is through, fails for good, or the budget that all revisions share is spent."""

    project: Project
    runner: Runner
    direction: Direction
    own: Connection
    watch: BlockerWatch
    record: UpgradeRecord | None
    limits: Limits
    patience: Patience
    observer: Observer
    environment: Environment
    terminate: Sequence[Allowance]
    unfinished: Unfinished | None
    waited: float = 0.0
    blockers: dict[int, Blocker] = field(default_factory=dict)
    told: str = ""

    def run_all(self, steps: Sequence[Pending]) -> list[Done]:
        done: list[Done] = []
        for number, step in enumerate(steps, 1):
            self.observer.begins(step, number, len(steps))
            try:
                done.append(self.run(step))
            except BaseException as error:
                self.observer.fails(step, error)
                if isinstance(error, EvolveError):
                    self._end(error)
                raise
            self.observer.ends(done[-1])
        if self.record is not None:
            self.record.end_run(None)
        return done

    def _end(self, error: EvolveError) -> None:
        if self.record is not None:
            # What went wrong is told; that it could not be written down as well is not what a person must hear.
            with suppress(RunnerLockLost, RecordLocked):
                self.record.end_step(done=False, blockers=[*self.blockers.values()])
                self.record.end_run(error.what)

    def run(self, step: Pending) -> Done:
        started = self.environment.clock()
        self.blockers.clear()
        ledger = self._ledger(step)
        self.runner.ledger = ledger
        self.runner.on_backend = self._on_backend
        if self.record is not None:
            # What Alembic replaces in its table when the revision is through.
            replaced = (step.revision,) if self.direction == "downgrade" else step.below
            own = stamp(self.own, self.project.version_table, self.project.version_table_schema, replaced)
            self.record.begin_step(step.revision, self.direction, own)
        failure: RevisionFailed | None = None
        attempt = 1
        while True:
            # A build that was interrupted leaves an invalid index of the same name in the way of the next one.
            if failure is None or self._cleared(failure):
                try:
                    self._begin(step, ledger)
                    self.runner.run(step, self.direction)
                except RevisionFailed as error:
                    failure = error
                else:
                    return self._done(step, started, attempt)
            self._wait(failure, attempt, started)
            attempt += 1

    def _ledger(self, step: Pending) -> RevisionLedger | NoLedger:
        def wait_for_older(sent: Sent, search_path: str) -> None:
            self._wait_for_older(step, sent, search_path)

        if self.record is None:
            return NoLedger(wait_for_older)
        return RevisionLedger(
            step.revision,
            self.record,
            self.own,
            f"evolve {self.direction}" + (f" {step.target}" if self.direction == "downgrade" else ""),
            self.unfinished,
            (self.limits.lock_timeout, self.limits.concurrently_lock_timeout),
            self.watch.ours,
            self._wait_a_little,
            wait_for_older,
        )

    def _begin(self, step: Pending, ledger: RevisionLedger | NoLedger) -> None:
        if self.record is None or isinstance(ledger, NoLedger):
            return
        done = ledger.begin()
        self.record.attempt()
        if done:
            self.observer.goes_on(step, done)

    def _on_backend(self, pid: int, began: str) -> None:
        self.watch.add(pid)
        if self.record is not None:
            self.record.backend(pid, began)

    def _done(self, step: Pending, started: float, attempt: int) -> Done:
        self._confirm(step)
        self._collect()
        blockers = tuple(self.blockers.values())
        if self.record is not None:
            self.record.end_step(done=True, blockers=blockers)
        seconds = self.environment.clock() - started
        return Done(step.revision, step.message, seconds, attempt - 1, blockers)

    def _collect(self) -> list[Blocker]:
        """Whom the watch has seen since the last time; those that it ended are told."""
        seen = self.watch.take()
        for blocker in seen:
            if blocker.ended:
                self.observer.session_ended(blocker)
        self.blockers.update({blocker.pid: blocker for blocker in seen})
        return seen

    def _wait_a_little(self, refusal: Refused, reason: str | None = None) -> None:
        """For what passes by itself, as long as the budget lasts; then `refusal` is raised.

        Args:
            reason: what is told, once, where that is not what the refusal says.
        """
        if self.waited + _PAUSE > self.patience.budget:
            raise refusal
        reason = reason or refusal.what
        if self.told != reason:
            self.told = reason
            self.observer.waits(reason)
        self.waited += _PAUSE
        self.environment.sleep(_PAUSE)

    def _wait_for_older(self, step: Pending, sent: Sent, search_path: str) -> None:
        """For those that are there now: whoever comes later is waited for by the server, and only by that statement."""
        what = waits(sent.text)
        if what is None:
            return
        first: set[tuple[int, str]] | None = None
        began = self.waited
        told: dict[
            tuple[int, str], str
        ] = {}  # as each was when it was first seen: its age changes with every look
        while True:
            there = old_snapshots(self.own, what, search_path, self.watch.ours())
            if first is None:
                first = {(each.pid, each.began) for each in there}
            there = [each for each in there if (each.pid, each.began) in first]
            if not there:
                return
            if self.terminate:
                ended = end_sessions(self.own, [each.pid for each in there], self.terminate)
                for blocker in ended:
                    if blocker.ended and not (
                        blocker.pid in self.blockers and self.blockers[blocker.pid].ended
                    ):
                        self.observer.session_ended(blocker)
                        self.blockers[blocker.pid] = blocker
            whom = "; ".join(told.setdefault((each.pid, each.began), str(each)) for each in there)
            self._wait_a_little(
                OldTransactions(step.revision, sent, self.waited - began, there),
                f"older transactions are to end before {sent}: {whom}",
            )

    def _confirm(self, step: Pending) -> None:
        standings = _standings(self.runner, self.own, self.project)
        everywhere = {step.revision in self.runner.applied(heads) for heads in standings}
        if everywhere != {self.direction == "upgrade"}:
            raise NothingRan(step, self.project, self.direction)

    def _cleared(self, failure: RevisionFailed) -> bool:
        return self._drop_unfinished(failure) != "stays"

    def _drop_unfinished(self, failure: RevisionFailed) -> Literal["absent", "dropped", "stays"]:
        if failure.unfinished_index is None:
            return "absent"
        timeout = self.limits.concurrently_lock_timeout
        return drop_invalid_index(
            self.own, *failure.unfinished_index, lock_timeout=timeout, search_path=failure.search_path
        )

    def _left_behind(self, failure: RevisionFailed) -> bool:
        """Its index was there already, invalid, from a runner that was killed; now it is dropped."""
        if failure.sqlstate != DUPLICATE_TABLE or not failure.repeatable:
            return False
        return self._drop_unfinished(failure) == "dropped"

    def _wait(self, failure: RevisionFailed, attempt: int, started: float) -> None:
        """Wait for the next attempt, or raise where there is to be none."""
        seen = self._collect()
        if not failure.transient and not self._left_behind(failure):
            self._cleared(failure)
            raise failure
        delay = self.patience.delay(attempt, self.environment.chance())
        if attempt > self.patience.retries or self.waited + delay > self.patience.budget:
            left = not self._cleared(failure)
            spent = self.environment.clock() - started
            raise OutOfPatience(failure, attempt, spent, list(self.blockers.values()), left) from failure
        self.observer.retries(failure, seen, delay)
        self.waited += delay
        self.environment.sleep(delay)
        # No lock. Raises where the session that keeps other runners out has ended meanwhile.
        self.own.execute("SELECT")
