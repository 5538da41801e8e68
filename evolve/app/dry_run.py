"""Runs pending revisions, through the project's own env.py, on a scratch copy of the live schema, and watches them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evolve.app.upgrade import Direction, planned
from evolve.errors import EvolveError, Refused
from evolve.postgres import scratch
from evolve.postgres.connect import Connection, connect
from evolve.postgres.measure import Snapshot, compare
from evolve.postgres.schema_copy import CannotDump, copy_schema
from evolve.postgres.stamps import applied_heads, server_identity
from evolve.postgres.watched_locks import live_sizes, locks_of
from evolve.revisions.ledger import Sent
from evolve.revisions.project import Project
from evolve.revisions.run import Limits, Pending, Runner, ServerIdentity
from evolve.sql.locks import LockMode

CopiedBy = Literal["pg_dump", "its own revisions"]


class CannotCopy(Refused):
    def __init__(self, dump: str, replay: EvolveError) -> None:
        super().__init__(
            "there is no copy of the schema to run the revisions on",
            why=f"pg_dump: {dump}; its own revisions from the first: {replay.what}",
            fix="install pg_dump of the server's version or later, or mend what stops the revisions",
        )


@dataclass(frozen=True, slots=True)
class Tried:
    """A statement of a revision on the copy.

    Args:
        seconds: of a schema without rows.
        locks: that it took beyond those held before, on tables that were there before the revision; none can be seen
            where it ran outside a transaction.
    """

    statement: str
    place: str
    seconds: float
    locks: Mapping[str, LockMode]


@dataclass(frozen=True, slots=True)
class TriedStep:
    """
    Args:
        rewritten: tables that got a new file → bytes of the live one.
        error: why it failed; the revisions behind it were not run.
    """

    revision: str
    message: str
    seconds: float
    statements: tuple[Tried, ...]
    rewritten: Mapping[str, int]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DryRun:
    direction: Direction
    version: int  # major, of the scratch server
    live_version: int
    copied_by: CopiedBy
    steps: tuple[TriedStep, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return any(step.error is not None for step in self.steps)


def dry_run(project: Project, url: str, target: str, direction: Direction) -> DryRun:
    """Nothing is written to `url`: its schema is read, and its revisions run on a scratch server.

    Raises:
        NoScratchServer: there is none to run on.
        CannotCopy: the schema can be made there neither by pg_dump nor by its own revisions.
        WrongDatabase: env.py does not go where `sqlalchemy.url` says; nothing was sent.
        StrangeRevisions, Misuse: as of `migrate`.
    """
    with connect(url, autocommit=True) as live:
        steps = planned(project, live, target, direction, Limits(0, 0), None)[2]
        sizes = live_sizes(live)
        heads = applied_heads(live, project.version_table, project.version_table_schema)
        live_version = live.info.server_version // 10_000
    with scratch.server() as server:
        copied_by, copy = _copied(project, url, server, tuple(sorted(heads)))
        with connect(copy, autocommit=True) as watcher:
            tried = _run_all(project, copy, watcher, steps, direction, sizes)
        return DryRun(direction, server.version, live_version, copied_by, tuple(tried), sizes)


def _copied(
    project: Project, url: str, server: scratch.Server, heads: tuple[str, ...]
) -> tuple[CopiedBy, str]:
    copy = server.create_database()
    try:
        copy_schema(url, copy, project.version_table, project.version_table_schema)
    except CannotDump as error:
        copy = server.create_database()
        try:
            _replay(project, copy, heads)
        except EvolveError as failure:
            raise CannotCopy(str(error), failure) from failure
        return "its own revisions", copy
    return "pg_dump", copy


def _replay(project: Project, copy: str, heads: tuple[str, ...]) -> None:
    with connect(copy, autocommit=True) as connection:
        runner = _runner(project, copy, connection)
        done: set[str] = set()
        for head in heads:
            for step in runner.pending(head, ()):
                if step.revision not in done:
                    runner.run(step, "upgrade")
                    done.add(step.revision)


def _runner(project: Project, copy: str, connection: Connection) -> Runner:
    identity = ServerIdentity(*server_identity(connection))
    return Runner(project, copy, Limits(5_000, 30_000), expected=identity)


def _run_all(
    project: Project,
    copy: str,
    watcher: Connection,
    steps: Sequence[Pending],
    direction: Direction,
    sizes: Mapping[str, int],
) -> list[TriedStep]:
    runner = _runner(project, copy, watcher)
    found: list[TriedStep] = []
    for step in steps:
        watch = _Watch(watcher, Snapshot.take(watcher))
        runner.on_backend = watch.backend
        runner.on_statement = watch.statement
        error = None
        began = time.perf_counter()
        try:
            runner.run(step, direction)
        except Refused as failure:
            error = failure.what
        seconds = time.perf_counter() - began
        done = compare(watch.before, Snapshot.take(watcher), {})
        rewritten = {name.plain: sizes.get(name.plain, 0) for name in sorted(done.rewritten)}
        found.append(TriedStep(step.revision, step.message, seconds, tuple(watch.tried), rewritten, error))
        if error is not None:
            break
    return found


@dataclass(slots=True)
class _Watch:
    """Looks at the locks of env.py's newest session after each of its statements."""

    watcher: Connection
    before: Snapshot
    pid: int = 0
    held: dict[str, LockMode] = field(default_factory=dict)
    tried: list[Tried] = field(default_factory=list)

    def backend(self, pid: int, _began: str) -> None:
        self.pid = pid
        self.held = {}

    def statement(self, sent: Sent, seconds: float) -> None:
        now = locks_of(self.watcher, self.pid, self.before)
        new = {name: mode for name, mode in now.items() if self.held.get(name) is not mode}
        self.held = now
        self.tried.append(Tried(sent.summary, sent.place, seconds, new))
