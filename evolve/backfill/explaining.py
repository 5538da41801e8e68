"""Why a run is no faster just now: causes, the strongest first, from its journal and from a look at the server."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.backfill.controller import SMALLEST
from evolve.backfill.ports import Want
from evolve.backfill.record import RunRecord
from evolve.backfill.settings import OFF, Settings
from evolve.backfill.status import ENDED, State
from evolve.counted import counted
from evolve.values import dataclass

MUCH = 1.5  # times the target: a commit that takes so long is worth a word
NEAR = 0.9  # of a limit


@dataclass(frozen=True, slots=True)
class Waits:
    """How the session of one worker was seen during the look.

    Args:
        pid: of it on the server.
        events: (what it waited for, in how many of the looks), the most frequent first.
        blockers: sessions that keep it waiting for a lock, in words.
    """

    pid: int
    events: tuple[tuple[str, int], ...]
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look of some seconds has seen.

    Args:
        looks: at the sessions of the workers.
        rate: keys walked per second.
        written: rows written per second.
        waits: of each worker.
        older: transactions that must end before the run begins, in words.
        lag: bytes of WAL that the slowest standby has yet to replay; None where that cannot be seen.
        retries: what was tried again in the last minute.
        held: what a sensor or a window holds the whole run for, by its log.
    """

    looks: int
    rate: float
    written: float
    waits: tuple[Waits, ...] = ()
    older: tuple[str, ...] = ()
    lag: int | None = None
    retries: tuple[str, ...] = ()
    held: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """
    Args:
        kind: one word, for programs.
        fix: the command that changes it, if one does.
    """

    kind: str
    text: str
    fix: str | None = None


def causes(record: RunRecord, settings: Settings, seen: Seen) -> list[Cause]:
    """
    Args:
        settings: that the run goes by; none is left open.
    """
    rest = _rest(record)
    if rest is not None:
        return [rest]
    return list(_at_work(record, settings, seen))


def _rest(record: RunRecord) -> Cause | None:
    """Why nobody works on it."""
    name = record.name
    if record.state in ENDED and not record.held:
        return Cause("ended", f"it is {record.state.value}")
    if record.waits_for_approval:
        reason = "" if record.approval is None else f": {record.approval.reason}"
        return Cause(
            "approval", f"it waits for another person's approval{reason}", f"evolve backfill approve {name}"
        )
    again = f"evolve backfill {'undo' if record.state is State.UNDOING else 'resume'} {name}"
    if record.state is State.PAUSED:
        return Cause("paused", "it is paused", again)
    if record.state is State.FAILED:
        return Cause("failed", f"it has failed: {record.error or 'see its events'}", again)
    if not record.held:
        return Cause("nobody", "nobody works on it: its process is gone", again)
    return None


def _at_work(record: RunRecord, settings: Settings, seen: Seen) -> Iterator[Cause]:
    name = record.name
    if record.want is not Want.RUN:
        yield Cause("asked", f"it is {record.shown}: a worker ends its batch")
    if record.state is State.FENCING:
        for older in seen.older:
            yield Cause("fence", f"it waits for a transaction older than itself: {older}")
    if record.state is State.VERIFYING:
        yield Cause("verifying", "every row is written; it looks at each of them once more")
    brake = record.brake
    if brake is not None:
        left = "" if brake.left is None else f", for another {brake.left:.0f} s"
        yield Cause("throttle", f"{brake.shown}{left}", f"evolve backfill throttle {name} --off")
    holds = list(_holds(record))
    yield from holds
    if seen.held is not None and not holds:
        yield Cause("hold", f"it is held: {seen.held}")
    for wait in seen.waits:
        for blocker in wait.blockers:
            yield Cause("lock", f"worker {wait.pid} waits for a lock that another session holds: {blocker}")
    yield from _limits(record, settings, seen)
    for wait in seen.waits:
        for event, looks in wait.events:
            if looks * 2 >= seen.looks:
                yield Cause(
                    "server", f"worker {wait.pid} waited for {event} in {looks} of {seen.looks} looks"
                )
    for retry in seen.retries:
        yield Cause("retry", f"tried again in the last minute: {retry}")
    if seen.lag and settings.lag not in (None, OFF) and seen.lag > NEAR * (settings.lag or 0):
        yield Cause("lag", f"a standby has {seen.lag / 1e6:.1f} MB of WAL to replay", _set(name, "lag=…"))
    if record.rejects:
        yield Cause(
            "rejects",
            f"{counted(record.rejects, 'row')} could not be written; each is tried alone, which takes time",
            f"evolve backfill rejects {name}",
        )


def _holds(record: RunRecord) -> Iterator[Cause]:
    holds: dict[str, list[int]] = {}
    for busy in record.doing:
        hold = busy.doing.hold
        if hold is not None and (record.brake is None or hold != record.brake.shown):
            holds.setdefault(hold, []).append(busy.pid)
    for hold, pids in holds.items():
        who = ", ".join(map(str, pids))
        yield Cause(
            "hold", f"{'worker' if len(pids) == 1 else 'workers'} {who} waited, when last heard: {hold}"
        )


def _limits(record: RunRecord, settings: Settings, seen: Seen) -> Iterator[Cause]:
    name, target = record.name, settings.target or 0
    slowest = max((busy.doing.milliseconds or 0 for busy in record.doing), default=0)
    smallest = min((busy.doing.size for busy in record.doing if busy.doing.size), default=0)
    if slowest > MUCH * target:
        yield Cause(
            "batches",
            f"a commit takes {slowest:g} ms, wanted are {target:g} ms; the next has {counted(smallest, 'row')}"
            + (": smaller ones cost more than they spare" if smallest <= SMALLEST else ""),
            _set(name, f"target={2 * target:g}ms"),
        )
    if settings.duty is not None and settings.duty < 1:
        yield Cause(
            "duty", f"it works {settings.duty:.0%} of the time: duty={settings.duty:g}", _set(name, "duty=1")
        )
    if settings.rows not in (None, OFF) and seen.written > NEAR * (settings.rows or 0):
        yield Cause("rows", f"it writes at most {settings.rows:,g} rows/s", _set(name, "rows=off"))
    if settings.wal not in (None, OFF):
        yield Cause(
            "wal",
            f"it writes at most {(settings.wal or 0) / 1e6:g} MB of WAL per second",
            _set(name, "wal=off"),
        )
    if smallest and settings.batch is not None and smallest >= settings.batch and slowest < target:
        yield Cause(
            "batch",
            f"a batch has {counted(int(settings.batch), 'row')} at most, though a commit takes {slowest:g} ms"
            f" of {target:g} ms",
            _set(name, f"batch={2 * settings.batch:g}"),
        )


def _set(name: str, word: str) -> str:
    return f"evolve backfill set {name} {word}"
