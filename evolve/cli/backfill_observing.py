"""Options of backfills that let others look on: metrics, and how the log is written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from evolve.cli.options import Location
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.app.observe_backfill import Onlookers
    from evolve.backfill.happenings import Observer
    from evolve.backfill.progress import Snapshot
    from evolve.cli.backfill_progress import Watch

R = TypeVar("R")

_OPTIONS = (
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65_535),
        metavar="PORT",
        help="Serve metrics for Prometheus while it works; 0 takes a free port.",
    ),
    click.option(
        "--metrics-address",
        metavar="ADDRESS",
        help="Where; what others can reach needs --i-know.  [default: 127.0.0.1]",
    ),
    click.option("--i-know", is_flag=True, help="Whoever reaches that address may read the metrics."),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        help="How the log on stderr is written.  [default: log of the settings, else text]",
    ),
)


@dataclass(frozen=True, slots=True)
class Observing:
    """What was asked for; see the options."""

    port: int | None
    address: str | None
    i_know: bool
    log_format: str | None

    def as_json(self, location: Location) -> bool:
        return (self.log_format or location.config().log) == "json"

    def refuse_dry_run(self) -> None:
        """
        Raises:
            UsageError: of a dry run there are no metrics.
        """
        if self.port is not None:
            raise click.UsageError("--metrics-port serves nothing with --dry-run")

    @contextmanager
    def around(self, location: Location, watch: Watch) -> Iterator[tuple[Watch, Observer]]:
        """Observers of the block, and the watch it is to use."""
        from evolve.app.observe_backfill import Endpoint, looking_on
        from evolve.errors import EvolveError

        config = location.config()
        as_json = self.as_json(location)
        endpoint = (
            None if self.port is None else Endpoint(self.port, self.address or "127.0.0.1", self.i_know)
        )
        begun = False
        try:
            with looking_on(
                (*config.on_event, *config.backfill.on_event),
                location.directory if config.file is None else config.file.parent,
                lambda line: click.echo(line, err=True),
                as_json=as_json,
                endpoint=endpoint,
            ) as onlookers:
                told = _Told(watch, onlookers)
                if onlookers.url is not None:
                    told.say(f"metrics: {onlookers.url}")
                begun = True
                yield told, onlookers
        except EvolveError as error:
            if not (as_json and begun):
                raise
            # It is an event of the log by now, and no text of several lines behind it.
            raise SystemExit(error.exit_code) from error


def observing_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add --metrics-port and what belongs to it, and --log-format; the function gets them as `observing`."""

    @functools.wraps(command)
    def observed(*args: object, **kwargs: object) -> R:
        port, address = kwargs.pop("metrics_port"), kwargs.pop("metrics_address")
        i_know, log_format = kwargs.pop("i_know"), kwargs.pop("log_format")
        if port is None and (address is not None or i_know):
            raise click.UsageError(
                f"{'--i-know' if address is None else '--metrics-address'} needs --metrics-port"
            )
        observing = Observing(
            port if isinstance(port, int) else None,
            None if address is None else str(address),
            bool(i_know),
            None if log_format is None else str(log_format),
        )
        return command(*args, observing=observing, **kwargs)

    for option in reversed(_OPTIONS):
        observed = option(observed)
    return observed


class _Told:
    """Hands messages to the log where that is one of events; progress goes its usual way."""

    def __init__(self, watch: Watch, onlookers: Onlookers) -> None:
        self._watch = watch
        self._onlookers = onlookers

    def report(self, snapshot: Snapshot) -> None:
        self._watch.report(snapshot)

    def say(self, message: str) -> None:
        (self._onlookers.say or self._watch.say)(message)
