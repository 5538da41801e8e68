"""`evolve partition check`: tell in time what is wrong with partitioned tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_policies import models_option, policies_of


@click.command()
@click.argument("table", required=False)
@models_option
@format_option("text", "json", "metrics")
@database_url_option
@project_options
def check(
    location: Location, /, table: str | None, models: bool, report_format: str, database_url: str | None
) -> int:
    """Look whether the partitions of TABLE, or of every table that is known, are as they should be.

    Tells how long the partitions ahead will last, rows in a default partition, detaches that were interrupted, invalid
    indexes, partitions that are unlike new ones, settings that changed, what should have been let go, and statistics
    that are stale. Changes nothing; with --format metrics it writes what Prometheus reads from a file.

    Exit status: 0 all is well; 1 a warning; 2 critical: rows are refused now, or the question was wrong.
    """
    from evolve.app.check_partitions import check_partitions
    from evolve.report import partition_upkeep as report
    from evolve.sql.names import parse_name

    url = resolved_url(location, database_url)
    only = parse_name(table) if table else None
    checked = check_partitions(url, policies_of(location, models), only, datetime.now(UTC))
    match report_format:
        case "json":
            click.echo(json.dumps(report.checked_data(checked), indent=2, ensure_ascii=False))
        case "metrics":
            click.echo(report.metrics_text(checked))
        case _:
            click.echo(report.checked_text(checked))
    return max(int(each.level) for each in checked)
