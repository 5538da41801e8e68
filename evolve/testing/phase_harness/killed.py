"""The proof that a command may die anywhere: each is killed in each state that it goes through, and called again.

Why this is anywhere, though it is not every instant: a process that is gone leaves what others can see of it, and that
is the database and the files. The database changes when a transaction commits, and at no other time: whoever dies
between BEGIN and COMMIT leaves what was there at BEGIN, but for numbers of sequences, which never go back, and for a
session that may hold its locks a while longer. A statement outside of a transaction commits by itself; CONCURRENTLY
is several transactions to the server, which may stop between them. A file changes when it gets its name. So there are
only so many states, and one moment in each is as good as any other. The moments (`dying.arm` lists them) are one in
each of those states, and for each transaction further ones while its session is at work and holds its locks: in the
middle of its first write, right before COMMIT, and while COMMIT is under way. A batch of a backfill is a transaction.

A command that has died is called again, as its operator would, and dies at the next of its moments, until it comes to
its end. So each state is one that the next call begins in; and since a moment is known by what was written, none is
missed where the second call finds half of the work done. Nobody counts them beforehand: there are as many as are met.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evolve.testing.phase_harness.commands import Death
from evolve.testing.phase_harness.road import Road
from evolve.testing.phase_harness.scene import Scene


@dataclass(frozen=True, slots=True)
class Survived:
    """
    Args:
        moments: at which commands were killed, in order.
        story: all commands, with their exit statuses and seconds.
    """

    moments: tuple[str, ...]
    story: tuple[str, ...]


def prove_killed(
    scene: Scene, url: str, directory: Path, *, each: int = 1, roll_back: bool = False
) -> Survived:
    """Go to the end of the change though commands are killed at every moment.

    Args:
        url: of an empty database that nobody else uses.
        directory: an empty folder.
        each: clients of each version, at work all the time.
        roll_back: after each death the change is taken back to its start, as long as that can be done without loss,
            by a command that is killed at every moment as well; then it goes forward from there. Deaths that leave
            the state that the one before has left are passed over. Otherwise it is resumed.

    Raises:
        Broken: a command that is called again fails, a client failed, a row is lost or diverges.
    """
    moments: list[str] = []

    def death() -> Death:
        return Death(frozenset(moments), lasting=roll_back)

    with Road(scene, url, directory, each=each) as road:
        while (ended := road.forward(death())) is not None:
            road.check()
            if not ended.killed:
                continue
            moments.append(ended.moment)
            if len(moments) > _MOST:
                raise RuntimeError(f"there is always one more moment, such as: {ended.moment}")
            if roll_back:
                while (taken := road.to_the_start(death())) is not None and taken.killed:
                    moments.append(taken.moment)
                if taken is not None:
                    road.check_rolled_back()
        road.settle(0.1)
        road.crowd.stop()
        road.check()
        return Survived(tuple(moments), tuple(road.story))


_MOST = 400  # moments of a change, and then some
