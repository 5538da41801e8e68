"""Whoever looks on hears of a run from its beginning to its end, and sees it as spans."""

from __future__ import annotations

import pytest
from support.backfill import Quiet, fill, numbers, spec

from evolve.app.backfill_work import Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.happenings import (
    Begun,
    Committed,
    Ended,
    Entered,
    Happening,
    Left,
    Looked,
    Taken,
)
from evolve.backfill.status import State
from evolve.observe.spans import Spans

pytestmark = pytest.mark.server


def test_what_is_told_adds_up(database_url: str) -> None:
    numbers(database_url, 1000)
    seen: list[Happening] = []
    outcome = fill(database_url, spec("numbers", "n", "7", where="n = 0"), observer=seen.append)
    committed = [each for each in seen if isinstance(each, Committed)]
    assert sum(each.changed for each in committed) == outcome.rows == 1000
    assert len(committed) == outcome.batches
    assert [type(each) for each in seen if isinstance(each, Begun | Taken | Left | Ended)] == [
        *(Begun, Taken, Left, Ended)
    ]
    states = [each.state if isinstance(each, Entered) else each.run.state for each in seen if
              isinstance(each, Entered | Looked)]  # fmt: skip
    assert [*dict.fromkeys(states)] == [State.FENCING, State.RUNNING, State.VERIFYING, State.DONE]


def test_an_undo_is_told_too(database_url: str) -> None:
    numbers(database_url, 300)
    fill(database_url, spec("numbers", "n", "7"))
    seen: list[Happening] = []
    quiet = Quiet()
    undo_backfill(database_url, "numbers.n", pace=Pace(), stop=quiet, watch=quiet, observer=seen.append)
    begun, ended = seen[0], seen[-1]
    assert isinstance(begun, Begun)
    assert begun.way is State.UNDOING
    assert isinstance(ended, Ended)
    assert (ended.state, ended.rows) == (State.UNDONE, 300)


def test_a_run_is_a_tree_of_spans(database_url: str) -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    memory = export.InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    numbers(database_url, 1000)
    fill(database_url, spec("numbers", "n", "7"), observer=Spans(provider))
    spans = {span.name: span for span in memory.get_finished_spans()}
    run, walk, batch = (spans[f"evolve.backfill{below}"] for below in ("", ".range", ".batch"))
    assert run.parent is None
    assert walk.parent == run.get_span_context()
    assert batch.parent == walk.get_span_context()
    assert run.attributes["evolve.rows"] == walk.attributes["evolve.rows"] == 1000
