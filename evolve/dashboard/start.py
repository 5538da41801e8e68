"""Puts the page together and serves it until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from evolve.app.change_status import Status, change_status
from evolve.app.follow_backfills import BackfillFollower
from evolve.app.gate_rules import gate_rules
from evolve.app.partitions_ahead import partitions_ahead
from evolve.config import Config
from evolve.dashboard.guard import Guard
from evolve.dashboard.hub import Hub
from evolve.dashboard.pages import Pages
from evolve.dashboard.serve import address_of, listening, served
from evolve.dashboard.watcher import Sources, Watcher
from evolve.dashboard.web import Dashboard
from evolve.postgres.connect import redact
from evolve.revisions.project import Project


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for on the command line.

    Args:
        url: of the database.
        project: found anew with each look, since files come; raises where there is none.
        location: options of `evolve` that say where it is.
        port: 0 takes any that is free.
        i_know: others may reach it.
    """

    url: str
    config: Config
    project: Callable[[], Project]
    location: tuple[str, ...]
    address: str
    port: int
    i_know: bool
    read_only: bool


@dataclass(frozen=True, slots=True)
class Address:
    """Where the page is.

    Args:
        page: its URL; `token`: what lets one in.
        alive: whether it is served still.
    """

    page: str
    token: str
    alive: Callable[[], bool]

    @property
    def link(self) -> str:
        return f"{self.page}?token={self.token}"


@contextmanager
def running(wish: Wish) -> Iterator[Address]:
    """The page, inside the block.

    Raises:
        PublicAddress, CannotServe
        CannotConnect, BadUrl: of a server that goes away later the page tells.
    """
    bound, local = listening(wish.address, wish.port, i_know=wish.i_know)
    with bound:
        BackfillFollower(wish.url).close()
        guard, hub, watcher = Guard(local=local), Hub(), Watcher(_sources(wish))
        pages = Pages(place=redact(wish.url), form=guard.form, read_only=wish.read_only)
        port = int(bound.getsockname()[1])
        dashboard = Dashboard(wish.url, watcher, pages, guard, hub, wish.location, wish.read_only, port)
        application = dashboard.application()
        watcher.start()
        try:
            with served(application, bound, hub.close) as thread:
                yield Address(address_of(bound, wish.address), guard.token, thread.is_alive)
        finally:
            watcher.stop()


def _sources(wish: Wish) -> Sources:
    rules = gate_rules(wish.config)

    def changes() -> tuple[Status, ...]:
        return change_status(wish.project(), None, wish.url, rules)

    return Sources(
        lambda: BackfillFollower(wish.url),
        changes,
        lambda: partitions_ahead(wish.url, wish.config.partition, datetime.now(UTC)),
    )
