"""`evolve backfill rejects` and `evolve backfill retry-rejects`: rows that a run could not write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evolve.cli.backfill_observing import Observing, observing_options
from evolve.cli.backfill_options import pace_options, quiet_option, resolved_url, verify_option
from evolve.cli.backfill_progress import SCHEMA, showing
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.stopping import signals
from evolve.counted import counted

if TYPE_CHECKING:
    from evolve.app.backfill_work import Pace


@click.command()
@click.argument("name")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Rows at most."
)
@format_option("text", "json")
@database_url_option
@project_options
def rejects(
    location: Location, /, name: str, limit: int, report_format: str, database_url: str | None
) -> None:
    """List the rows that the last run of NAME could not write, each by its key and with its error.

    Also those that could not take their old values when it was undone.
    """
    from evolve.app.retry_rejects import list_rejects
    from evolve.app.undo_backfill import list_unrestored
    from evolve.cli import backfill_text

    url = resolved_url(location, database_url)
    record, found = list_rejects(url, name, limit)
    unrestored = list_unrestored(url, name, limit) if record.unrestored else []
    if report_format == "json":
        rows = [backfill_text.reject_json(each) for each in found]
        left = [backfill_text.reject_json(each) for each in unrestored]
        click.echo(
            json.dumps(
                {
                    "schema": SCHEMA,
                    "name": name,
                    "count": record.rejects,
                    "rejects": rows,
                    "unrestored_count": record.unrestored,
                    "unrestored": left,
                }
            )
        )
        return
    if unrestored:
        click.echo(f"{counted(record.unrestored, 'row')} could not take their old values:")
        click.echo("\n".join(f"  {backfill_text.reject_line(each)}" for each in unrestored))
        if not found:
            return
    if not record.rejects:
        click.echo(f'backfill "{name}" has set no row aside')
        return
    click.echo("\n".join(backfill_text.reject_line(each) for each in found))
    if record.rejects > len(found):
        click.echo(f"and {counted(record.rejects - len(found), 'more row')}")


@click.command("retry-rejects")
@click.argument("name")
@verify_option
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
@observing_options
@pace_options
def retry_rejects(
    pace: Pace,
    location: Location,
    /,
    name: str,
    verify: bool,
    quiet: bool,
    observing: Observing,
    report_format: str,
    database_url: str | None,
) -> int:
    """Try rows once more that the run NAME could not write, each alone, in small transactions.

    For when they are mended, or what refused them. A row that is gone by now, or needs no work, counts as
    resolved. The run must be done. Exit status: 0 none is left; 3 some still fail; 1 stopped, or rows missing.
    """
    from evolve.app.retry_rejects import retry_rejects as retry
    from evolve.backfill.functions import search
    from evolve.cli import backfill_text

    search(location.directory)
    url = resolved_url(location, database_url)
    with (
        showing(report_format, quiet=quiet or observing.as_json(location)) as watch,
        signals() as stop,
        observing.around(location, watch) as (watched, observer),
    ):
        retried = retry(url, name, pace=pace, stop=stop, watch=watched, verify=verify, observer=observer)
    if report_format == "json":
        click.echo(json.dumps(backfill_text.retried_json(retried)))
    else:
        click.echo(backfill_text.retried_text(retried))
    return backfill_text.exit_status(retried.outcome)
