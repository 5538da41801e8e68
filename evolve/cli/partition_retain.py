"""`evolve partition retain`: let go of partitions that are past their retention."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_policies import models_option, policies_of


@click.command()
@click.argument("table", required=False)
@click.option("--dry-run", is_flag=True, help="Only show what would be let go.")
@models_option
@format_option("text", "json")
@database_url_option
@project_options
def retain(
    location: Location,
    /,
    table: str | None,
    dry_run: bool,
    models: bool,
    report_format: str,
    database_url: str | None,
) -> int:
    """Let go of partitions that are past their retention, of TABLE or of every table that is known.

    Detaches them with locks that neither readers nor writers wait for, keeps them as tables of their own for the
    grace of the policy, then drops them: only what carries evolve's mark, and only once archived where the policy says
    so. A detach that was interrupted is ended. Made to be run from a scheduler, apart from premake, on several machines
    at once if need be.

    Exit status 1: something past its retention stays until somebody acts. The other tables are looked after all the
    same.
    """
    from evolve.app.archive_partition import archived
    from evolve.app.retain_partitions import retain as use
    from evolve.cli import print_error
    from evolve.report import partition_upkeep as report
    from evolve.sql.names import parse_name

    done = use(
        resolved_url(location, database_url),
        policies_of(location, models),
        parse_name(table) if table else None,
        datetime.now(UTC),
        archived=archived,
        dry_run=dry_run,
        observe=lambda message: click.echo(message, err=True),
    )
    if report_format == "json":
        click.echo(json.dumps(report.retained_data(done, dry_run=dry_run), indent=2, ensure_ascii=False))
    elif text := report.retained_text(done):
        click.echo(text)
    errors = [each.error for each in done if each.error is not None]
    for error in errors:
        print_error(error)
    stays = any(not kept.waits for each in done for kept in each.kept)
    return max([1 if stays else 0, *(error.exit_code for error in errors)])
