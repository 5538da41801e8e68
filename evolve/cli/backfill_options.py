"""Options of the backfill commands that more than one of them has."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, SupportsFloat, SupportsIndex, TypeVar, cast

import click
from click.core import ParameterSource

from evolve.cli.options import Location

if TYPE_CHECKING:
    from evolve.app.backfill_work import Pace

P = ParamSpec("P")
R = TypeVar("R")


class Number(click.FloatRange):
    """A float, and none that is infinite or no number at all: no wait would ever end, or none would be made."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number of anything.", param, ctx)
        return float(number)


class Unbounded(click.types.FloatParamType):
    """The same without bounds, of which the help of `FloatRange` would speak all the same."""

    def convert(
        self, value: SupportsFloat | SupportsIndex, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        return Number().convert(super().convert(value, param, ctx), param, ctx)


NUMBER = Unbounded()
_SECONDS = Number(min=0)

_PACE = (
    click.option(
        "--workers",
        type=int,
        default=1,
        show_default=True,
        help="Work on so many ranges of keys at once; the limits below hold for all of them together, --duty for each.",
    ),
    click.option(
        "--target-ms", type=NUMBER, default=20, show_default=True, help="Time one commit should take."
    ),
    click.option("--max-batch", type=int, default=50_000, show_default=True, help="Rows of a batch at most."),
    click.option(
        "--mode",
        type=click.Choice(["fast", "polite", "gentle"]),
        help="Work all of the time, half of it, or a fifth, and look at more before each batch.  [default: fast]",
    ),
    click.option(
        "--duty", type=NUMBER, metavar="SHARE", help="Share of the time it works.  [default: by --mode]"
    ),
    click.option("--max-rows-per-second", type=NUMBER, metavar="N", help="Rows written per second at most."),
    click.option("--max-wal", type=NUMBER, metavar="MB", help="Megabytes of WAL written per second at most."),
    click.option(
        "--window",
        "windows",
        multiple=True,
        metavar="HOURS",
        help='Work only then, such as "Mon-Fri 22:00-06:00 Europe/Berlin"; several times for several.',
    ),
    click.option(
        "--throttle", "throttles", multiple=True, metavar="NAME:ARGUMENT", help="A throttle of a plugin."
    ),
    click.option(
        "--max-replica-lag",
        type=Number(min=0),
        metavar="MB",
        help="Wait while a standby is further behind; 0 does not look.  [default: 64]",
    ),
    click.option(
        "--fence-timeout",
        type=_SECONDS,
        default=600,
        show_default=True,
        metavar="SECONDS",
        help="Wait for transactions older than the run.",
    ),
    click.option(
        "--give-up-after",
        type=_SECONDS,
        default=300,
        show_default=True,
        metavar="SECONDS",
        help="Fail when no batch could commit for so long.",
    ),
    click.option(
        "--lock-timeout",
        type=click.IntRange(min=1),
        default=500,
        show_default=True,
        metavar="MS",
        help="Wait for a row that somebody else holds.",
    ),
    click.option(
        "--statement-timeout",
        type=click.IntRange(min=1),
        default=5000,
        show_default=True,
        metavar="MS",
        help="For one statement; what takes longer is tried with half the rows.",
    ),
    click.option(
        "--lease",
        type=NUMBER,
        default=15,
        show_default=True,
        metavar="SECONDS",
        help="A worker silent for longer loses the run to the next one.",
    ),
)

# The setting of a run that an option says.
_SETTINGS = {
    "target_ms": "target",
    "max_batch": "batch",
    "mode": "duty",
    "duty": "duty",
    "max_rows_per_second": "rows",
    "max_wal": "wal",
    "max_replica_lag": "lag",
}

max_rejects_option = click.option(
    "--max-rejects",
    type=click.IntRange(min=0),
    metavar="N",
    help="Set so many rows aside that cannot be written, over the whole run; one more stops it."
    "  [default: 100, or as before]",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress and no messages.")
verify_option = click.option(
    "--verify/--no-verify", default=True, show_default=True, help="Look at every row afterwards."
)
analyze_option = click.option(
    "--analyze/--no-analyze", default=True, show_default=True, help="ANALYZE the table once the run is done."
)
plain_sql_option = click.option(
    "--plain-sql", is_flag=True, help="Assign nothing but the column, and cut the keys into plain batches."
)


def pace_options(command: Callable[Concatenate[Pace, P], R]) -> Callable[P, R]:
    """Add the options that say how gently a run goes; the function gets them as one `Pace`, its first argument."""

    @functools.wraps(command)
    def paced(*args: P.args, **kwargs: P.kwargs) -> R:
        from evolve.app.backfill_throttling import throttling_of
        from evolve.app.backfill_work import Pace
        from evolve.backfill.modes import Mode
        from evolve.backfill.terms import Terms
        from evolve.postgres.session import Timeouts

        def number(name: str) -> float:
            return float(str(kwargs.pop(name)))

        def optional(name: str) -> float | None:
            value = kwargs.pop(name)
            return None if value is None else float(str(value))

        def texts(name: str) -> tuple[str, ...]:
            return cast("tuple[str, ...]", kwargs.pop(name))

        location = next(each for each in args if isinstance(each, Location))
        settings = location.config().backfill
        mode = Mode(str(kwargs.pop("mode") or settings.mode))
        windows = texts("windows")
        throttling = throttling_of(settings, mode, windows, texts("throttles"), location.directory)
        duty, wal, lag = optional("duty"), optional("max_wal"), optional("max_replica_lag")
        lease = number("lease")
        context = click.get_current_context()

        def asked(option: str) -> bool:
            return context.get_parameter_source(option) is not ParameterSource.DEFAULT

        workers = int(number("workers"))
        lock, statement = int(number("lock_timeout")), int(number("statement_timeout"))
        pace = Pace(
            given=frozenset(setting for option, setting in _SETTINGS.items() if asked(option)),
            commit_seconds=number("target_ms") / 1000,
            largest=int(number("max_batch")),
            duty=mode.duty if duty is None else duty,
            rows_per_second=optional("max_rows_per_second"),
            replica_lag=throttling.replica_lag if lag is None else int(lag * 1_000_000) or None,
            wal_per_second=settings.max_wal if wal is None else wal * 1_000_000,
            throttling=throttling,
            fence_seconds=number("fence_timeout"),
            patience=number("give_up_after"),
            lease_seconds=lease,
            workers=workers,
            timeouts=Timeouts(
                lock=lock,
                statement=statement,
                # A frozen client's locks must be gone when its lease is.
                idle=int(min(5.0, lease / 2) * 1000),
            ),
            terms=Terms(
                windows=windows or None,
                workers=workers if asked("workers") else None,
                lock_timeout=lock if asked("lock_timeout") else None,
                statement_timeout=statement if asked("statement_timeout") else None,
            ),
        )
        return command(pace, *args, **kwargs)

    for option in reversed(_PACE):
        paced = option(paced)
    return paced


def resolved_url(location: Location, database_url: str | None) -> str:
    """The database to work on; an Alembic project is asked last, and need not be there."""
    from evolve.app.target import database_url as choose

    config = location.config()
    given = database_url or config.resolved_database_url()
    if given:
        return given
    from evolve.revisions.project import NoProject

    try:
        alembic = location.project(config).database_url
    except NoProject:
        alembic = None
    return choose(None, None, alembic)
