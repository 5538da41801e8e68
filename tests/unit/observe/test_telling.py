"""Events of a backfill: waits are told when they last, hooks hear what is for them, and nobody waits for a hook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evolve.app.listeners import listening_aside
from evolve.app.observe_backfill import Onlookers
from evolve.backfill.happenings import Entered, Failed, Happening, Waiting, WentOn
from evolve.backfill.status import State
from evolve.backfill.throttle import Hold
from evolve.errors import Refused
from evolve.events import Event, Events
from evolve.observe.aside import Aside
from evolve.observe.telling import Teller

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def ear() -> tuple[list[Event], Events]:
    found: list[Event] = []
    return found, Events([("ear", found.append)], lambda *_: None)


def test_a_wait_is_told_when_it_lasts_and_when_it_ends() -> None:
    found, events = ear()
    teller = Teller(events, iter([0.0, 0.1, 10.0, 11.5, 13.5]).__next__)
    wait = Waiting(Hold(9, "replica lag 80 MB, limit 64 MB", "replica lag"))
    for happening in (wait, WentOn(), wait, wait, WentOn()):
        teller(happening)
    assert [(event.name, dict(event.values)) for event in found] == [
        ("backfill.hold", {"cause": "replica lag", "reason": "replica lag 80 MB, limit 64 MB"}),
        ("backfill.go-on", {"seconds": 3.5}),
    ]


def test_a_state_is_told_once() -> None:
    found, events = ear()
    teller = Teller(events)
    for state in (State.RUNNING, State.RUNNING, State.VERIFYING):
        teller(Entered(state))
    assert [event.values["state"] for event in found] == ["running", "verifying"]


def test_an_error_is_told_with_what_mends_it() -> None:
    found, events = ear()
    Teller(events)(Failed(Refused("no room", why="the disk is full", fix="make some")))
    assert found[0].values == {"error": "no room", "why": "the disk is full", "fix": "make some"}


def test_hooks_hear_all_but_what_is_for_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    command = "sh -c 'cat >> heard'"
    with listening_aside([command], tmp_path, lines.append, as_json=True, only_logged={"b"}) as events:
        for name in ("a", "b", "c"):
            events.emit(name)
    heard = [json.loads(line)["event"] for line in (tmp_path / "heard").read_text().splitlines()]
    assert heard == ["a", "c"]
    assert len(lines) == 3


def test_a_hook_that_hangs_keeps_nobody_and_is_told() -> None:
    free = threading.Event()
    aside = Aside(Events([("slow", lambda _: free.wait(60) and None)], lambda *_: None), most=2, patience=0.1)
    with aside:
        for _ in range(10):
            aside(Event("a", NOON, {}))
    free.set()
    assert aside.dropped >= 8
    aside.thread.join(30)
    assert not aside.thread.is_alive()


def test_an_observer_that_fails_is_left_out_and_the_others_go_on() -> None:
    said: list[str] = []
    seen: list[Happening] = []

    def broken(_: Happening) -> None:
        raise ValueError("no")

    onlookers = Onlookers(said.append)
    onlookers.add("metrics", broken)
    onlookers.add("the rest", seen.append)
    onlookers(WentOn())
    onlookers(WentOn())
    assert said == ["metrics failed, and end here: ValueError: no"]
    assert seen == [WentOn(), WentOn()]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "False False []"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "False False []"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, "False False []"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "console"}, "True True []"),
        (
            {"OTEL_METRICS_EXPORTER": "nobody"},
            "False True ['OpenTelemetry is asked for (OTEL_METRICS_EXPORTER), but no exporter of metrics is "
            'installed under the name "nobody": pip install opentelemetry-exporter-nobody\']',
        ),
    ],
)
def test_opentelemetry_is_imported_for_whom_asks(variables: dict[str, str], expected: str) -> None:
    code = (
        "import sys; from evolve.observe.open_telemetry import set_up; said = [];"
        "answer = set_up(said.append);"
        "print(answer, any(name.startswith('opentelemetry.sdk') for name in sys.modules), said)"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**bare, **variables}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[0] == expected
