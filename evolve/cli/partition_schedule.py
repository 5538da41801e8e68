"""`evolve partition schedule`: write the unit that runs upkeep."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, project_options
from evolve.cli.partition_policies import models_option, policies_of


@click.command()
@click.argument("table", required=False)
@click.option(
    "--as",
    "scheduler",
    type=click.Choice(("cron", "systemd", "k8s", "pg_cron")),
    required=True,
    help="What will run it.",
)
@click.option(
    "--at",
    default="03:17",
    show_default=True,
    help="Time of day of premake; retain comes half an hour later.",
)
@click.option("--role", default="evolve_upkeep", show_default=True, help="The role it will be.")
@click.option("--image", help="For k8s: an image that has evolve and the settings in it.")
@models_option
@database_url_option
@project_options
def schedule(
    location: Location,
    /,
    table: str | None,
    scheduler: str,
    at: str,
    role: str,
    image: str | None,
    models: bool,
    database_url: str | None,
) -> int:
    """Write the unit that runs premake, retain and check, of TABLE or of every table that is known.

    \b
    evolve partition schedule --as cron >> crontab
    evolve partition schedule --as k8s --image registry.example.org/app:1.0 | kubectl apply -f -

    Also tells the least that its role needs. Changes nothing.
    """
    from evolve.app.schedule_upkeep import schedule as use
    from evolve.partition.schedule import Scheduler
    from evolve.sql.names import parse_name

    options: tuple[str, ...] = ("--models",) if models else ()
    if location.environment:
        options += ("--environment", location.environment)
    text = use(
        resolved_url(location, database_url),
        policies_of(location, models),
        parse_name(table) if table else None,
        datetime.now(UTC),
        cast("Scheduler", scheduler),
        role=role,
        at=at,
        folder=location.directory,
        options=options,
        image=image,
    )
    click.echo(text)
    return 0
