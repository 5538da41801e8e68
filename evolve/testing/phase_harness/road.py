"""Goes through a scene by the commands that an operator would type, while clients of both versions are at work."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from evolve.postgres.connect import connect
from evolve.sql.schema import Schema
from evolve.testing.phase_harness.client import Moment
from evolve.testing.phase_harness.commands import Commands, Death, Ended
from evolve.testing.phase_harness.crowd import Crowd
from evolve.testing.phase_harness.failure import Broken, Failure
from evolve.testing.phase_harness.project import FIRST, sqlalchemy_url, write_project
from evolve.testing.phase_harness.scene import Scene
from evolve.testing.phase_harness.standing import Standing
from evolve.testing.scratch_project import ScratchProject

LOCK_TIMEOUT = 0.5  # seconds that a statement of evolve waits for a lock, others behind it
_PATIENCE = 20.0  # seconds to wait for a gate that opens by itself
_UNMOVED = 5  # commands that end well and change nothing, one after another
_PROBE = re.compile(r"evolve (brown-out|tripwire) \S+$")  # has met somebody, and is to be tried again
_FIX = re.compile(r"\b(?:run|then): (evolve [^;(\n]+)")


class Road:
    """
    Args:
        url: libpq's, of an empty database that nobody else uses.
        directory: an empty folder for the Alembic project.
        each: clients of each version.

    Attributes:
        story: the commands so far, each with how it ended.
    """

    def __init__(self, scene: Scene, url: str, directory: Path, *, each: int = 4) -> None:
        self.scene = scene
        self.url = url
        self.directory = directory / "project"
        self.crowd = Crowd(sqlalchemy_url(url), scene, each)
        self.story: list[str] = []
        self._commands = Commands(self.directory)
        self._filled = False  # since the revisions before the backfill were applied last
        self._failures: list[Failure] = []
        self._standing: Standing | None = None
        self._known = False  # `_standing` is of now
        self._unmoved = 0

    def __enter__(self) -> Self:
        """The schema is there, and old code at work."""
        write_project(self.directory, self.url, self.scene.schema)
        self._commands.__enter__()
        try:
            self._ok(self.run("upgrade"))
            if self.scene.registered:
                self._ok(self.run("registry", "install"))
            self.beginning = self.schema()
            self.crowd.adopt()
            self.crowd.start_old()
            if self.scene.new_from is None:
                self.crowd.start_new()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.crowd.stop()
        self._commands.__exit__(kind, error, trace)

    # -- moving ---------------------------------------------------------------------------------------------
    def standing(self) -> Standing | None:
        """What `evolve status` says; None before the change is planned. Asked again only after another command."""
        if not self._known:
            ended = self._commands.run("status", "--format", "json")
            self._standing, self._known = Standing.read(self._ok(ended).stdout), True
        return self._standing

    def forward(self, death: Death | None = None) -> Ended | None:
        """Run the next command; None at the end of the change.

        Args:
            death: kills it, if it comes so far. The next call goes on from there.

        Raises:
            Broken: it fails, or the change does not move for 20 s.
        """
        before = self.standing()
        if before is None:
            # Nothing is written twice where this is cut short and run again.
            return self._move("plan", "plan", *self.scene.plan, "--write", death=death)
        if not before.next:
            return None
        if not before.next.startswith("evolve "):
            if self._is_past_old(before, before.following or ""):
                self.crowd.stop_old()
            before = self._wait(before)
            probe = _PROBE.search(before.next)
            if probe is not None:
                for_a_second = ["--for", "1s"] if probe[1] == "brown-out" else []
                return self._move(probe[1], *shlex.split(probe[0])[1:], *for_a_second, death=death)
        if any(self._is_past_old(before, phase) for phase in before.entering()):
            self.crowd.stop_old()
        words = shlex.split(before.next)[1:]
        if words[:2] == ["backfill", "status"]:
            words[1] = "run"  # it was cut short, and goes on by this
        through = any(phase in self.scene.recycled for phase in before.entering())
        ended = self._move(
            before.entering()[0], *self._with_options(words), death=death, may_fail=True, recycled=through
        )
        if ended.status > 0:
            ended = self._mend(ended, death)
        if not ended.killed and words[:2] == ["backfill", "run"]:
            self._filled = True
        if not ended.killed and self.standing() == before:
            self._unmoved += 1
            if self._unmoved > _UNMOVED:
                self._broken("forward", f"the change does not move: {before.next}")
        else:
            self._unmoved = 0
        self._start_new()
        return ended

    def back(self) -> bool:
        """Take the newest revision back; False where there is none, or none that may be.

        Raises:
            Broken: it fails.
        """
        before = self.standing()
        if before is None or not before.applied or before.entered(self.scene.no_return):
            return False
        phase, revision = before.applied[-1]
        if self._is_before_new(before, phase.name):
            self.crowd.stop_new()
        self._move(f"back from {phase.name}", "downgrade", "-1")
        self._after_back(revision)
        return True

    def to_the_start(self, death: Death | None = None) -> Ended | None:
        """Take everything back by one command; None where a phase has been entered that is not gone back from.

        Args:
            death: kills it, if it comes so far. The next call goes on from there.
        """
        before = self.standing()
        if before is None or before.entered(self.scene.no_return):
            return None
        if self.scene.new_from is not None:
            self.crowd.stop_new()
        through = any(phase.name in self.scene.recycled for phase, _ in before.applied)
        ended = self._move("back to the start", "downgrade", FIRST, recycled=through, death=death)
        self._after_back(None)
        return ended

    def undo(self, to: str | None = None, death: Death | None = None) -> bool:
        """Take it back by `evolve undo` and what that writes; False where there is nothing to take back, or where a
        phase has begun that is not gone back from.

        Args:
            to: the phase to go back to, which has begun and is not the last that has; None: to the start.
            death: kills `evolve undo`, if it comes so far. It is called again at once.

        Raises:
            Broken: it fails.
        """
        before = self.standing()
        last = None if before is None else before.position(self.scene.no_return)
        if before is None or (last is not None and before.phases[last].begun):
            return False
        if any(self._is_past_old(before, phase) for phase in before.entering()):
            self.crowd.stop_old()  # what is written and not applied yet is applied first
        if to is None or self._is_before_new(before, before.phases[(before.position(to) or 0) + 1].name):
            self.crowd.stop_new()
        through = bool(self.scene.recycled)
        words = ["undo", before.change, *(("--to", to) if to else ()), "--write"]
        ended = self._move("undo", *words, death=death, recycled=through)
        if ended.killed and self.standing() is not None:
            self._move("undo", *words, recycled=through)
        self._move("undo", *self._with_options(["upgrade"]), recycled=through)
        self._after_undo(to)
        return True

    def tripwire(self, seconds: float) -> None:
        """Arm it, let everybody work, and disarm it; nothing where nothing goes next."""
        standing = self.standing()
        if (
            standing is not None
            and not self._move("tripwire", "tripwire", standing.change, may_fail=True).status
        ):
            time.sleep(seconds)
            self._move("tripwire", "tripwire", standing.change, "--disarm")

    def brown_out(self, seconds: int, death: Death | None = None) -> Ended | None:
        """Hide what goes next; None before the change is planned. It may be refused, and old code may be."""
        standing = self.standing()
        if standing is None:
            return None
        words = ["brown-out", standing.change, "--for", f"{seconds}s"]
        try:
            ended = self._move("brown-out", *words, death=death, may_fail=True, hidden=True)
            if ended.killed:
                time.sleep(
                    1
                )  # in which a COMMIT that is under way is done, and the guard sees that it is to act
                while self._is_hidden():
                    time.sleep(0.05)
        finally:
            self.crowd.moment = Moment("after the brown-out")
        return ended

    def to(self, phase: str) -> None:
        """Forward until that phase is complete in the database.

        Raises:
            Broken: a command fails, or the change has no such phase.
        """
        while phase not in self.complete():
            if self.forward() is None:
                self._broken("to", f"the change came to its end, and never through {phase}")

    def complete(self) -> tuple[str, ...]:
        """The phases that are done in this database, in order."""
        standing = self.standing()
        return () if standing is None else self._complete(standing)

    def run(self, *words: str, death: Death | None = None) -> Ended:
        """A command of evolve in the scene's project, outside of the road's own count; however it ends."""
        began, self._known = time.monotonic(), False
        ended = self._commands.run(*words, death=death)
        how = ended.moment if ended.killed else f"exit {ended.status}"
        self.story.append(f"{ended.command}: {how}, {time.monotonic() - began:.2f} s")
        return ended

    # -- looking --------------------------------------------------------------------------------------------
    def settle(self, seconds: float = 0.3) -> None:
        """Let everybody work for a while, each with half of what the other version wrote, where that can be seen."""
        if self.crowd.filled:
            self.crowd.hand_over()
        time.sleep(seconds)

    def check(self) -> None:
        """Raise `Broken` where a client failed, or the two shapes disagree."""
        standing = self.standing()
        if standing is not None:
            self._count_divergent(standing)
        if self._failures or self.crowd.failures:
            raise Broken([*self._failures, *self.crowd.failures], self.story)

    def check_waits(self, slack: float) -> None:
        """Raise `Broken` where a client waited longer than evolve may hold others up.

        What a client waited is what its longest transaction took while something was done to the schema, less the
        longest that any took in the same run while nothing was: a busy machine makes both longer.

        Args:
            slack: seconds beyond the lock timeout.
        """
        longest, quiet = self.crowd.longest, self.crowd.quiet
        if longest.seconds - quiet.seconds > LOCK_TIMEOUT + slack:
            error = (
                f"{longest.seconds * 1000:.0f} ms, and {quiet.seconds * 1000:.0f} ms while nothing was done"
            )
            raise Broken([Failure(longest.moment, longest.client, "waiting", error)], self.story)

    def check_rolled_back(self) -> None:
        """Raise `Broken` where the schema is not what it was before the change."""
        left = _difference(self.beginning, self.schema())
        if left:
            self._broken("roll back", f"the schema is not what it was: {left}")

    def schema(self) -> Schema:
        return ScratchProject(self.directory, self.url).schema()

    # -- details --------------------------------------------------------------------------------------------
    def _move(
        self,
        phase: str,
        *words: str,
        death: Death | None = None,
        may_fail: bool = False,
        recycled: bool = False,
        hidden: bool = False,
    ) -> Ended:
        recycled = recycled or phase.removeprefix("back from ") in self.scene.recycled
        doing = f"{phase}: evolve {' '.join(words)}"
        self.crowd.moment = Moment(doing, quiet=False, recycled=recycled, hidden=hidden)
        ended = self.run(*words, death=death)
        if recycled:
            self.crowd.recycle()
        if not hidden or not ended.killed:
            self.crowd.moment = Moment(f"after {doing}")
        return ended if may_fail or ended.killed else self._ok(ended)

    def _ok(self, ended: Ended) -> Ended:
        if ended.status:
            self._broken(ended.command, f"exit {ended.status}\n{ended.stdout}{ended.stderr}")
        return ended

    def _broken(self, doing: str, error: str) -> None:
        failure = Failure(self.crowd.moment.name, "", doing, error)
        raise Broken([failure, *self._failures, *self.crowd.failures], self.story)

    def _mend(self, failed: Ended, death: Death | None) -> Ended:
        """Do what a refusal says, such as to fill rows again that a way back has left empty."""
        fix = _FIX.search(failed.stderr) or _FIX.search(failed.stdout)
        if fix is None:
            return self._ok(failed)
        words = shlex.split(fix[1])[1:]
        if words[:2] == ["backfill", "run"] and "--restart" not in words:
            words.append("--restart")  # done once, and undone since
        ended = self._move("backfill", *self._with_options(words), death=death)
        self._filled = not ended.killed
        return ended

    def _with_options(self, words: list[str]) -> list[str]:
        if words[:1] == ["upgrade"]:
            return [*words, "--lock-timeout", f"{LOCK_TIMEOUT * 1000:.0f}"]
        if words[:2] == ["backfill", "run"]:
            # Batches small enough that there are many; a lease short enough that a dead worker's is soon over.
            return [*words, "--max-batch", "50", "--lease", "1", "--quiet"]
        return words

    def _wait(self, standing: Standing) -> Standing:
        """Until a gate opens that nobody has to open, or one is shut that asks for a probe."""
        until = time.monotonic() + _PATIENCE
        while not standing.next.startswith("evolve ") and not _PROBE.search(standing.next):
            if time.monotonic() > until:
                self._broken("waiting", f"the next thing to do is no command: {standing.next}")
            time.sleep(0.2)
            self._known = False
            standing = self.standing() or standing
        return standing

    def _after_back(self, revision: str | None) -> None:
        standing = self.standing()
        if standing is None:
            return
        filled = standing.position(self.scene.filled_from)
        left = [phase for phase in standing.phases[: filled or 0] if revision in phase.revisions]
        if revision is None or left:
            self._filled = False
        self.crowd.filled = self._sees_each_other(standing)
        if not standing.entered(self.scene.old_until):
            self.crowd.start_old()

    def _after_undo(self, to: str | None) -> None:
        if to is not None:
            self._after_back("")
            return
        self._filled = self.crowd.filled = False
        self.crowd.start_old()

    def _is_hidden(self) -> bool:
        with connect(self.url, autocommit=True, application_name="scene") as connection:
            there = connection.execute("SELECT to_regclass('evolve.brown_out') IS NOT NULL").fetchone()
            return there == (True,) and bool(connection.execute("SELECT FROM evolve.brown_out").fetchall())

    def _start_new(self) -> None:
        standing = self.standing()
        if standing is None:
            return
        complete = self._complete(standing)
        self.crowd.filled = self._sees_each_other(standing)
        first = standing.phases[0].name
        begins = first if standing.position(self.scene.new_from) is None else self.scene.new_from
        if self.scene.new_from is None or begins in complete:
            self.crowd.start_new()

    def _complete(self, standing: Standing) -> tuple[str, ...]:
        complete = []
        for number, phase in enumerate(standing.phases):
            later = any(
                revision not in standing.not_applied
                for after in standing.phases[number + 1 :]
                for revision in after.revisions
            )
            filled = phase.name != self.scene.filled_from or bool(phase.revisions) or self._filled or later
            if not phase.begun or not standing.not_applied.isdisjoint(phase.revisions) or not filled:
                break
            complete.append(phase.name)
        return tuple(complete)

    def _sees_each_other(self, standing: Standing) -> bool:
        needed = self.scene.filled_from
        return standing.position(needed) is None or needed in self._complete(standing)

    def _is_past_old(self, standing: Standing, phase: str) -> bool:
        limit, position = standing.position(self.scene.old_until), standing.position(phase)
        return limit is not None and position is not None and position >= limit

    def _is_before_new(self, standing: Standing, phase: str) -> bool:
        """New code cannot do without `phase`."""
        if self.scene.new_from is None:
            return False
        position = standing.position(phase) or 0
        return position <= (standing.position(self.scene.new_from) or 0)

    def _count_divergent(self, standing: Standing) -> None:
        contracted = standing.entered(self.scene.old_until)
        if standing.entered(self.scene.no_return) and contracted:
            return
        query = self.scene.kept if contracted else self.scene.divergent
        if not query or not standing.applied or not self._sees_each_other(standing):
            return
        with connect(self.url, autocommit=True, application_name="scene") as connection:
            row = connection.execute(query.replace("{change}", standing.change).encode()).fetchone()
        if row is None or row[0] != 0:
            count = "no number" if row is None else row[0]
            self._failures.append(Failure(self.crowd.moment.name, "", "divergent rows", str(count), query))


def _difference(before: Schema, after: Schema) -> str:
    """Which objects are not in both, or not alike."""
    found = []
    for kind in ("tables", "indexes", "enums", "domains", "views", "sequences"):
        was, now = getattr(before, kind), getattr(after, kind)
        found += [
            f"{kind} {name}: {was.get(name)} became {now.get(name)}"
            for name in {*was, *now}
            if was.get(name) != now.get(name)
        ]
    return "; ".join(found)
