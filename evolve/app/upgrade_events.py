"""What an upgrade tells its observer, as events: for logs, hooks and traces."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from evolve.app.upgrade import Direction, Done, Observer, Outcome
from evolve.errors import EvolveError
from evolve.events import Events
from evolve.postgres.blockers import Blocker
from evolve.revisions.run import Pending, RevisionFailed


class Announcer(Observer):
    """Emits events, and passes everything on to `narrator`. `with` begins and ends the whole run."""

    def __init__(self, events: Events, direction: Direction, target: str, narrator: Observer) -> None:
        self._events = events
        self._direction = direction
        self._target = target
        self._narrator = narrator
        self._outcome: Outcome | None = None

    def __enter__(self) -> Announcer:
        self._events.emit(f"{self._direction}.begin", target=self._target)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._events.emit(f"{self._direction}.fail", **_told(error))
        elif self._outcome is not None:
            done = [each.revision for each in self._outcome.done]
            self._events.emit(f"{self._direction}.end", done=done, heads=list(self._outcome.heads))

    def waiting_for_runner(self, holder: str) -> None:
        self._narrator.waiting_for_runner(holder)
        self._events.emit("runner.wait", holder=holder)

    def opens(self, direction: Direction, steps: Sequence[Pending]) -> None:
        self._narrator.opens(direction, steps)
        self._events.emit(f"{direction}.plan", revisions=[step.revision for step in steps])

    def not_recorded(self, reason: str, fix: str) -> None:
        self._narrator.not_recorded(reason, fix)
        self._events.emit("record.denied", reason=reason)

    def begins(self, step: Pending, number: int, total: int) -> None:
        self._narrator.begins(step, number, total)
        self._events.emit(
            "revision.begin", revision=step.revision, message=step.message, number=number, total=total
        )

    def goes_on(self, step: Pending, done: Sequence[str]) -> None:
        self._narrator.goes_on(step, done)
        self._events.emit("revision.resume", revision=step.revision, done=list(done))

    def takes_back(self, revision: str, statement: str) -> None:
        self._narrator.takes_back(revision, statement)
        self._events.emit("revision.take-back", revision=revision, statement=" ".join(statement.split()))

    def ends_downgrade(self, revision: str) -> None:
        self._narrator.ends_downgrade(revision)
        self._events.emit("revision.end-downgrade", revision=revision)

    def waits(self, reason: str) -> None:
        self._narrator.waits(reason)
        self._events.emit("revision.wait", reason=reason)

    def retries(self, failure: RevisionFailed, blockers: list[Blocker], delay: float) -> None:
        self._narrator.retries(failure, blockers, delay)
        self._events.emit(
            "revision.retry",
            revision=failure.revision,
            sqlstate=failure.sqlstate,
            reason=failure.reason,
            delay=round(delay, 3),
            blockers=[session(each) for each in blockers],
        )

    def session_ended(self, blocker: Blocker) -> None:
        self._narrator.session_ended(blocker)
        self._events.emit("session.ended", **session(blocker))

    def ends(self, done: Done) -> None:
        self._narrator.ends(done)
        self._events.emit(
            "revision.end",
            revision=done.revision,
            seconds=round(done.seconds, 3),
            retries=done.retries,
            blockers=[session(each) for each in done.blockers],
        )

    def fails(self, step: Pending, error: BaseException) -> None:
        self._narrator.fails(step, error)
        self._events.emit("revision.fail", revision=step.revision, **_told(error))

    def closes(self, outcome: Outcome) -> None:
        self._narrator.closes(outcome)
        self._outcome = outcome


def session(blocker: Blocker) -> dict[str, object]:
    """A session as JSON holds it; `age` in seconds."""
    return {
        "pid": blocker.pid,
        "user": blocker.user,
        "application": blocker.application,
        "state": blocker.state,
        "age": round(blocker.age.total_seconds(), 3),
        "query": blocker.query,
        "ended": blocker.ended,
    }


def _told(error: BaseException) -> dict[str, object]:
    if isinstance(error, EvolveError):
        return {"error": error.what, "why": error.why, "fix": error.fix}
    return {"error": f"{type(error).__name__}: {error}".rstrip(": ")}
