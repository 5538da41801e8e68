"""`evolve partition explain`: which partitions queries scan, and why more than they need."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_running import NotTogether
from evolve.errors import Misuse


class NoQueries(Misuse):
    def __init__(self, table: str) -> None:
        super().__init__(
            "which queries are to be explained is not said",
            fix=f"evolve partition explain {table} queries.sql, or evolve partition explain {table} --from-statements",
        )


@click.command()
@click.argument("table")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from-statements", is_flag=True, help="Those that pg_stat_statements has counted.")
@click.option(
    "--max-partitions",
    type=click.IntRange(min=0),
    metavar="K",
    help="Exit status 1 if a query scans more than K partitions.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="With --max-partitions: not even with other values; and each query must be explained.",
)
@click.option(
    "--statement-timeout",
    type=click.IntRange(min=1),
    default=5_000,
    show_default=True,
    metavar="MS",
    help="Give up the planning of a query after so long.",
)
@format_option("text", "json")
@database_url_option
@project_options
def explain(
    location: Location,
    /,
    table: str,
    files: tuple[Path, ...],
    from_statements: bool,
    max_partitions: int | None,
    strict: bool,
    statement_timeout: int,
    report_format: str,
    database_url: str | None,
) -> int:
    """Show which partitions of TABLE the queries of FILES scan, why, and how to scan fewer.

    \b
    evolve partition explain orders queries.sql --max-partitions 3
    evolve partition explain orders --from-statements

    The queries are planned and not run, in transactions that only read. $1, %s, %(name)s and :name stand for values
    that are not known: a query is planned without them, and begun with some that scan few partitions. Where the values
    decide how many, it says so; write them into the query to have it counted.

    Exit status 1: a query scans more than --max-partitions.
    """
    from evolve.app.explain_queries import explain_queries
    from evolve.report import partition_explain as report
    from evolve.sql.names import parse_name

    if not files and not from_statements:
        raise NoQueries(table)
    if files and from_statements:
        raise NotTogether("FILES", "--from-statements")
    found = explain_queries(
        resolved_url(location, database_url),
        parse_name(table),
        files,
        max_partitions,
        strict=strict,
        timeout=statement_timeout,
    )
    if report_format == "json":
        click.echo(json.dumps(report.to_data(found), indent=2, ensure_ascii=False))
    else:
        click.echo(report.to_text(found))
    return 0 if found.passes else 1
