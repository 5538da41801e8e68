"""`evolve partition drain`, `split`, `merge`, `rehash`: partitions of a live table give way to others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import click

from evolve.cli.backfill_options import quiet_option, resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_running import carry_out, exclude, mode_option, pair, workers_option
from evolve.errors import Misuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evolve.partition.conversion import Move


class NothingNamed(Misuse):
    def __init__(self, command: str, table: str, what: str, example: str) -> None:
        super().__init__(
            f"evolve partition {command} does not say {what}",
            fix=f"evolve partition {command} {table} {example}",
        )


class Chosen(TypedDict):
    """Options that all four have."""

    explain: bool
    run: bool
    dry_run: bool
    resume: bool
    rollback: bool
    mode: str | None
    workers: int
    quiet: bool
    report_format: str
    database_url: str | None


def _moving(function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(
        (
            click.option("--explain", is_flag=True, help="Show every statement."),
            click.option(
                "--run", "--yes", "run", is_flag=True, help="Do it; without it the plan is only shown."
            ),
            click.option("--dry-run", is_flag=True, help="Only show the plan, as without --run."),
            click.option("--resume", is_flag=True, help="Go on where it stopped."),
            click.option(
                "--rollback", is_flag=True, help="Give it up, before or after the swap; no write is lost."
            ),
            mode_option,
            workers_option,
            quiet_option,
            format_option("text", "json"),
            database_url_option,
            project_options,
        )
    ):
        function = option(function)
    return function


_settings = click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other option of the method."
)


@click.command()
@click.argument("table")
@click.option("--interval", help='Width of the new partitions: "1 month".  [default: that of the table]')
@_settings
@_moving
def drain(
    location: Location,
    /,
    table: str,
    interval: str | None,
    settings: tuple[str, ...],
    **chosen: Unpack[Chosen],
) -> int:
    """Give the rows of TABLE's default partition partitions of their own, while it is read and written.

    \b
    evolve partition drain orders --run

    No row is out of sight at any moment: it is copied beside the traffic, and a new, small default partition and the
    new partitions take the old one's place in one short transaction. The old one is kept in step until
    evolve partition finish.
    """
    return _move(location, "drain", table, (), _how(settings, interval=interval), chosen)


@click.command()
@click.argument("table")
@click.argument("partition", required=False)
@click.option("--interval", help='Width of the new ranges: "1 week".  [default: that of the table]')
@click.option("--at", help="Cut a range at these keys: 2026-01-01,2026-07-01.")
@click.option("--into", type=int, help="Into how many a hash partition falls.")
@_settings
@_moving
def split(
    location: Location,
    /,
    table: str,
    partition: str | None,
    interval: str | None,
    at: str | None,
    into: int | None,
    settings: tuple[str, ...],
    **chosen: Unpack[Chosen],
) -> int:
    """Split PARTITION of TABLE into several, while it is read and written.

    \b
    evolve partition split orders orders_p_before_2026_12 --run
    evolve partition split orders orders_p2026_01 --interval "1 week" --run
    evolve partition split events events_h4_1 --into 2 --run

    A list falls into the sets of the settings, or of --set "values=eu=de,fr; us=us". The old partition is kept in step
    until evolve partition finish.
    """
    how = _how(settings, interval=interval, at=at, into=into)
    if partition is None and not (chosen["resume"] or chosen["rollback"]):
        raise NothingNamed("split", table, "which partition", "PARTITION")
    return _move(location, "split", table, (partition,) if partition else (), how, chosen)


@click.command()
@click.argument("table")
@click.argument("partitions", nargs=-1)
@_moving
def merge(location: Location, /, table: str, partitions: tuple[str, ...], **chosen: Unpack[Chosen]) -> int:
    """Make one of PARTITIONS of TABLE, while it is read and written.

    \b
    evolve partition merge orders orders_p2026_01 orders_p2026_02 orders_p2026_03 --run

    Ranges must follow one another; of a hash, all parts of one remainder. The old partitions are kept in step until
    evolve partition finish.
    """
    if len(set(partitions)) < 2 and not (chosen["resume"] or chosen["rollback"]):
        raise NothingNamed("merge", table, "which partitions, two at least", "PARTITION PARTITION …")
    return _move(location, "merge", table, partitions, {}, chosen)


@click.command()
@click.argument("table")
@click.option("--modulus", type=int, help="How many partitions TABLE is to have.")
@_moving
def rehash(location: Location, /, table: str, modulus: int | None, **chosen: Unpack[Chosen]) -> int:
    """Spread the rows of TABLE over another number of hash partitions, while it is read and written.

    \b
    evolve partition rehash events --modulus 8 --run

    Any number to any other. All rows move at once, so it needs room for a second copy of the table; where that is
    short, grow one partition at a time: evolve partition split events events_h4_1 --into 2.
    """
    if modulus is None and not (chosen["resume"] or chosen["rollback"]):
        raise NothingNamed("rehash", table, "how many partitions it is to have", "--modulus 8")
    return _move(location, "rehash", table, (), {"modulus": modulus}, chosen)


def _how(settings: tuple[str, ...], **given: object) -> Mapping[str, object]:
    named = {name: value for name, value in given.items() if value is not None}
    return named | dict(pair("--set", text) for text in settings)


def _move(
    location: Location,
    command: Move,
    table: str,
    partitions: tuple[str, ...],
    how: Mapping[str, object],
    chosen: Chosen,
) -> int:
    from evolve.app.move_partitions import MoveWish, plan_move
    from evolve.report import partition as report
    from evolve.sql.names import parse_name

    resume, rollback, run = chosen["resume"], chosen["rollback"], chosen["run"]
    exclude({"--resume": resume, "--rollback": rollback, "--run": run, "--dry-run": chosen["dry_run"]})
    name = parse_name(table)
    # Whatever is under way: there is one at a time.
    tables = location.config().partition
    url = resolved_url(location, chosen["database_url"])
    report_format, quiet, mode = chosen["report_format"], chosen["quiet"], chosen["mode"]
    if resume or rollback:
        action: Literal["resume", "roll back"] = "resume" if resume else "roll back"
        return carry_out(
            location, url, name, action, report_format, quiet=quiet, mode=mode, workers=chosen["workers"]
        )
    wish = MoveWish(name, command, partitions, how)
    conversion = plan_move(url, tables, wish, datetime.now(UTC), writing=run)
    if run:
        return carry_out(
            location,
            url,
            conversion,
            "convert",
            report_format,
            quiet=quiet,
            mode=mode,
            workers=chosen["workers"],
        )
    if report_format == "json":
        click.echo(json.dumps(report.plan_data(conversion), indent=2, ensure_ascii=False))
    else:
        click.echo(report.plan_text(conversion, explain=chosen["explain"]))
        click.echo("\nnothing was changed; add --run to do it")
    return 0
