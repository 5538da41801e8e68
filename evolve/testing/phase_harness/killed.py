"""The proof that a command may die anywhere: each is killed at each thing it does, and called again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evolve.testing.phase_harness.commands import Death, How
from evolve.testing.phase_harness.road import Road
from evolve.testing.phase_harness.scene import Scene


@dataclass(frozen=True, slots=True)
class Survived:
    """
    Args:
        deaths: commands that were killed.
        story: all commands, with their exit statuses and seconds.
    """

    deaths: int
    story: tuple[str, ...]


def prove_killed(
    scene: Scene,
    url: str,
    directory: Path,
    *,
    how: How = "after",
    every: int = 1,
    each: int = 1,
    roll_back: bool = False,
) -> Survived:
    """Go to the end of the change though every command is killed at its first deed, then at its second, and so on.

    Deeds are statements that are no queries, commits, and files put in their place. A command that was killed is run
    again, as its operator would; killed at the same deed as often as it takes to get behind it.

    Args:
        url: of an empty database that nobody else uses.
        directory: an empty folder.
        how: right after the deed, or while the server may still be at it.
        every: only each so manieth deed.
        each: clients of each version, at work all the time.
        roll_back: after each death the change is taken back to its start, as long as that can be done without loss,
            and goes on from there; else it is resumed.

    Raises:
        Broken: a command that is called again fails, a client failed, a row is lost or diverges.
    """
    deaths = 0
    with Road(scene, url, directory, each=each) as road:
        deed, before = 1, ""
        while True:
            standing = road.standing()
            command = "plan" if standing is None else standing.next
            if command != before:
                deed, before = 1, command
            ended = road.forward(Death(deed, how))
            if ended is None:
                break
            road.check()
            if not ended.killed:
                before = ""
                road.settle(0.1)
                continue
            deaths += 1
            deed += every
            if roll_back and road.to_the_start():
                road.check_rolled_back()
                _catch_up(road, command)
        road.crowd.stop()
        road.check()
        return Survived(deaths, tuple(road.story))


def _catch_up(road: Road, command: str) -> None:
    """Forward again to where `command` is the next, or the change is beyond it."""
    for _ in range(_LONGEST):
        standing = road.standing()
        if standing is None or standing.next in ("", command):
            return
        road.forward()


_LONGEST = 20  # commands of a change, and then some
