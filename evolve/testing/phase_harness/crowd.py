"""The clients of both versions, and the records that change hands between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from evolve.testing.phase_harness.client import Client, Moment, Owned, Wait
from evolve.testing.phase_harness.failure import Failure
from evolve.testing.phase_harness.scene import Scene, Version


@dataclass(slots=True)
class Crowd:
    """
    Args:
        url: SQLAlchemy's, through psycopg.
        each: clients of each version.

    Attributes:
        moment: what is being done to the schema; set by whoever does it.
        filled: new code finds what old code wrote; set by whoever brings that about.
    """

    url: str
    scene: Scene
    each: int = 4
    moment: Moment = field(default_factory=lambda: Moment("the beginning"))
    filled: bool = False
    old: list[Client] = field(default_factory=list)
    new: list[Client] = field(default_factory=list)
    gone: list[Client] = field(default_factory=list)
    _left_by_old: list[Owned] = field(default_factory=list)
    _left_by_new: list[Owned] = field(default_factory=list)

    def adopt(self) -> None:
        """Let old code answer for every record that there is."""
        engine = create_engine(self.url)
        with Session(engine) as session:
            for index, rows in enumerate(self.scene.old.rows):
                found = rows.existing(session)
                self._left_by_old += [Owned(index, key, dict(values)) for key, values in found]
        engine.dispose()

    def start_old(self) -> None:
        if not self.old:
            self.old = self._start(self.scene.old)
            self._share_out()
            self._cross_over()

    def start_new(self) -> None:
        if not self.new:
            self.new = self._start(self.scene.new)
            self._share_out()
            self._cross_over()

    def stop_old(self) -> None:
        """Their records go to new code, or wait for old code that comes back."""
        clients, self.old = self.old, []
        self._left_by_old += self._stop(clients)
        self._cross_over()

    def stop_new(self) -> None:
        clients, self.new = self.new, []
        self._left_by_new += self._stop(clients)
        self._cross_over()

    def stop(self) -> None:
        self.stop_old()
        self.stop_new()

    def hand_over(self) -> None:
        """Half of what each client answers for goes to one of the other version."""
        for old, new in zip(self.old, self.new, strict=False):
            from_old, from_new = old.take(0.5), new.take(0.5)
            new.give(from_old, self.scene.to_new)
            old.give(from_new, self.scene.to_old)

    def recycle(self) -> None:
        for client in (*self.old, *self.new):
            client.recycle()

    @property
    def all(self) -> tuple[Client, ...]:
        return (*self.gone, *self.old, *self.new)

    @property
    def failures(self) -> list[Failure]:
        return [failure for client in self.all for failure in client.failures]

    @property
    def denied(self) -> int:
        """Transactions of old code that a brown-out has refused."""
        return sum(client.denied for client in self.all)

    @property
    def longest(self) -> Wait:
        return _longest([client.longest for client in self.all])

    @property
    def quiet(self) -> Wait:
        """The longest transaction while nothing was done to the schema: what this machine adds by itself."""
        return _longest([client.quiet for client in self.all])

    def _start(self, version: Version) -> list[Client]:
        first = len(self.all)
        clients = [
            Client(
                self.url,
                version,
                first + number,
                lambda: self.moment,
                role=self.scene.role,
                registered=self.scene.registered,
                old=version is self.scene.old,
            )
            for number in range(self.each)
        ]
        for client in clients:
            client.start()
        return clients

    def _stop(self, clients: list[Client]) -> list[Owned]:
        left: list[Owned] = []
        for client in clients:
            client.stop()
            left += client.take(1.0)
        self.gone += clients
        return left

    def _share_out(self) -> None:
        """What clients of a version left behind goes to others of the same version."""
        for clients, left in ((self.old, self._left_by_old), (self.new, self._left_by_new)):
            if clients:
                for number, client in enumerate(clients):
                    client.give(left[number :: len(clients)], lambda values: values)
                left.clear()

    def _cross_over(self) -> None:
        """What no client of its own version is left for goes to the other, where that can see it."""
        for left, clients, translate in (
            (self._left_by_old, self.new if self.filled else [], self.scene.to_new),
            (self._left_by_new, self.old, self.scene.to_old),
        ):
            if clients:
                for number, client in enumerate(clients):
                    client.give(left[number :: len(clients)], translate)
                left.clear()


def _longest(waits: list[Wait]) -> Wait:
    return max(waits, key=lambda wait: wait.seconds, default=Wait())
