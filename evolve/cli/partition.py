"""`evolve partition …`: make a live table a partitioned one, keep its partitions ready, and see how it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Literal

import click

from evolve.cli.backfill_options import quiet_option, resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.partition_adopt import adopt
from evolve.cli.partition_advise import advise
from evolve.cli.partition_archive import archive, restore
from evolve.cli.partition_check import check
from evolve.cli.partition_explain import explain
from evolve.cli.partition_move import drain, merge, rehash, split
from evolve.cli.partition_plan import plan
from evolve.cli.partition_policies import models_option, policies_of
from evolve.cli.partition_retain import retain
from evolve.cli.partition_running import carry_out, exclude, mode_option, workers_option
from evolve.cli.partition_schedule import schedule
from evolve.cli.partition_undo import undo
from evolve.cli.partition_wish import options_of, recipe_options, said_again, scheme_options, wish_of


@click.group()
def command() -> None:
    """Make a live table a partitioned one, keep its partitions ready, and change how they are cut.

    Exit status: 0 done; 1 not done: something stands in the way, rows differ, a lock was not to be had; 2 the question
    was wrong.
    """


for subcommand in (plan, drain, split, merge, rehash, undo, adopt, explain, advise, retain, check, schedule):
    command.add_command(subcommand)
for subcommand in (archive, restore):
    command.add_command(subcommand)


@command.command()
@click.argument("table")
@scheme_options
@recipe_options
@click.option("--explain", is_flag=True, help="Show every statement.")
@click.option("--run", "--yes", "run", is_flag=True, help="Do it; without it the plan is only shown.")
@click.option("--dry-run", is_flag=True, help="Only show the plan, as without --run.")
@click.option("--resume", is_flag=True, help="Go on where a conversion stopped.")
@click.option(
    "--rollback", is_flag=True, help="Give a conversion up, before or after the swap; no write is lost."
)
@click.option(
    "--revision", is_flag=True, help="Write an Alembic revision that waits for it, and change nothing else."
)
@mode_option
@workers_option
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
def convert(
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
    run: bool,
    dry_run: bool,
    resume: bool,
    rollback: bool,
    revision: bool,
    mode: str | None,
    workers: int,
    quiet: bool,
    report_format: str,
    database_url: str | None,
) -> int:
    """Partition TABLE while it is read and written.

    \b
    evolve partition convert orders --method range --key created_at --interval "1 month" --run

    Without --run only the plan is shown. Each step is noted in the database: what is interrupted or killed goes on with
    --resume. After the swap the old table is kept in step, until evolve partition finish.

    With --revision the plan becomes a revision: alembic upgrade stops there until the table is converted, and
    partitions it itself where it has no rows.
    """
    from evolve.app import convert_table as use
    from evolve.report import partition as report
    from evolve.sql.names import parse_name

    exclude(
        {
            "--resume": resume,
            "--rollback": rollback,
            "--revision": revision,
            "--run": run,
            "--dry-run": dry_run,
        }
    )
    name = parse_name(table)
    url = resolved_url(location, database_url)
    if resume or rollback:
        action: Literal["resume", "roll back"] = "resume" if resume else "roll back"
        return carry_out(location, url, name, action, report_format, quiet=quiet, mode=mode, workers=workers)
    options = options_of(settings, key=key, interval=interval, timezone=timezone, premake=premake)
    wish = wish_of(location, name, method, options, recipe, unique)
    if revision:
        from evolve.app.conversion_revision import write_revision

        given = {"method": method, "key": key, "interval": interval, "timezone": timezone, "premake": premake}
        again = said_again(table, {**given, "recipe": recipe}, settings, unique)
        project = location.project(location.config())
        conversion, path = write_revision(url, project, wish, datetime.now(UTC), again)
        if report_format == "json":
            click.echo(
                json.dumps(report.revision_data(conversion, path, again), indent=2, ensure_ascii=False)
            )
        else:
            click.echo(report.revision_text(conversion, path, again))
        return 0
    conversion = use.plan_conversion(url, wish, datetime.now(UTC), writing=run)
    if run:
        return carry_out(
            location, url, conversion, "convert", report_format, quiet=quiet, mode=mode, workers=workers
        )
    if report_format == "json":
        click.echo(json.dumps(report.plan_data(conversion), indent=2, ensure_ascii=False))
    else:
        click.echo(report.plan_text(conversion, explain=explain))
        click.echo("\nnothing was changed; add --run to do it")
    return 0


@command.command()
@click.argument("table")
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
def finish(
    location: Location, /, table: str, quiet: bool, report_format: str, database_url: str | None
) -> int:
    """Drop what a conversion or a move replaced: from here on there is no way back."""
    from evolve.sql.names import parse_name

    url = resolved_url(location, database_url)
    return carry_out(location, url, parse_name(table), "finish", report_format, quiet=quiet)


@command.command()
@click.argument("table", required=False)
@click.option("--dry-run", is_flag=True, help="Only show what is missing.")
@models_option
@format_option("text", "json")
@database_url_option
@project_options
def premake(
    location: Location,
    /,
    table: str | None,
    dry_run: bool,
    models: bool,
    report_format: str,
    database_url: str | None,
) -> int:
    """Make the partitions that are missing, of TABLE or of every table that is known.

    Made to be run from a scheduler, on several machines at once if need be: what is there is left alone, gaps are
    filled, readers and writers of the table do not wait.

    Exit status 1: a partition that is wanted crosses one that is there, or could not be made. The other tables get
    theirs all the same.
    """
    from evolve.app.premake_partitions import premake as use
    from evolve.cli import print_error
    from evolve.report import partition as report
    from evolve.sql.names import parse_name

    done = use(
        resolved_url(location, database_url),
        policies_of(location, models),
        parse_name(table) if table else None,
        datetime.now(UTC),
        dry_run=dry_run,
        observe=lambda message: click.echo(message, err=True),
    )
    if report_format == "json":
        tables = [
            {
                "table": each.table.plain,
                "made": report.partitions_data(each.made),
                **report.due_data(each.due),
                "error": each.error.what if each.error else None,
            }
            for each in done
        ]
        click.echo(json.dumps({"schema": report.SCHEMA, "dry_run": dry_run, "tables": tables}, indent=2))
    else:
        word = "missing" if dry_run else "made"
        for each in done:
            if each.error is not None and not each.made:
                continue
            names = ", ".join(partition.name for partition in each.made)
            click.echo(f"{each.table.plain}: {f'{word} {names}' if names else 'nothing is missing'}")
            for line in report.conflict_lines(each.due):
                click.echo(f"  {line}", err=True)
    errors = [each.error for each in done if each.error is not None]
    for error in errors:
        print_error(error)
    return max([1 if any(each.due.conflicts for each in done) else 0, *(error.exit_code for error in errors)])


@command.command()
@click.argument("table")
@format_option("text", "json")
@database_url_option
@project_options
def status(location: Location, /, table: str, report_format: str, database_url: str | None) -> int:
    """Show how TABLE is partitioned, what is missing, and how far a conversion of it is."""
    from evolve.app.partition_status import partition_status
    from evolve.report import partition as report
    from evolve.sql.names import parse_name

    url = resolved_url(location, database_url)
    found = partition_status(url, location.config().partition, parse_name(table), datetime.now(UTC))
    working = found.at_work
    if report_format == "json":
        partitioned = found.partitioned
        data = {
            "schema": report.SCHEMA,
            "table": found.table.plain,
            "method": partitioned.method if partitioned else None,
            "key": list(partitioned.key) if partitioned else [],
            "partitions": report.partitions_data(partitioned.partitions) if partitioned else [],
            "due": report.due_data(found.due) if found.due else None,
            "conversion": report.record_data(found.conversion) if found.conversion else None,
            "at_work": None
            if working is None
            else {
                "session": working.who,
                "rows": working.rows,
                "total": working.total,
                "rows_per_second": working.rows_per_second,
                "seconds_left": working.seconds_left,
            },
        }
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return 0
    if found.partitioned is not None:
        click.echo(report.partitioned_text(found.partitioned, found.due))
    elif found.conversion is None:
        click.echo(f"{found.table.plain} is not partitioned")
    if found.conversion is not None:
        click.echo(report.record_text(found.conversion))
    if working is not None:
        rate, left = working.rows_per_second, working.seconds_left
        click.echo(report.at_work_text(working.rows, working.total, rate, left, working.who))
    return 0
