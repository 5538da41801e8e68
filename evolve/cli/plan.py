"""`evolve plan`: how a change is done in phases while the application runs; one subcommand per recipe."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.sql.names import BadName, parse_column, parse_name

if TYPE_CHECKING:
    from evolve.app.plan_change import Written
    from evolve.plan.model import Change, Plan

P = ParamSpec("P")


@click.group("plan")
def command() -> None:
    """Show how a change is done in phases while the application runs; with --write, begin it.

    \b
    expand    add the new shape beside the old, kept equal by a trigger
    backfill  bring the rows that exist up to date
    validate  indexes and constraints of the new shape
    switch    deploy code that uses it
    contract  take the old shape away from every client, and keep it
    purge     drop what was kept

    `evolve advance` goes from one phase to the next when its gates are open.
    """


@command.command("list")
@format_option("text", "json")
def list_recipes(report_format: str) -> None:
    """List the changes that evolve knows how to do."""
    from evolve.plan.recipes import ALL

    if report_format == "json":
        rows = [{"kind": kind, "summary": summary} for kind, summary in ALL.items()]
        click.echo(json.dumps({"schema": 1, "recipes": rows}, indent=2))
        return
    for kind, summary in ALL.items():
        click.echo(f"{kind:<22}{summary}")


@dataclass(frozen=True, slots=True)
class _How:
    """What every recipe's subcommand takes beside its own arguments."""

    location: Location
    database_url: str | None
    report_format: str
    write: bool
    explain: bool
    offline: bool


def _options(function: Callable[Concatenate[_How, P], None]) -> Callable[..., None]:
    """Add the options of every recipe; the function gets them as one `_How`, its first argument."""

    @click.option("--write", is_flag=True, help="Write the expand revision and the manifest.")
    @click.option("--explain", is_flag=True, help="Show every statement, its lock, and the way back.")
    @click.option("--offline", is_flag=True, help="Take facts from the revisions, not from a database.")
    @format_option("text", "json", "markdown")
    @database_url_option
    @project_options
    @functools.wraps(function)
    def run(location: Location, /, *args: P.args, **kwargs: P.kwargs) -> None:
        how = _How(
            location,
            kwargs.pop("database_url"),  # type: ignore[arg-type]  # click fills them as declared above
            kwargs.pop("report_format"),  # type: ignore[arg-type]
            kwargs.pop("write") is True,
            kwargs.pop("explain") is True,
            kwargs.pop("offline") is True,
        )
        function(how, *args, **kwargs)

    return run


@command.command("rename-column")
@click.argument("column")
@click.argument("to")
@click.option(
    "--on-conflict",
    type=click.Choice(["raise", "new-wins", "old-wins"]),
    default="raise",
    show_default=True,
    help="When one statement writes different values to both names.",
)
@_options
def rename_column(how: _How, column: str, to: str, on_conflict: str) -> None:
    """Give COLUMN (table.column) the name TO."""
    from evolve.plan.model import OnConflict, RenameColumn

    policies: dict[str, OnConflict] = {"raise": "raise", "new-wins": "new wins", "old-wins": "old wins"}
    table, name = parse_column(column)
    _plan(how, RenameColumn(table, name, _column_name(to), policies[on_conflict]))


@command.command("set-not-null")
@click.argument("column")
@click.option(
    "--fill",
    metavar="SQL",
    help="Expression over the row's columns that replaces a null, for rows that exist and for old code's writes.",
)
@_options
def set_not_null(how: _How, column: str, fill: str | None) -> None:
    """Make COLUMN (table.column) NOT NULL."""
    from evolve.plan.model import SetNotNull

    table, name = parse_column(column)
    _plan(how, SetNotNull(table, name, fill))


@command.command("add-required-column")
@click.argument("column")
@click.argument("type_name", metavar="TYPE")
@click.option(
    "--up",
    required=True,
    metavar="SQL",
    help="Value for rows that exist and for rows that old code writes: an expression over the row's columns.",
)
@click.option("--default", metavar="SQL", help="Default that the column keeps for good.")
@_options
def add_required_column(how: _How, column: str, type_name: str, up: str, default: str | None) -> None:
    """Add COLUMN (table.column) of TYPE that is NOT NULL."""
    from evolve.plan.model import AddRequiredColumn

    table, name = parse_column(column)
    _plan(how, AddRequiredColumn(table, name, type_name, up, default))


def _column_name(text: str) -> str:
    parsed = parse_name(text)
    if parsed.schema != "public" or "." in text.partition('"')[0]:
        raise BadName(text, "a column name")
    return parsed.name


def _plan(how: _How, change: Change) -> None:
    from evolve.app.plan_change import plan_change, write_plan
    from evolve.app.target import NoDatabase
    from evolve.app.target import database_url as choose
    from evolve.revisions.project import find_project

    config = how.location.config()
    project = find_project(
        how.location.directory, configuration=config.alembic_config, section=config.alembic_section
    )
    url = None
    if not how.offline:
        try:
            url = choose(how.database_url or config.resolved_database_url(), None, project.database_url)
        except NoDatabase:
            url = None  # the report says where the facts come from
    plan = plan_change(project, change, url)
    written = write_plan(project, plan) if how.write else None
    click.echo(_report(plan, written, how.report_format, explain=how.explain))
    if how.report_format == "text" and written is None:
        click.echo("nothing is written; begin it with --write", err=True)


def _report(plan: Plan, written: Written | None, report_format: str, *, explain: bool) -> str:
    from evolve.report import plan as report

    files = [] if written is None else [written.manifest, *written.revisions]
    if report_format == "json":
        return json.dumps({**report.as_data(plan), "written": [str(file) for file in files]}, indent=2)
    if report_format == "markdown":
        return report.to_markdown(plan, explain=explain)
    lines = [report.to_text(plan, explain=explain)]
    if written is not None:
        lines += ["", *(f"wrote {file}" for file in files)]
        lines.append(f"next: review and commit them, then: evolve upgrade; evolve advance {plan.id}")
    return "\n".join(lines)
