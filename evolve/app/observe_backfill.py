"""Who looks on while a backfill is worked on: the log, hooks, metrics and traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from evolve.app.listeners import listening_aside
from evolve.backfill.happenings import Failed, Happening, Observer
from evolve.observe.open_telemetry import Instruments, set_up
from evolve.observe.telling import ONLY_LOGGED, Teller


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where metrics are to be read; its parts as `observe.prometheus.served` has them."""

    port: int
    address: str
    i_know: bool


class Onlookers:
    """Several observers (`happenings.Observer`). One that fails is told, and left out from then on.

    Args:
        say: writes a message for people; None where nobody else does, then messages go their usual way.
        url: of the metrics; None where none are served.
    """

    def __init__(self, fail: Callable[[str], None]) -> None:
        self.say: Callable[[str], None] | None = None
        self.url: str | None = None
        self._fail = fail
        self._observers: list[tuple[str, Observer]] = []

    def add(self, title: str, observer: Observer) -> None:
        self._observers.append((title, observer))

    def __call__(self, happening: Happening) -> None:
        for each in tuple(self._observers):
            title, observer = each
            try:
                observer(happening)
            except Exception as error:  # noqa: BLE001  # what looks on never ends the work
                if each in self._observers:
                    self._observers.remove(each)
                    self._fail(f"{title} failed, and end here: {type(error).__name__}: {error}")


@contextmanager
def looking_on(
    hooks: Sequence[str],
    folder: Path,
    line: Callable[[str], None],
    *,
    as_json: bool,
    endpoint: Endpoint | None,
) -> Iterator[Onlookers]:
    """
    Args:
        hooks: `on_event` of the settings.
        folder: of the project, where hooks are found and started.
        line: writes a line of the log.
        as_json: write every event, and every message, to the log, one JSON object a line.
        endpoint: None serves no metrics.

    Raises:
        BadHook, NoPrometheus, PublicAddress, CannotServe: before the block.
    """
    with ExitStack() as stack:
        onlookers = Onlookers(line)
        if hooks or as_json:
            events = listening_aside(hooks, folder, line, as_json=as_json, only_logged=ONLY_LOGGED)
            teller = Teller(stack.enter_context(events))
            onlookers.add("events", teller)
            if as_json:
                onlookers.say = teller.say
        try:
            if endpoint is not None:
                from evolve.observe.prometheus import served
                from evolve.observe.recorder import Recorder

                page, onlookers.url = stack.enter_context(
                    served(endpoint.port, endpoint.address, i_know=endpoint.i_know)
                )
                onlookers.add("metrics", Recorder(page))
            if set_up(onlookers.say or line):
                from evolve.observe.recorder import Recorder
                from evolve.observe.spans import Spans

                onlookers.add("traces", Spans())
                onlookers.add("metrics of OpenTelemetry", Recorder(Instruments()))
            yield onlookers
        except BaseException as error:
            onlookers(Failed(error))
            raise
