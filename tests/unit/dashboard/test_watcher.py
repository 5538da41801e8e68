"""One look at the database serves all who look at the page; and whatever a look raises, the next one is made."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast

import pytest
from starlette.applications import Starlette

from evolve.app.follow_backfills import BackfillFollower, Followed
from evolve.dashboard.guard import Guard
from evolve.dashboard.hub import Hub
from evolve.dashboard.pages import Pages
from evolve.dashboard.serve import CannotServe, PublicAddress, address_of, listening, served
from evolve.dashboard.watcher import Sources, Watcher
from evolve.dashboard.web import Dashboard

PATIENCE = 60.0  # seconds


class Follower:
    """A database without a run, which fails whenever `broken` is set."""

    def __init__(self) -> None:
        self.looks = 0
        self.broken = threading.Event()

    def look(self) -> tuple[Followed, ...]:
        self.looks += 1
        if self.broken.is_set():
            raise RuntimeError("the line is dead")
        return ()

    def close(self) -> None:
        """There is nothing to close."""


def until(fits: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not fits():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def watching(follower: Follower) -> Iterator[Watcher]:
    sources = Sources(lambda: cast("BackfillFollower", follower), lambda: (), lambda: ())
    watcher = Watcher(sources)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


def test_a_look_that_fails_is_told_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve.dashboard.watcher.AGAIN", 0.01)
    follower = Follower()
    with watching(follower) as watcher:
        until(lambda: watcher.seen.runs == ())
        follower.broken.set()
        until(lambda: watcher.seen.runs_trouble is not None)
        assert "the line is dead" in str(watcher.seen.runs_trouble)
        assert watcher.seen.runs == ()  # what was known stays
        follower.broken.clear()
        until(lambda: watcher.seen.runs_trouble is None)


def test_a_hundred_viewers_cost_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower()
    guard, hub = Guard(), Hub()
    bound, _ = listening("127.0.0.1", 0, i_know=False)
    port = int(bound.getsockname()[1])
    header = {"Authorization": f"Bearer {guard.token}"}
    with watching(follower) as watcher:
        pages = Pages(place="here", form=guard.form, read_only=False)
        dashboard = Dashboard("", watcher, pages, guard, hub, (), False, port)
        viewers = [http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE) for _ in range(100)]
        with served(dashboard.application(), bound, hub.close):
            answers = []
            for viewer in viewers:
                viewer.request("GET", "/live", headers=header)
                answers.append(viewer.getresponse())
            begun = follower.looks
            heard = [0] * len(answers)
            # The sentence "As of …" changes with each second: so does what each of them is sent.
            for _ in range(3):
                for place, answer in enumerate(answers):
                    while not (line := answer.readline()).startswith(b"data: "):
                        assert line, "the stream has ended"
                    heard[place] += "parts" in json.loads(line.removeprefix(b"data: "))
            assert heard == [3] * 100
            assert follower.looks - begun < 60  # one a second, and not one for each of 300 events
            for answer, viewer in zip(answers, viewers, strict=True):
                with suppress(OSError):
                    answer.close()
                viewer.close()


@pytest.mark.parametrize("began", [b"", b"GET / HTTP/1.1\r\nX: "], ids=["nothing", "half"])
def test_who_asks_for_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, began: bytes) -> None:
    monkeypatch.setattr("evolve.dashboard.serve.PATIENCE", 0.2)
    bound, _ = listening("127.0.0.1", 0, i_know=False)
    place = bound.getsockname()
    with (
        served(Starlette(), bound, lambda: None),
        socket.create_connection(place, timeout=PATIENCE) as silent,
    ):
        silent.sendall(began)
        assert silent.recv(1) == b""


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("localhost", ("127.0.0.1", "[::1]")),
        ("0.0.0.0", ("localhost",)),  # noqa: S104
    ],
)
def test_the_link_holds_no_name_that_could_stand_for_two_places(address: str, hosts: tuple[str, ...]) -> None:
    bound, _ = listening(address, 0, i_know=True)
    with bound:
        port = bound.getsockname()[1]
        assert address_of(bound, address) in [f"http://{host}:{port}/" for host in hosts]


@pytest.mark.parametrize("address", ["a" * 70, "..", "nowhere.invalid"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(CannotServe, match="cannot be served on"):
        listening(address, 0, i_know=False)


@pytest.mark.parametrize("address", ["0.0.0.0", "", "::"])  # noqa: S104
def test_a_public_address_has_to_be_meant(address: str) -> None:
    with pytest.raises(PublicAddress, match="can be reached from other machines"):
        listening(address, 0, i_know=False)


def test_a_public_address_that_is_meant() -> None:
    bound, local = listening("0.0.0.0", 0, i_know=True)  # noqa: S104
    bound.close()
    assert not local


def test_while_nobody_looks_the_database_has_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve.dashboard.watcher.IDLE", 0.0)
    monkeypatch.setattr("evolve.dashboard.watcher.PULSE", 0.001)
    monkeypatch.setattr("evolve.dashboard.watcher.REST", 3_600.0)
    follower = Follower()
    with watching(follower) as watcher:
        until(lambda: follower.looks == 1)
        time.sleep(0.5)
        assert follower.looks == 1
        watcher.viewed()
        until(lambda: follower.looks > 1)
