"""Events reach their listeners; a listener that fails is told once and stops nothing."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evolve.app.listeners import listening
from evolve.event_hooks import BadHook, hook
from evolve.event_spans import spans
from evolve.events import Event, Events

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_an_event_is_one_line_of_json() -> None:
    text = Event("revision.begin", NOON, {"revision": "a\nb", "number": 1}).as_json()
    assert "\n" not in text
    assert json.loads(text) == {
        "time": "2026-05-04T12:00:00.000+00:00", "event": "revision.begin", "revision": "a\nb", "number": 1,
    }  # fmt: skip


def test_a_listener_that_fails_is_told_once_and_the_others_hear_all() -> None:
    heard: list[str] = []
    told: list[tuple[str, str]] = []

    def broken(_event: Event) -> None:
        raise ValueError("no")

    events = Events(
        [("broken", broken), ("ear", lambda event: heard.append(event.name))],
        lambda *failure: told.append(failure),
    )
    events.emit("a")
    events.emit("b")
    assert heard == ["a", "b"]
    assert told == [("broken", "ValueError: no")]


def test_a_hook_is_a_function_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "ears_of_the_project.py").write_text(
        "heard = []\ndef hear(event):\n    heard.append(event.name)\n"
    )
    hook("ears_of_the_project:hear", tmp_path)(Event("a", NOON, {}))
    assert sys.modules["ears_of_the_project"].heard == ["a"]


def test_a_hook_is_a_command_that_gets_json(tmp_path: Path) -> None:
    hook(f'{sys.executable} -c \'import sys; open("heard", "w").write(sys.stdin.read())\'', tmp_path)(
        Event("a", NOON, {"revision": "$(rm -rf /)"})
    )
    assert json.loads((tmp_path / "heard").read_text())["revision"] == "$(rm -rf /)"


def test_a_hook_that_fails_tells_nothing_of_its_arguments(tmp_path: Path) -> None:
    said: list[str] = []
    command = f"{sys.executable} -c 'raise SystemExit(3)' --token hunter2"
    listening([command], tmp_path, said.append, as_json=False).emit("a")
    assert said == [
        f'hook "{sys.executable}" failed, and may go on failing without being told again: '
        "HookFailed: it ended in status 3"
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no_such_module:f", "No module named"),
        ("json:nothing", "no attribute"),
        ("echo 'x", "No closing"),
        ("", "empty"),
    ],
)
def test_a_hook_that_cannot_be_called(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadHook, match=reason):
        hook(text, tmp_path)


def test_spans_follow_begin_and_end() -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    memory = export.InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    listener = spans()
    assert listener is not None
    for name, values in [
        ("upgrade.begin", {"target": "head"}),
        ("revision.begin", {"revision": "one"}),
        ("revision.retry", {"blockers": [{"pid": 7}]}),
        ("revision.fail", {"error": "no lock"}),
        ("upgrade.fail", {"error": "no lock"}),
    ]:
        listener(Event(name, NOON, values))
    revision, upgrade = memory.get_finished_spans()
    assert (revision.name, upgrade.name) == ("evolve.revision", "evolve.upgrade")
    assert revision.parent == upgrade.get_span_context()
    assert revision.status.description == "no lock"
    assert [event.name for event in revision.events] == ["revision.retry"]
    assert revision.attributes == {"evolve.revision": "one", "evolve.error": "no lock"}


def test_without_opentelemetry_there_are_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve.event_spans.find_spec", lambda _name: None)
    assert spans() is None
