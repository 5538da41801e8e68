"""`evolve backfill log` and `evolve backfill forget`: what happened, and what need not be kept any longer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.backfill_progress import SCHEMA
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.counted import counted

if TYPE_CHECKING:
    from evolve.app.forget_backfill import Forgotten
    from evolve.backfill.record import Event


@click.command()
@click.argument("name")
@click.option(
    "--last", type=click.IntRange(min=1), default=200, show_default=True, metavar="N", help="Events at most."
)
@format_option("text", "json")
@database_url_option
@project_options
def log(location: Location, /, name: str, last: int, report_format: str, database_url: str | None) -> None:
    """Show what happened to NAME in all its runs, and who did it; the oldest first."""
    from evolve.app.backfill_log import backfill_log

    events = backfill_log(resolved_url(location, database_url), name, last)
    if report_format == "json":
        click.echo(json.dumps({"schema": SCHEMA, "name": name, "events": [_event(*each) for each in events]}))
    else:
        for run, event in events:
            line = f"{event.at:%Y-%m-%d %H:%M:%S %Z} run {run} {event.kind} by {event.actor} {event.detail}"
            click.echo(line.rstrip())


@click.command()
@click.argument("name", required=False)
@click.option(
    "--expired", is_flag=True, help="All that ended longer ago than keep_undo in [tool.evolve.backfill]."
)
@click.option(
    "--force",
    is_flag=True,
    help="Also where it was not verified, missed rows, was cancelled, or is half undone.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go.")
@format_option("text", "json")
@database_url_option
@project_options
def forget(
    location: Location,
    /,
    name: str | None,
    expired: bool,
    force: bool,
    dry_run: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Drop what the ended run NAME keeps: old values, events, and the runs of that name before it.

    It can not be undone afterwards. That it was done stays known, with its verification and who forgot it: gates
    ask for that, and `run` does not walk the rows a second time.
    """
    from evolve.app.forget_backfill import forget_backfill, forget_expired

    if (name is None) is not expired:
        raise click.UsageError("give the NAME of a run, or --expired")
    url = resolved_url(location, database_url)
    if name is not None:
        found = [forget_backfill(url, name, force=force, dry_run=dry_run)]
    else:
        found = forget_expired(url, location.config().backfill.keep_undo, force=force, dry_run=dry_run)
    if report_format == "json":
        click.echo(
            json.dumps(
                {"schema": SCHEMA, "dry_run": dry_run, "forgotten": [_forgotten(each) for each in found]}
            )
        )
        return
    for each in found:
        click.echo(_line(each, dry_run=dry_run))
    if not found:
        click.echo("no run that keeps old values is old enough")


def _line(each: Forgotten, *, dry_run: bool) -> str:
    kept = each.kept
    runs, events = counted(kept.older, "older run"), counted(kept.events, "event")
    what = f"{kept.bytes / 1e6:.1f} MB of old values, {runs}, {events}"
    if each.refusal is not None:
        return f"{each.refusal}; it keeps {what}"
    return f'backfill "{each.name}" {"would lose" if dry_run else "is forgotten:"} {what}'


def _forgotten(each: Forgotten) -> dict[str, object]:
    return {
        "name": each.name,
        "bytes": each.kept.bytes,
        "older_runs": each.kept.older,
        "events": each.kept.events,
        "refusal": each.refusal,
    }


def _event(run: int, event: Event) -> dict[str, object]:
    return {
        "run": run,
        "at": event.at.isoformat(),
        "actor": event.actor,
        "kind": event.kind,
        "detail": event.detail,
    }
