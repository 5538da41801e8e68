"""`evolve registry …`: which versions of the application are deployed, and what they map."""

from __future__ import annotations

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.errors import Misuse


class OneOf(Misuse):
    def __init__(self) -> None:
        super().__init__("--column and --table do not go together", fix="leave out one of them")


@click.group()
def command() -> None:
    """Which versions of the application are deployed, and what they map.

    An application tells it with one line: evolve.client.register(engine, version=…, models=…). No phase begins that
    takes away what a live version maps.
    """


@command.command("list")
@click.option("--column", metavar="TABLE.COLUMN", help="Only live versions that map this column.")
@click.option("--table", metavar="TABLE", help="Only live versions that map this table or view.")
@format_option("text", "json")
@database_url_option
@project_options
def show(
    location: Location, column: str | None, table: str | None, report_format: str, database_url: str | None
) -> None:
    """List the versions that have reported: live ones first, with what they map."""
    from evolve.app import deployed_versions
    from evolve.report import registry

    if column is not None and table is not None:
        raise OneOf
    url = resolved_url(location, database_url)
    place = deployed_versions.place(column, table)
    if place is None:
        versions = deployed_versions.versions(url)
        click.echo(
            registry.versions_json(versions) if report_format == "json" else registry.versions_text(versions)
        )
        return
    users = deployed_versions.users_of(url, place)
    what = column or table or ""
    click.echo(registry.users_json(users) if report_format == "json" else registry.users_text(users, what))


@command.command()
@click.option(
    "--role",
    "roles",
    multiple=True,
    help="Let this role report, as the application logs in; several times for several.  [default: every role]",
)
@click.option(
    "--reader", "readers", multiple=True, help="Let this role read, as revisions run and as `evolve` looks."
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the script, for whoever may run it.")
@database_url_option
@project_options
def install(
    location: Location,
    roles: tuple[str, ...],
    readers: tuple[str, ...],
    as_sql: bool,
    database_url: str | None,
) -> None:
    """Make schema "evolve_client", where applications report; once more brings it up to date.

    Run it as the role that runs the revisions, which then may read it; it needs CREATE on the database.
    """
    from evolve.app import deployed_versions

    if as_sql:
        click.echo(deployed_versions.script(roles, readers), nl=False)
        return
    deployed_versions.install(resolved_url(location, database_url), roles, readers)
    click.echo(f"the registry is there; {', '.join(roles) if roles else 'every role'} may report to it")


@command.command()
@click.option(
    "--version", help="All instances of this version, alive or not.  [default: all that are not alive]"
)
@click.option("--application", help="Only of this application.")
@database_url_option
@project_options
def forget(
    location: Location, version: str | None, application: str | None, database_url: str | None
) -> None:
    """Forget instances that are not alive; one that is comes back with its next heartbeat."""
    from evolve.app import deployed_versions
    from evolve.counted import counted

    count = deployed_versions.forget(resolved_url(location, database_url), version, application)
    click.echo(f"{counted(count, 'instance')} forgotten")
