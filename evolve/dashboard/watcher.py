"""Looks at the database for all viewers at once: at its runs each second, at the rest as seldom as that costs time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from types import MappingProxyType

from evolve.app.change_status import Status
from evolve.app.follow_backfills import BackfillFollower, Followed
from evolve.app.partitions_ahead import Ahead
from evolve.dashboard.plot import SECONDS, Track
from evolve.errors import EvolveError
from evolve.redaction import shown
from evolve.revisions.project import NoProject

PULSE = 1.0  # seconds between two looks at the runs
SHARE = 4  # a look is followed by a wait so many times as long, at least: where there are many runs it takes a while
REST = 5.0  # seconds between them while no run is at work and nobody looks
AGAIN = 5.0  # seconds until a server that is away is tried again
SURVEY = 15.0  # seconds between two looks at changes and partitions, at least
COSTS = 100  # such a look is followed by a wait so many times as long: gates count rows
IDLE = 60.0  # seconds after which a viewer who asks for nothing has gone; then nobody looks at those


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something cannot be shown.

    Args:
        mild: nothing is wrong; there is nothing to show.
    """

    what: str
    why: str | None = None
    fix: str | None = None
    mild: bool = False

    @staticmethod
    def of(error: Exception) -> Trouble:
        if isinstance(error, EvolveError):
            return Trouble(error.what, error.why, error.fix, mild=isinstance(error, NoProject))
        return Trouble(f"it could not be read: {type(error).__name__}: {shown(str(error))}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known just now.

    Args:
        version: another with each look.
        at: of the last look at the runs.
        runs: None before the first look; those of the last look that worked.
        tracks: by the number of a run.
        changes, partitions: None before they were looked at, or where `…_trouble` says why not.
    """

    version: int = 0
    at: datetime | None = None
    runs: tuple[Followed, ...] | None = None
    runs_trouble: Trouble | None = None
    tracks: Mapping[int, Track] = field(default_factory=lambda: MappingProxyType({}))
    changes: tuple[Status, ...] | None = None
    changes_trouble: Trouble | None = None
    partitions: tuple[Ahead, ...] | None = None
    partitions_trouble: Trouble | None = None
    surveyed: datetime | None = None

    def run(self, name: str) -> Followed | None:
        return next((each for each in self.runs or () if each.view.record.name == name), None)


@dataclass(frozen=True, slots=True)
class Sources:
    """What is looked at; each may raise, and is then shown as trouble.

    Args:
        follow: opens the way to the runs; called again once it was lost.
    """

    follow: Callable[[], BackfillFollower]
    changes: Callable[[], tuple[Status, ...]]
    partitions: Callable[[], tuple[Ahead, ...]]


class Watcher:
    """Two threads, from `start` to `stop`; `seen` is for any thread."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lock = Lock()
        self._seen = Seen()
        self._stopped = Event()
        self._wanted = Event()  # somebody has come to look at changes and partitions
        self._roused = Event()  # and at runs
        self._viewed = time.monotonic()
        self._tracks: dict[int, deque[tuple[float, int]]] = {}
        self._tell: Callable[[], None] = lambda: None
        self._threads = [
            Thread(target=self._pulse, name="dashboard runs", daemon=True),
            Thread(target=self._survey, name="dashboard changes", daemon=True),
        ]

    @property
    def seen(self) -> Seen:
        return self._seen

    @property
    def _alone(self) -> bool:
        return not self._stopped.is_set() and time.monotonic() - self._viewed > IDLE

    def on_look(self, tell: Callable[[], None]) -> None:
        """Call `tell` after each look, in the thread that looked."""
        self._tell = tell

    def viewed(self) -> None:
        """Somebody looks: go on to do so."""
        self._viewed = time.monotonic()
        self._wanted.set()
        self._roused.set()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """A look that is under way is not waited for longer than a moment."""
        self._stopped.set()
        self._wanted.set()
        self._roused.set()
        for thread in self._threads:
            thread.join(AGAIN)

    def _put(self, **values: object) -> None:
        with self._lock:
            self._seen = replace(self._seen, version=self._seen.version + 1, **values)  # type: ignore[arg-type]
        self._tell()

    def _pulse(self) -> None:
        follower: BackfillFollower | None = None
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                if follower is None:
                    follower = self._sources.follow()
                runs = follower.look()
            except Exception as error:  # noqa: BLE001  # whatever it is, viewers are told and the next look may work
                if follower is not None:
                    follower.close()
                    follower = None
                self._put(runs_trouble=Trouble.of(error))
                self._stopped.wait(AGAIN)
                continue
            self._put(at=datetime.now(UTC), runs=runs, runs_trouble=None, tracks=self._tracked(runs))
            took = time.monotonic() - began
            self._stopped.wait(max(PULSE - took, SHARE * took))
            if self._alone and not any(each.view.record.held for each in runs):
                self._roused.clear()
                if self._alone:  # nobody came between the two, nor the end
                    self._roused.wait(REST - PULSE)
        if follower is not None:
            follower.close()

    def _tracked(self, runs: tuple[Followed, ...]) -> Mapping[int, Track]:
        """With what each run has walked by now; of those at rest, until they came to rest."""
        for each in runs:
            record = each.view.record
            if record.held:
                track = self._tracks.setdefault(record.run_id, deque(maxlen=int(SECONDS / PULSE)))
                track.append((each.at, record.scanned))
        there = {each.view.record.run_id for each in runs}
        self._tracks = {run: track for run, track in self._tracks.items() if run in there}
        return MappingProxyType({run: tuple(track) for run, track in self._tracks.items()})

    def _survey(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            changes, changes_trouble = _tried(self._sources.changes)
            partitions, partitions_trouble = _tried(self._sources.partitions)
            self._put(
                changes=changes,
                changes_trouble=changes_trouble,
                partitions=partitions,
                partitions_trouble=partitions_trouble,
                surveyed=datetime.now(UTC),
            )
            self._stopped.wait(max(SURVEY, COSTS * (time.monotonic() - began)))
            while self._alone:
                self._wanted.clear()
                if self._alone:  # as above
                    self._wanted.wait()


def _tried(look: Callable[[], tuple[object, ...]]) -> tuple[tuple[object, ...] | None, Trouble | None]:
    try:
        return look(), None
    except Exception as error:  # noqa: BLE001  # as above
        return None, Trouble.of(error)
