"""`evolve partition adopt`: take a table under upkeep that somebody else partitioned."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_running import exclude
from evolve.cli.partition_wish import options_of, scheme_options


@click.command()
@click.argument("table")
@scheme_options
@click.option("--run", "--yes", "run", is_flag=True, help="Do it; without it only what was found is shown.")
@click.option("--dry-run", is_flag=True, help="Only show it, as without --run.")
@format_option("text", "json")
@database_url_option
@project_options
def adopt(
    location: Location,
    /,
    table: str,
    method: str | None,
    key: str | None,
    interval: str | None,
    timezone: str | None,
    premake: str | None,
    settings: tuple[str, ...],
    run: bool,
    dry_run: bool,
    report_format: str,
    database_url: str | None,
) -> int:
    """Take TABLE under upkeep, whose partitions were made by hand or by another tool.

    \b
    evolve partition adopt orders
    evolve partition adopt orders --run

    Finds out how it is cut and tells what is out of the ordinary: names, gaps, a default partition, partitions unlike
    the others, another tool that maintains it. Writes nothing but the settings and a mark into the comments of the
    partitions. After that evolve partition premake keeps it ready.
    """
    from evolve.app.adopt_partitions import AdoptWish, plan_adoption
    from evolve.app.adopt_partitions import adopt as use
    from evolve.report import partition_adoption as report
    from evolve.sql.names import parse_name

    exclude({"--run": run, "--dry-run": dry_run})
    config = location.config()
    given = options_of(settings, key=key, interval=interval, timezone=timezone, premake=premake)
    wish = AdoptWish(parse_name(table), method, given, config.file, location.directory)
    url = resolved_url(location, database_url)
    adoption = plan_adoption(url, config.partition, wish, datetime.now(UTC), writing=run)
    if run:
        use(url, adoption)
    if report_format == "json":
        click.echo(json.dumps(report.adoption_data(adoption, done=run), indent=2, ensure_ascii=False))
    else:
        click.echo(report.adoption_text(adoption, done=run))
    return 0
