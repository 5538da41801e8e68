"""Partition a live table: plan it, carry it out, resume it, roll it back, and in the end let the old table go."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeVar, assert_never

from evolve.app.partition_brakes import Brakes, Politeness, brakes_of
from evolve.app.plugins import method_named
from evolve.backfill.controller import Controller
from evolve.backfill.progress import Meter
from evolve.backfill.throttle import Throttle
from evolve.errors import Misuse, Refused
from evolve.partition.below import BadSub
from evolve.partition.conversion import Conversion, Record
from evolve.partition.inventory import Inventory
from evolve.partition.obstacles import CannotConvert, Obstacle, before_parsing, obstacles
from evolve.partition.plan import Wish, plan, settling, taken_names
from evolve.partition.steps import AwaitSnapshots, BuildIndex, Copy, Settle, Statements, Step, Track, Verify
from evolve.partition.values import read_value
from evolve.plugin_api import Options, Partitioner, Problem, Problems, Profile, TableInfo
from evolve.postgres.blockers import BlockerWatch
from evolve.postgres.connect import Connection, connect
from evolve.postgres.conversion_privileges import missing_privileges
from evolve.postgres.conversion_steps import Batch, LockNotAcquired, StraysFound, Worker
from evolve.postgres.conversions import (
    ConversionExists,
    NoConversion,
    conversion_lock,
    ensure_journal,
    find_conversion,
    open_conversion,
    take_track,
)
from evolve.postgres.inventory import read_inventory, read_profile, read_size, server_version
from evolve.postgres.partitions import existing_names, free_bytes, read_partitioned
from evolve.postgres.writable import refuse_read_only
from evolve.sql.names import QualifiedName

T = TypeVar("T")

VERIFY_ROWS = 50_000  # in one snapshot
BATCH_SECONDS = 0.05  # how long a batch may share-lock its rows
FIRST_BATCH = 500
PIECES = 4  # ranges for each worker, so that they end at about the same time
SWAP_ATTEMPTS = 20  # times that strays may come between
LOOK = 0.5  # seconds between two questions whether a wait goes on


class BadOptions(Misuse):
    """The options make no partitioner."""

    def __init__(self, table: QualifiedName, method: str, problems: tuple[Problem, ...]) -> None:
        listed = "".join(f"\n  - {problem.field}: {problem.message}" for problem in problems)
        super().__init__(
            f'"{table.plain}" cannot be partitioned by "{method}" this way:{listed}',
            fix="correct the options of the command, or [tool.evolve.partition] in the settings",
        )


class GaveUp(Refused):
    """A lock, or the end of old transactions, was not to be had within the budget."""

    def __init__(
        self, table: QualifiedName, title: str, waited: float, blockers: str, command: str = "convert"
    ) -> None:
        super().__init__(
            f'evolve partition {command} "{table.plain}": {title}: gave up after {waited:.0f} s',
            why=f"blocked by {blockers}" if blockers else "nobody was seen holding it",
            fix=f"end those sessions (SELECT pg_terminate_backend(PID)) or wait for a quieter hour, then "
            f"evolve partition {command} {table.shell} --resume",
        )


class CannotRollBack(Refused):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'the conversion of "{table.plain}" is being finished and cannot be rolled back',
            why="the old table is no longer kept in step",
            fix=f"evolve partition finish {table.shell}",
        )


class NotSwapped(Refused):
    def __init__(self, table: QualifiedName, command: str = "convert") -> None:
        super().__init__(
            f'evolve partition {command} "{table.plain}" has not come to its end: there is nothing to finish',
            fix=f"evolve partition {command} {table.shell} --resume, or --rollback",
        )


class Interrupted(Refused):
    """Ctrl-C or SIGTERM, between two transactions."""

    def __init__(self, table: QualifiedName, command: str = "convert") -> None:
        super().__init__(
            f'evolve partition {command} "{table.plain}" was interrupted; what is done is kept',
            fix=f"evolve partition {command} {table.shell} --resume, or --rollback",
        )


class HeldForGood(Refused):
    """A sensor is beyond its critical limit: waiting would not do."""

    def __init__(self, table: QualifiedName, text: str, command: str = "convert") -> None:
        super().__init__(
            f'evolve partition {command} "{table.plain}" stopped: {text}',
            why="that limit asks for a person; what is done is kept, and the table is read and written as before",
            fix=f"once it is back to normal: evolve partition {command} {table.shell} --resume, or --rollback",
        )


class Observer(Protocol):
    """Told what happens while it happens."""

    def takes(self, track: Track, steps: Sequence[Step], done: int) -> None: ...
    def begins(self, track: Track, step: Step, number: int, total: int) -> None: ...
    def progresses(
        self, step: Step, rows: int, total: int, rows_per_second: float | None, size: int
    ) -> None: ...
    def waits(self, step: Step, reason: str, seconds: float) -> None: ...
    def holds(self, step: Step, reason: str) -> None: ...
    def says(self, message: str) -> None: ...
    def ends(self, track: Track, step: Step, number: int, total: int, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on asking for a lock.

    Args:
        budget: seconds that all waiting within one step may take.
        first_delay, longest_delay: seconds; the delay doubles from one to the other, less up to half of it at random.
    """

    budget: float = 600.0
    first_delay: float = 0.1
    longest_delay: float = 5.0

    def delay(self, attempt: int, random_fraction: float) -> float:
        whole = min(self.longest_delay, self.first_delay * 2.0 ** min(attempt - 1, 10))
        return whole * (1 - random_fraction / 2)


@dataclass(frozen=True, slots=True)
class Environment:
    """Time and chance, so that tests need neither. `stop` is asked between transactions."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    stop: Callable[[], bool] = lambda: False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def plan_conversion(url: str, wish: Wish, now: datetime, *, writing: bool = False) -> Conversion:
    """Look at the table and work out every step; writes nothing.

    Args:
        writing: it is to be carried out at once, so a server that only reads is refused first.

    Raises:
        NoSuchTable, BadOptions, NoSuchMethod: the question was wrong.
        CannotConvert: with everything that stands in the way.
        ConversionExists: one is under way.
    """
    with connect(url, application_name="evolve partition", autocommit=True) as connection:
        if writing:
            refuse_read_only(connection)
        running = find_conversion(connection, wish.table)
        if running is not None:
            raise ConversionExists(wish.table, running.state)
        return _planned(connection, wish, now)


def convert(
    url: str,
    conversion: Conversion,
    *,
    observer: Observer,
    patience: Patience | None = None,
    environment: Environment | None = None,
    politeness: Politeness | None = None,
    workers: int = 1,
) -> Record:
    """Carry out a plan up to the swap and the little that follows it. The old table stays, kept in step.

    Args:
        politeness: what the copying and comparing of rows waits for; None: nothing.
        workers: that copy rows, each over a connection of its own.

    Raises:
        ConversionBusy, ConversionExists: another one is under way.
        TableChanged, RowsDiffer, StepFailed, ConnectionLost, GaveUp, HeldForGood, Interrupted: what was done is kept;
            resume it.
    """
    with conversion_lock(url, conversion.table) as own:
        ensure_journal(own)
        record = open_conversion(own, conversion)
        return _Runner(
            url,
            own,
            record,
            observer,
            patience or Patience(),
            environment or Environment(),
            politeness,
            workers,
        ).run(("forward",))


def resume(
    url: str,
    table: QualifiedName,
    *,
    observer: Observer,
    patience: Patience | None = None,
    environment: Environment | None = None,
    politeness: Politeness | None = None,
    workers: int = 1,
) -> Record:
    """Go on where a conversion, its way back or its end stopped.

    Raises:
        NoConversion: none is under way; else as `convert`.
    """
    with conversion_lock(url, table) as own:
        record = _found(own, table)
        ensure_journal(own)  # an earlier version may have begun it
        tracks: tuple[Track, ...] = ("back", "abandon") if record.track == "back" else (record.track,)
        return _Runner(
            url,
            own,
            record,
            observer,
            patience or Patience(),
            environment or Environment(),
            politeness,
            workers,
        ).run(tracks)


def roll_back(
    url: str,
    table: QualifiedName,
    *,
    observer: Observer,
    patience: Patience | None = None,
    environment: Environment | None = None,
) -> Record:
    """Give a conversion up: before the swap the shadow goes; after it the old table, current to the last row, returns.

    Raises:
        NoConversion, CannotRollBack; else as `convert`.
    """
    with conversion_lock(url, table) as own:
        record = _found(own, table)
        if record.track == "finish":
            raise CannotRollBack(table)
        tracks: tuple[Track, ...] = ("abandon",)
        if record.state in ("swapped", "swapped back"):
            tracks = ("back", "abandon")  # of the way back some may be left after the swap
        return _Runner(url, own, record, observer, patience or Patience(), environment or Environment()).run(
            tracks
        )


def finish(
    url: str,
    table: QualifiedName,
    *,
    observer: Observer,
    patience: Patience | None = None,
    environment: Environment | None = None,
) -> Record:
    """Drop the old table: from here on there is no way back.

    Raises:
        NoConversion, NotSwapped; else as `convert`.
    """
    with conversion_lock(url, table) as own:
        record = _found(own, table)
        tracks: tuple[Track, ...] = ("finish",)
        if record.track == "back" and record.state == "swapped":
            tracks = ("forward", "finish")  # the way back was refused: what the swap left to do is done first
        elif record.track not in ("forward", "finish") or not record.complete("forward"):
            raise NotSwapped(table, record.conversion.command)
        return _Runner(url, own, record, observer, patience or Patience(), environment or Environment()).run(
            tracks
        )


def conversion_status(url: str, table: QualifiedName) -> Record | None:
    """The conversion under way, or the last one."""
    with connect(url, application_name="evolve partition", autocommit=True) as connection:
        return find_conversion(connection, table, ended=True)


def partitioner_for(table: QualifiedName, method: str, options: Options, info: TableInfo) -> Partitioner:
    """
    Raises:
        NoSuchMethod, BadOptions.
    """
    made = method_named(method).parse(options, info)
    if isinstance(made, Problems):
        raise BadOptions(table, method, made.found)
    return made


def sub_partitioner(table: QualifiedName, wanted: object, info: TableInfo) -> Partitioner | None:
    """How each partition is cut once more.

    Args:
        wanted: as the settings say it, with the method among its options; None where they say nothing.

    Raises:
        BadSub, NoSuchMethod, BadOptions.
    """
    if wanted is None:
        return None
    if not isinstance(wanted, Mapping) or not isinstance(wanted.get("method"), str):
        raise BadSub(table, "it is no table with a method")
    options = {str(name): value for name, value in wanted.items() if name != "method"}
    return partitioner_for(table, str(wanted["method"]), options, info)


def _found(own: Connection, table: QualifiedName) -> Record:
    record = find_conversion(own, table)
    if record is None:
        raise NoConversion(table)
    return record


def _planned(connection: Connection, wish: Wish, now: datetime) -> Conversion:
    inventory = read_inventory(connection, wish.table)
    in_the_way = before_parsing(inventory)
    if in_the_way:
        raise CannotConvert(wish.table.plain, in_the_way)
    partitioner = partitioner_for(wish.table, wish.method, wish.options, inventory.for_plugins())
    in_the_way = (
        *obstacles(inventory, partitioner, wish.unique, server_version(connection)),
        *missing_privileges(connection, inventory),
    )
    if in_the_way:
        raise CannotConvert(wish.table.plain, in_the_way)
    profile = read_profile(connection, wish.table, partitioner, _key_type(inventory, partitioner))
    size = read_size(connection, inventory.oid)
    sub = sub_partitioner(wish.table, wish.sub, inventory.for_plugins())
    conversion = plan(inventory, partitioner, profile, now, wish, size.heap + size.indexes, sub)
    in_the_way = (*_names_taken(connection, conversion), *_too_little_disk(connection, conversion))
    if in_the_way:
        raise CannotConvert(wish.table.plain, in_the_way)
    return conversion


def _key_type(inventory: Inventory, partitioner: Partitioner) -> str:
    column = inventory.column(partitioner.key[0])
    return column.type if column is not None else ""


def _names_taken(connection: Connection, conversion: Conversion) -> tuple[Obstacle, ...]:
    names = taken_names(conversion)
    twice = sorted({name for name in names if names.count(name) > 1})
    return (
        *(
            Obstacle(
                f'two things would be called "{name}" once names are cut after 63 bytes', "rename an index"
            )
            for name in twice
        ),
        *(
            Obstacle(
                f'there is a relation "{name}" already, and the conversion needs that name',
                "rename or drop it",
            )
            for name in existing_names(connection, conversion.table.schema, names)
        ),
    )


def _too_little_disk(connection: Connection, conversion: Conversion) -> tuple[Obstacle, ...]:
    free = free_bytes(connection)
    if free is None or free >= conversion.bytes_needed:
        return ()
    return (
        Obstacle(
            f"it needs about {conversion.bytes_needed / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free",
            "make room, or take the recipe that copies nothing: --recipe attach",
        ),
    )


class _AnotherFailed(Exception):
    """Of several workers; what happened is told by that one."""


@dataclass(slots=True)
class _Runner:
    """Carries out tracks of one conversion, step after step, retrying what only a lock kept from happening."""

    url: str
    own: Connection
    record: Record
    observer: Observer
    patience: Patience
    environment: Environment
    politeness: Politeness | None = None
    workers: int = 1
    waited: float = 0.0
    _brakes: Brakes = field(default_factory=Brakes)
    _worker: Worker | None = None
    _watch: BlockerWatch | None = None
    _telling: threading.Lock = field(default_factory=threading.Lock)  # one worker at a time
    _failed: threading.Event = field(default_factory=threading.Event)

    def run(self, tracks: tuple[Track, ...]) -> Record:
        # The worker's connection waits for what a killed runner may have left going on.
        worker = Worker(self.url, self.record)
        try:
            with (
                BlockerWatch(self.url) as watch,
                brakes_of(
                    self.url, self.record.conversion.inventory.oid, self.politeness, self.observer.says
                ) as brakes,
            ):
                watch.add(worker.pid)
                self._worker, self._watch, self._brakes = worker, watch, brakes
                for track in tracks:
                    self._run(track)
        finally:
            worker.close()
        return self._again()

    def _run(self, track: Track) -> None:
        steps = self.record.conversion.steps(track)
        take_track(self.own, self.record, track)
        self.observer.takes(track, steps, self.record.done(track))
        first = self.record.done(track)
        if track == "abandon" and not self.record.done("forward"):
            # Nothing was made: whatever bears the names that would have been used is somebody else's.
            first = len(steps) - 1
        for number in range(first, len(steps)):
            step = steps[number]
            self._stop_if_asked()
            self.observer.begins(track, step, number, len(steps))
            started = self.environment.clock()
            self.waited = 0.0
            self._at_work.begin(track, number)
            self._step(step, track, number)
            self.observer.ends(track, step, number, len(steps), self.environment.clock() - started)

    def _step(self, step: Step, track: Track, number: int) -> None:
        match step:
            case Statements():
                self._statements(step, track, number)
            case BuildIndex():
                self._retried(
                    step, lambda _: self._at_work.build_index(step, track, number, self.patience.budget)
                )
            case Copy():
                self._copy(step, track, number)
            case Settle():
                self._settle(step)
                self._at_work.end(track, number)
            case AwaitSnapshots():
                self._await_snapshots(step)
                self._at_work.end(track, number)
            case Verify():
                self._verify(step, track, number)
            case _:
                assert_never(step)

    def _statements(self, step: Statements, track: Track, number: int) -> None:
        for _ in range(SWAP_ATTEMPTS):
            try:
                self._retried(
                    step, lambda patient: self._at_work.statements(step, track, number, patient=patient)
                )
            except StraysFound:
                settle = next(s for s in self.record.conversion.forward if isinstance(s, Settle))
                self.observer.waits(step, "rows came in that fit no partition; they get one first", 0.0)
                self._settle(settle)
                # Transactions that are older than this would miss the rows that were moved.
                self._await_snapshots(
                    next(s for s in self.record.conversion.forward if isinstance(s, AwaitSnapshots))
                )
            else:
                return
        raise GaveUp(self.record.conversion.table, step.title, self.waited, "rows that fit no partition")

    def _copy(self, step: Copy, track: Track, number: int) -> None:
        pieces = self.workers * PIECES if self.workers > 1 else 1
        ranges, total = self._retried(step, lambda _: self._at_work.cut(step, track, number, pieces))
        left = deque(ranges)
        meter = Meter(total, self.environment.clock)
        rows = self.record.steps_rows(track, number)

        def copied(batch: Batch, size: int) -> None:
            nonlocal rows
            with self._telling:
                meter.committed(batch.rows)
                rows += batch.rows
                self.observer.progresses(step, rows, total, meter.rate(), size)

        def work(worker: Worker) -> None:
            controller = Controller(target=BATCH_SECONDS, first=FIRST_BATCH)
            throttle = self._brakes.worker()
            while True:
                try:
                    of = left.popleft()
                except IndexError:
                    return
                self._copy_range(worker, step, track, number, of, controller, throttle, copied)

        self._together(work, min(self.workers, len(ranges)))
        self._at_work.end(track, number)

    def _copy_range(
        self,
        worker: Worker,
        step: Copy,
        track: Track,
        number: int,
        of: int,
        controller: Controller,
        throttle: Throttle,
        copied: Callable[[Batch, int], None],
    ) -> None:
        clock = self.environment.clock
        while True:
            self._hold(step, throttle)
            began = clock()
            batch = self._retried(
                step,
                lambda _: worker.copy_batch(step, track, number, of, controller.size),
                failed=controller.contended,
            )
            seconds = clock() - began
            controller.committed(batch.rows, seconds)
            throttle.committed(batch.rows, seconds)
            copied(batch, controller.size)
            if batch.last is None:
                return

    def _together(self, work: Callable[[Worker], None], count: int) -> None:
        """Do `work` with so many workers: this thread's, and others beside it. The first that fails ends them all."""
        if count <= 1:
            work(self._at_work)
            return
        errors: list[BaseException] = []

        def guarded(worker: Worker) -> None:
            try:
                work(worker)
            except BaseException as error:  # noqa: BLE001 - raised again where all have ended
                errors.append(error)
                self._failed.set()

        with ExitStack() as stack:
            stack.callback(self._failed.clear)
            threads: list[threading.Thread] = []
            for place in range(1, count):
                helper = Worker(self.url, self.record, helps=True)
                stack.callback(helper.close)
                if self._watch is not None:
                    self._watch.add(helper.pid)
                threads.append(
                    threading.Thread(target=guarded, args=(helper,), name=f"worker {place + 1}", daemon=True)
                )
            for thread in threads:
                thread.start()
            guarded(self._at_work)
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]

    def _verify(self, step: Verify, track: Track, number: int) -> None:
        meter = Meter(None, self.environment.clock)
        total = sum(s.rows for s in self._again().steps if s.track == track and s.name == "copy")
        rows = self.record.steps_rows(track, number)
        throttle = self._brakes.worker()
        while True:
            self._hold(step, throttle)
            began = self.environment.clock()
            batch = self._retried(
                step, lambda _: self._at_work.verify_range(step, track, number, VERIFY_ROWS)
            )
            throttle.committed(0, self.environment.clock() - began)
            meter.committed(batch.rows)
            rows += batch.rows
            self.observer.progresses(step, rows, max(total, rows), meter.rate(), VERIFY_ROWS)
            if batch.last is None:
                break
        self._at_work.end(track, number)

    def _settle(self, step: Settle) -> None:
        conversion = self.record.conversion
        options = conversion.partitioner_options()
        info = conversion.inventory.for_plugins()
        partitioner = partitioner_for(conversion.table, conversion.method, options, info)
        type_ = _key_type(conversion.inventory, partitioner)
        for _ in range(SWAP_ATTEMPTS):
            found = self._at_work.stray_range(step, partitioner.key[0])
            if found is None:
                return
            low, high = (read_value(text, type_) for text in found)
            there = read_partitioned(self.own, conversion.names.shadow).partitions
            sub = sub_partitioner(
                conversion.table, conversion.sub_options(), conversion.inventory.for_plugins()
            )
            statements = settling(
                conversion, partitioner, Profile(low, high), self.environment.now(), there, sub
            )
            self._retried(step, lambda _, s=statements: self._at_work.settle(step, s))  # type: ignore[misc]
        raise GaveUp(conversion.table, step.title, self.waited, "rows that keep coming and fit no partition")

    def _await_snapshots(self, step: AwaitSnapshots) -> None:
        conversion = self.record.conversion
        waiting = self._retried(step, lambda _: self._at_work.old_snapshots(step))
        told = 0.0
        while waiting:
            self._stop_if_asked()
            if self.waited > self.patience.budget:
                who = "; ".join(snapshot.what for snapshot in waiting)
                raise GaveUp(conversion.table, step.title, self.waited, who, conversion.command)
            if self.waited >= told:
                self.observer.waits(step, f"for {waiting[0].what}", 0.2)
                told += 5.0
            self.environment.sleep(0.2)
            self.waited += 0.2
            waiting = self._at_work.still_there(waiting)

    def _retried(
        self, step: Step, attempt: Callable[[bool], T], *, failed: Callable[[], None] = lambda: None
    ) -> T:
        """Try until the lock is had; give up when all waiting for this step exceeds the budget."""
        tries = 0
        autovacuum = False
        started = self.environment.clock()
        while True:
            tries += 1
            try:
                return attempt(autovacuum)
            except LockNotAcquired as error:
                failed()
                seen = self._watch.take() if self._watch is not None else []
                autovacuum = any(blocker.kind == "autovacuum worker" for blocker in seen)
                who = "; ".join(str(blocker) for blocker in seen)
                delay = self.patience.delay(tries, self.environment.chance())
                waited = self.environment.clock() - started
                if waited + delay > self.patience.budget:
                    conversion = self.record.conversion
                    raise GaveUp(conversion.table, step.title, waited, who, conversion.command) from error
                self._stop_if_asked()
                with self._telling:
                    self.observer.waits(step, f"no lock yet{f', held by {who}' if who else ''}", delay)
                self.environment.sleep(delay)

    def _hold(self, step: Step, throttle: Throttle) -> None:
        """Between two batches: wait as long as a limit or a sensor asks for it."""
        self._stop_if_asked()
        while (hold := throttle.hold()) is not None:
            critical = self._brakes.critical
            if critical is not None:
                conversion = self.record.conversion
                raise HeldForGood(conversion.table, critical, conversion.command)
            with self._telling:
                self.observer.holds(step, hold.reason)
            self.environment.sleep(min(hold.seconds, LOOK))
            self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self._failed.is_set():
            raise _AnotherFailed
        if self.environment.stop():
            raise Interrupted(self.record.conversion.table, self.record.conversion.command)

    def _again(self) -> Record:
        found = find_conversion(self.own, self.record.conversion.table, ended=True)
        return found if found is not None else self.record

    @property
    def _at_work(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("run() opens the worker")
        return self._worker
