"""`evolve partition undo`: back to what a conversion or a move replaced, while that is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evolve.cli.backfill_options import quiet_option, resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_running import carry_out, exclude

if TYPE_CHECKING:
    from evolve.partition.steps import Track


@click.command()
@click.argument("table")
@click.option("--explain", is_flag=True, help="Show every statement.")
@click.option(
    "--run", "--yes", "run", is_flag=True, help="Do it; without it only what would be lost is shown."
)
@click.option("--dry-run", is_flag=True, help="Only show it, as without --run.")
@click.option("--resume", is_flag=True, help="Go on where the way back stopped.")
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
def undo(
    location: Location,
    /,
    table: str,
    explain: bool,
    run: bool,
    dry_run: bool,
    resume: bool,
    quiet: bool,
    report_format: str,
    database_url: str | None,
) -> int:
    """Bring back what the last conversion or move of TABLE replaced, and say before what would be lost.

    \b
    evolve partition undo orders
    evolve partition undo orders --run

    Possible until evolve partition finish: until then what was replaced is kept in step. The table is read and written
    meanwhile.
    """
    from evolve.app.undo_partitioning import plan_undo
    from evolve.report import partition as report
    from evolve.sql.names import parse_name

    exclude({"--resume": resume, "--run": run, "--dry-run": dry_run})
    name = parse_name(table)
    url = resolved_url(location, database_url)
    if resume:
        return carry_out(location, url, name, "resume", report_format, quiet=quiet)
    undoing = plan_undo(url, name, writing=run)
    if run:
        return carry_out(location, url, name, "undo", report_format, quiet=quiet)
    conversion = undoing.record.conversion
    tracks: tuple[Track, ...] = (
        ("abandon",) if undoing.record.state == "swapped back" else ("back", "abandon")
    )
    if report_format == "json":
        data = report.undo_data(conversion, tracks, undoing.lost, undoing.returns)
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        click.echo(report.undo_text(conversion, tracks, undoing.lost, undoing.returns, explain=explain))
        click.echo("\nnothing was changed; add --run to do it")
    return 0
