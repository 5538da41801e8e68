"""Bring a database to a revision: one runner at a time, short lock waits, retries within a budget, blockers named."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from evolve.app.project_changes import StrangeRevisions
from evolve.errors import Misuse, Refused
from evolve.postgres.blockers import Blocker, BlockerWatch
from evolve.postgres.connect import Connection, connect
from evolve.postgres.invalid_indexes import drop_invalid_index
from evolve.postgres.runner_lock import runner_lock
from evolve.postgres.stamps import applied_heads, server_identity
from evolve.revisions.project import Project
from evolve.revisions.run import DUPLICATE_TABLE, Limits, Pending, RevisionFailed, Runner, ServerIdentity

Direction = Literal["upgrade", "downgrade"]


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
        whole = min(self.longest_delay, self.first_delay * 2.0 ** (attempt - 1))
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


class Observer(Protocol):
    """Told what happens while it happens."""

    def waiting_for_runner(self, holder: str) -> None: ...
    def begins(self, step: Pending, number: int, total: int) -> None: ...
    def retries(self, failure: RevisionFailed, blockers: list[Blocker], delay: float) -> None: ...
    def ends(self, done: Done) -> None: ...


class OutOfPatience(Refused):
    """The lock was not to be had within the limits."""

    def __init__(
        self, failure: RevisionFailed, attempts: int, waited: float, blockers: list[Blocker], index_left: bool
    ) -> None:
        names = "; ".join(str(blocker) for blocker in blockers)
        left = ""
        if index_left and failure.unfinished_index is not None:
            left = (
                f"; the invalid index {failure.unfinished_index[0]} is left: "
                "DROP INDEX CONCURRENTLY removes it, once no session builds it any more"
            )
        super().__init__(
            f"revision {failure.revision} did not get its lock in {attempts} attempts over {waited:.0f} s",
            why=(f"blocked by {names}" if names else "nobody was seen holding it") + left,
            fix="end those sessions (SELECT pg_terminate_backend(PID)) or wait for a quieter hour, then run it again; "
            "what was applied before stays applied",
        )
        self.failure = failure


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
    environment: Environment | None = None,
) -> Outcome:
    """Apply (or revert) revisions one by one until the database is at `target`.

    Each revision is its own transaction whatever env.py says about `transaction_per_migration`: a failure keeps what
    was applied before and loses only the revision at hand.

    Args:
        url: where evolve itself connects, for the runner's lock and to see who blocks.
        override_url: replaces the project's own `sqlalchemy.url` for env.py; None leaves that alone.

    Raises:
        AnotherRunner: another runner held the lock for longer than `patience.wait`.
        RevisionFailed: a revision failed in a way that trying again does not mend.
        RevisionRaised: its Python code raised.
        OutOfPatience: retries or budget are used up.
        RunnerLockLost: the session that holds the lock ended; the revision at hand may be applied, none after it.
        WrongDatabase: env.py connects to another database than `url`.
        NothingRan: env.py ended well and did nothing that can be seen.
        StrangeRevisions: the database is at a revision that the project does not have.
    """
    environment = environment or Environment()
    with (
        runner_lock(
            url,
            f"{project.version_table_schema or ''}.{project.version_table}",
            wait=patience.wait,
            on_wait=observer.waiting_for_runner,
            sleep=environment.sleep,
        ) as own,
        BlockerWatch(url) as watch,
    ):
        # Which revisions are missing is asked only now: a runner that waited finds nothing left to do.
        runner = Runner(
            project,
            override_url,
            limits,
            expected=ServerIdentity(*server_identity(own)),
            on_backend=watch.add,
        )
        heads = _heads(own, project)
        if unknown := runner.unknown(heads):
            raise StrangeRevisions(unknown)
        steps = runner.pending(target, heads) if direction == "upgrade" else runner.to_revert(target, heads)
        attempts = _Attempts(project, runner, direction, own, watch, limits, patience, observer, environment)
        done = []
        for number, step in enumerate(steps, 1):
            observer.begins(step, number, len(steps))
            done.append(attempts.run(step))
            observer.ends(done[-1])
        return Outcome(direction, tuple(done), _heads(own, project))


def preview(project: Project, url: str, target: str, direction: Direction) -> list[Pending]:
    """The revisions that `migrate` would run now, in order; reads the version table and nothing else."""
    with connect(url, autocommit=True) as connection:
        identity = ServerIdentity(*server_identity(connection))
        heads = _heads(connection, project)
    runner = Runner(project, None, Limits(0, 0), expected=identity, on_backend=lambda _pid: None)
    if unknown := runner.unknown(heads):
        raise StrangeRevisions(unknown)
    return runner.pending(target, heads) if direction == "upgrade" else runner.to_revert(target, heads)


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
    limits: Limits
    patience: Patience
    observer: Observer
    environment: Environment
    waited: float = 0.0
    blockers: dict[int, Blocker] = field(default_factory=dict)

    def run(self, step: Pending) -> Done:
        started = self.environment.clock()
        self.blockers.clear()
        failure: RevisionFailed | None = None
        attempt = 1
        while True:
            # A build that was interrupted leaves an invalid index of the same name in the way of the next one.
            if failure is None or self._cleared(failure):
                try:
                    self.runner.run(step, self.direction)
                except RevisionFailed as error:
                    failure = error
                else:
                    self._confirm(step)
                    seconds = self.environment.clock() - started
                    return Done(
                        step.revision, step.message, seconds, attempt - 1, tuple(self.blockers.values())
                    )
            self._wait(failure, attempt, started)
            attempt += 1

    def _confirm(self, step: Pending) -> None:
        applied = step.revision in _heads(self.own, self.project)
        if applied is not (self.direction == "upgrade"):
            raise NothingRan(step, self.project, self.direction)

    def _cleared(self, failure: RevisionFailed) -> bool:
        index = failure.unfinished_index
        timeout = self.limits.concurrently_lock_timeout
        return index is None or drop_invalid_index(self.own, *index, lock_timeout=timeout) != "stays"

    def _left_behind(self, failure: RevisionFailed) -> bool:
        """Its index was there already, invalid, from a runner that was killed; now it is dropped."""
        index = failure.unfinished_index
        if index is None or failure.sqlstate != DUPLICATE_TABLE or not failure.repeatable:
            return False
        timeout = self.limits.concurrently_lock_timeout
        return drop_invalid_index(self.own, *index, lock_timeout=timeout) == "dropped"

    def _wait(self, failure: RevisionFailed, attempt: int, started: float) -> None:
        """Wait for the next attempt, or raise where there is to be none."""
        seen = self.watch.take()
        self.blockers.update({blocker.pid: blocker for blocker in seen})
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
