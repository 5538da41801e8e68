"""`evolve history`: what evolve did in this database, who did it and when."""

from __future__ import annotations

import json

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

_SCHEMA = 1


@click.command("history")
@click.argument("subject", required=False)
@click.option("--gates", is_flag=True, help="What was seen at each gate as well.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    subject: str | None,
    gates: bool,
    last: int | None,
    report_format: str,
    database_url: str | None,
) -> None:
    """Show what happened in this database, oldest first: changes, gates, upgrades, backfills.

    With SUBJECT only what is about that change, revision or backfill. It is read from schema evolve, where each command
    keeps what it did; plain `alembic upgrade` keeps nothing there.
    """
    from evolve.app import target
    from evolve.postgres.evidence import looking
    from evolve.postgres.told import everything

    config = location.config()
    project = location.project(config)
    url = target.database_url(database_url or config.resolved_database_url(), None, project.database_url)
    with looking(url, "evolve history") as connection:
        found = [told for told in everything(connection, gates=gates) if subject in (None, told.subject)]
    shown = found[-last:] if last else found
    if report_format == "json":
        rows = [
            {"at": told.at.isoformat(), "subject": told.subject, "what": told.what, "actor": told.actor}
            for told in shown
        ]
        click.echo(json.dumps({"schema": _SCHEMA, "history": rows}, indent=2))
        return
    width = max((len(told.subject) for told in shown), default=0)
    for told in shown:
        click.echo(f"{told.at:%Y-%m-%d %H:%M:%S}  {told.subject:<{width}}  {told.what} ({told.actor})")
    if not shown:
        click.echo(
            "nothing was kept in this database, or nothing that this role may read"
            if subject is None
            else f'nothing is known of "{subject}" here'
        )
