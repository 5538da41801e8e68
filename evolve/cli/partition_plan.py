"""`evolve partition plan`: what would be done with a table, which recipe or move, and why."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_wish import options_of, recipe_options, scheme_options, wish_of
from evolve.errors import Misuse


class AlreadyPartitioned(Misuse):
    def __init__(self, table: str, option: str) -> None:
        super().__init__(
            f'"{table}" is partitioned already, so {option} says nothing',
            why="how it is cut stands in the settings, or in what evolve noted when it was converted",
            fix=f"evolve partition plan {table}; to cut one partition otherwise: evolve partition split --help",
        )


@click.command()
@click.argument("table")
@scheme_options
@recipe_options
@click.option("--explain", is_flag=True, help="Show every statement.")
@format_option("text", "json")
@database_url_option
@project_options
def plan(
    location: Location,
    /,
    table: str,
    method: str | None,
    key: str | None,
    interval: str | None,
    timezone: str | None,
    premake: str | None,
    settings: tuple[str, ...],
    recipe: str | None,
    unique: tuple[str, ...],
    explain: bool,
    report_format: str,
    database_url: str | None,
) -> int:
    """Show what would be done with TABLE, chosen by what is there, and why; nothing is changed.

    \b
    evolve partition plan orders --method range --key created_at --interval "1 month"
    evolve partition plan orders

    An ordinary table: the conversion, by the recipe that fits it. A partitioned one: the move it would gain most by, as
    a default partition that holds rows, or a partition that its scheme cuts into several.

    Exit status: 0 a plan, or there is nothing to do; 1 something stands in the way; 2 the question was wrong.
    """
    from evolve.app import convert_table
    from evolve.app.propose_move import is_partitioned, propose_move
    from evolve.report import partition as report
    from evolve.sql.names import parse_name

    name = parse_name(table)
    url = resolved_url(location, database_url)
    now = datetime.now(UTC)
    options = options_of(settings, key=key, interval=interval, timezone=timezone, premake=premake)
    if is_partitioned(url, name):
        said = {"--method": method, "--recipe": recipe, "--unique": unique} | {
            f"--{each}": 1 for each in options
        }
        for option, value in said.items():
            if value:
                raise AlreadyPartitioned(table, option)
        found = propose_move(url, location.config().partition, name, now)
        commands = [(each.command, each.reason) for each in found.candidates]
        if report_format == "json":
            data = report.proposal_data(name.plain, commands, found.plan, found.obstacles, found.due)
            click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        else:
            text = report.proposal_text(
                str(name), commands, found.plan, found.obstacles, found.due, explain=explain
            )
            click.echo(text)
        return 1 if found.obstacles else 0
    conversion = convert_table.plan_conversion(
        url, wish_of(location, name, method, options, recipe, unique), now
    )
    if report_format == "json":
        click.echo(json.dumps(report.plan_data(conversion), indent=2, ensure_ascii=False))
    else:
        click.echo(report.plan_text(conversion, explain=explain))
        click.echo(
            "\nnothing was changed; evolve partition convert, with the same options and --run, does it"
        )
    return 0
