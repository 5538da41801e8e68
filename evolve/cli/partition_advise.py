"""`evolve partition advise`: by which column a table is best partitioned, and which of its indexes are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options


@click.command()
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option(
    "--facts",
    "facts_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Judge by what evolve facts export --workload wrote, without a database.",
)
@click.option(
    "--min-size",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="GB",
    help="Below it a table is best in one piece.",
)
@format_option("text", "json")
@database_url_option
@project_options
def advise(
    location: Location,
    /,
    tables: tuple[str, ...],
    facts_file: Path | None,
    min_size: float,
    report_format: str,
    database_url: str | None,
) -> int:
    """Score the columns of TABLEs as partition and shard keys, and look at the indexes.

    \b
    evolve partition advise orders
    evolve partition advise orders --facts production.json

    Judged are the statements that pg_stat_statements has counted, by the time they take; the planner's statistics; the
    keys, foreign keys and indexes. Each score comes with its parts. Often the right answer is none. Nothing is written,
    and no row is read. Without TABLE all tables are looked at.
    """
    from evolve.app import advise_table as use
    from evolve.report import partition_advise as report
    from evolve.sql.names import parse_name

    names = [parse_name(table) for table in tables]
    least = round(min_size * 10**9)
    if facts_file is not None:
        advice, notes = use.advise_from(facts_file, names, least)
    else:
        advice, notes = use.advise(resolved_url(location, database_url), names, least)
    if report_format == "json":
        click.echo(json.dumps(report.to_data(advice, notes), indent=2, ensure_ascii=False))
    else:
        click.echo(report.to_text(advice, notes))
    return 0
