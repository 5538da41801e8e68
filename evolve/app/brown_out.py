"""Hide what a change is about to take away, watch whether anybody misses it, and give it back.

Whoever is missed by it gets it back at once. Should this process die, a guard that it has started gives it back; should
the machine die, `evolve brown-out CHANGE --end` does, from anywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from evolve.app.backfill_work import actor as default_actor
from evolve.app.places_to_go import places_to_go
from evolve.errors import EvolveError, Refused
from evolve.plan.wording import places_text
from evolve.postgres import brown_out, evidence
from evolve.postgres.brown_out import BrownOutUnderWay, Untouched
from evolve.postgres.connect import Connection
from evolve.postgres.registry import NoRegistry, denials
from evolve.postgres.writable import refuse_read_only
from evolve.revisions.project import Project

_EVERY = 1.0  # seconds between two looks
_CHECK_TIMEOUT = 30.0  # seconds that --check may take

_CUT_SHORT = "it ended before its time"

RELEASED = "released\n"  # what a guard is told that need not act any more

How = Literal["clean", "denied", "ended"]


class GuardFailed(Refused):
    def __init__(self) -> None:
        super().__init__(
            "the guard that gives privileges back, should this process die, did not start",
            why="without it a brown-out could outlive who began it",
            fix="check that processes can be started here, then run it again; nothing was hidden",
        )


class GuardEnded(Refused):
    def __init__(self) -> None:
        super().__init__(
            "the guard that gives privileges back, should this process die, has ended before it",
            why="without it a brown-out could outlive who began it",
            fix="run it again; everything is given back",
        )


class LeftToGuard(Refused):
    def __init__(self, identifier: str, reason: str) -> None:
        super().__init__(
            f"what is hidden cannot be given back from here: {reason}",
            why="a guard goes on trying for ten minutes, in a process of its own",
            fix=f"see to it that it has: evolve brown-out {identifier} --end",
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done.

    Args:
        statements: as they would be sent.
        untouched: sessions that would notice nothing.
        tells: applications would tell of what they were denied: see `evolve.client`.
    """

    change: str
    places: str
    statements: tuple[str, ...]
    untouched: tuple[Untouched, ...]
    tells: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Args:
        how: "clean": the time passed and nobody complained; "denied": somebody did; "ended": it was interrupted, or
            given back from elsewhere.
        seconds: how long it was hidden.
        complaints: who missed it, in words.
    """

    change: str
    places: str
    how: How
    seconds: float
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watching:
    """Time, and a look at an application's health; tests have their own."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    ticks: Callable[[float], None] = field(default=lambda _left: None)


def look(project: Project, url: str, identifier: str) -> Planned:
    """What a brown-out of the change would do; changes nothing.

    Raises:
        NoSuchChange, BadManifest, CannotConnect, StrangeRevisions; NothingToGo, NotApplied.
        BrownOutUnderWay.
        NobodyToHideFrom, GrantedByAnother: it would not keep anybody out, or could not give back what it took.
    """
    with evidence.looking(url, "evolve brown-out") as connection:
        refuse_read_only(connection)
        places = places_to_go(project, connection, identifier)
        for other in brown_out.hidden(connection):  # who is kept out already is no longer to be seen
            raise BrownOutUnderWay(identifier, other.change, other.actor)
        return Planned(
            identifier,
            places_text(places),
            tuple(brown_out.statements(connection, places)),
            tuple(brown_out.untouched(connection, places)),
            _moment_if_told(connection) is not None,
        )


def run(
    project: Project,
    url: str,
    identifier: str,
    seconds: float,
    *,
    check: str | None = None,
    actor: str | None = None,
    watching: Watching | None = None,
) -> Outcome:
    """Hide what the change takes away for `seconds`, and give it back; sooner where anybody is denied anything.

    Args:
        check: a shell command, run every second; where it ends in another status than 0 somebody misses it.

    Raises:
        As `look`: nothing was hidden.
        NotGivenBack: roles were changed meanwhile; it says what is missing.
    """
    watching = watching or Watching()
    who = actor or default_actor()
    with evidence.looking(url, "evolve brown-out") as connection:
        refuse_read_only(connection)
        places = places_to_go(project, connection, identifier)
        guard = _start_guard(url, identifier)
        began = watching.clock()
        try:
            evidence.begin_brown_out(connection, identifier, places, who, seconds)
        except BaseException:
            _release(guard)  # nothing of ours is hidden; what another has hidden is not ours to give back
            raise
        try:
            since = _moment_if_told(connection)
            complaints = _watch(connection, identifier, seconds, since, check, watching, guard)
        except BaseException:
            _give_back(connection, guard, url, identifier, "ended", _CUT_SHORT, who)
            raise
        how: How = "denied" if complaints else "clean"
        if not _give_back(connection, guard, url, identifier, how, "; ".join(complaints), who):
            how = "ended"
        lasted = watching.clock() - began
    return Outcome(identifier, places_text(places), how, lasted, tuple(complaints))


def end(url: str, identifier: str, *, as_it_is: bool = False, actor: str | None = None) -> bool:
    """Give back what a brown-out of that change has hidden, whoever began it; False where nothing is.

    Raises:
        NotGivenBack: as it cannot be given back whole; nothing was changed.
    """
    return _end(url, identifier, "ended", _CUT_SHORT, actor or default_actor(), as_it_is=as_it_is)


def _end(url: str, identifier: str, how: How, note: str, actor: str, *, as_it_is: bool = False) -> bool:
    with evidence.looking(url, "evolve brown-out") as connection:
        refuse_read_only(connection)
        return evidence.end_brown_out(connection, identifier, how, note, actor, as_it_is=as_it_is)


def _give_back(
    connection: Connection,
    guard: subprocess.Popen[bytes],
    url: str,
    identifier: str,
    how: How,
    note: str,
    actor: str,
) -> bool:
    """As `_end`, by this session if it is still there, or by another one; the guard goes home, or goes on trying.

    Raises:
        LeftToGuard: neither can.
    """
    try:
        try:
            given = evidence.end_brown_out(connection, identifier, how, note, actor)
        except EvolveError:
            raise
        except Exception:  # noqa: BLE001 - of the driver: the server has ended this session
            given = _end(url, identifier, how, note, actor)
    except EvolveError as error:
        _leave(guard)
        raise LeftToGuard(identifier, str(error)) from error
    _release(guard)
    return given


# -- watching -----------------------------------------------------------------------------------------------
def _watch(
    connection: Connection,
    identifier: str,
    seconds: float,
    since: datetime | None,
    check: str | None,
    watching: Watching,
    guard: subprocess.Popen[bytes],
) -> list[str]:
    """Complaints, as soon as there is one; none where the time has passed, or somebody else has ended it."""
    ending = watching.clock() + seconds
    while (left := ending - watching.clock()) > 0:
        complaints = [*_denied(connection, since), *_unwell(check)]
        if complaints or not brown_out.hidden(connection, identifier):
            return complaints
        if guard.poll() is not None:
            raise GuardEnded
        watching.ticks(left)
        watching.sleep(min(_EVERY, left))
    return [*_denied(connection, since), *_unwell(check)]


def _denied(connection: Connection, since: datetime | None) -> list[str]:
    """What applications tell of themselves: who was denied what, and how often."""
    if since is None:
        return []
    return [
        f"{each.application} {each.version} was refused {each.count} times: {each.message}"
        for each in denials(connection, since)
        if each.sqlstate == "42501"
    ]


def _unwell(check: str | None) -> list[str]:
    if check is None:
        return []
    try:
        done = subprocess.run(check, shell=True, capture_output=True, text=True, timeout=_CHECK_TIMEOUT)  # noqa: S602 - the operator's
    except subprocess.TimeoutExpired:
        return [f"--check took longer than {_CHECK_TIMEOUT:.0f} s"]
    if done.returncode == 0:
        return []
    said = (done.stderr or done.stdout).strip().splitlines()
    return [f"--check ended in status {done.returncode}" + (f": {said[-1]}" if said else "")]


def _moment_if_told(connection: Connection) -> datetime | None:
    """Now, by the server's clock; None where no application can tell of what it was denied."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    moment = row[0] if row is not None else None
    if not isinstance(moment, datetime):
        return None
    try:
        denials(connection, moment)
    except NoRegistry:
        return None
    return moment


# -- the guard ----------------------------------------------------------------------------------------------
def _start_guard(url: str, identifier: str) -> subprocess.Popen[bytes]:
    """A process of its own that outlives this one, and gives back what is hidden when this one is gone.

    It is told the URL by its standard input, which is no place that other users see.
    """
    guard = subprocess.Popen(
        [sys.executable, "-m", "evolve.app.brown_out_guard"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us
        env=os.environ,
    )
    try:
        assert guard.stdin is not None and guard.stdout is not None  # noqa: PT018, S101 - pipes, as asked for
        guard.stdin.write(f"{url}\n{identifier}\n".encode())
        guard.stdin.flush()
        ready = guard.stdout.readline()
    except OSError as error:
        raise GuardFailed from error
    if ready.strip() != b"ready":
        raise GuardFailed
    return guard


def _release(guard: subprocess.Popen[bytes]) -> None:
    """Nothing is hidden, or it has been given back: the guard need not."""
    if guard.stdin is not None:
        with suppress(OSError):  # it is gone already
            guard.stdin.write(RELEASED.encode())
            guard.stdin.flush()
    _leave(guard)
    guard.wait(timeout=60)
    if guard.stdout is not None:
        guard.stdout.close()


def _leave(guard: subprocess.Popen[bytes]) -> None:
    """To the guard it is as if this process had ended."""
    if guard.stdin is not None:
        with suppress(OSError):
            guard.stdin.close()


def guarded(url: str, identifier: str) -> None:
    """What the guard does once its parent is gone, in whatever way: try for ten minutes."""
    ending = time.monotonic() + 600
    while time.monotonic() < ending:
        try:
            end(url, identifier)
        except EvolveError:
            time.sleep(1)  # the server may be away as well
        else:
            return
