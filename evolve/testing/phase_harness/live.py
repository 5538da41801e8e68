"""The proof: there, back, there again and to the end, with eight clients at work all the time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evolve.testing.phase_harness.client import Wait
from evolve.testing.phase_harness.road import Road
from evolve.testing.phase_harness.scene import Scene


@dataclass(frozen=True, slots=True)
class Proof:
    """What was seen.

    Args:
        longest: transaction of a client while something was done to the schema.
        quiet: the longest while nothing was: what clients wait for on this machine anyhow.
        recycled: times that a client had to replace its connection.
        story: the commands, with their exit statuses and seconds.
    """

    transactions: int
    longest: Wait
    quiet: Wait
    recycled: int
    story: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.transactions} transactions; longest {self.longest.seconds * 1000:.0f} ms of {self.longest.client} "
            f"at {self.longest.moment}; {self.quiet.seconds * 1000:.0f} ms while nothing was done"
        )


def prove_live(
    scene: Scene, url: str, directory: Path, *, each: int = 4, settle: float = 0.3, slack: float = 0.1
) -> Proof:
    """Apply, check, roll back, check, apply, complete, check.

    Args:
        url: of an empty database that nobody else uses.
        directory: an empty folder.
        each: clients of each version.
        settle: seconds that everybody works in each state.
        slack: seconds that a client may wait beyond the lock timeout; how it is measured says `Road.check_waits`.

    Raises:
        Broken: with every failure, and the commands until then.
    """
    with Road(scene, url, directory, each=each) as road:
        road.settle(2 * settle)
        _to_the_brink(road, settle)
        if road.to_the_start():
            road.check_rolled_back()
            road.settle(settle)
            road.check()
            _to_the_brink(road, settle)
        _over_and_back(road, settle)
        while road.forward() is not None:
            road.settle(settle)
            road.check()
        road.crowd.stop()
        road.check()
        road.check_waits(slack)
        crowd = road.crowd
        return Proof(
            sum(client.transactions for client in crowd.all),
            crowd.longest,
            crowd.quiet,
            sum(client.recycled for client in crowd.all),
            tuple(road.story),
        )


def _to_the_brink(road: Road, settle: float) -> None:
    """As far as old code may come along, and everything can be taken back."""
    while not _is_brink(road) and road.forward() is not None:
        road.settle(settle)
        road.check()


def _is_brink(road: Road) -> bool:
    standing = road.standing()
    if standing is None:
        return False
    limits = (road.scene.old_until, road.scene.no_return)
    return any(phase in limits for phase in standing.entering())


def _over_and_back(road: Road, settle: float) -> None:
    """Through the phase that old code does not see, back to where it runs again."""
    limit = road.scene.old_until
    standing = road.standing()
    if standing is None or standing.position(limit) is None or limit == road.scene.no_return:
        return
    road.to(str(limit))
    road.settle(settle)
    road.check()
    while (standing := road.standing()) and standing.entered(limit):
        if not road.back():
            return
    road.settle(settle)
    road.check()
