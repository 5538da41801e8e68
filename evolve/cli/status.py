"""`evolve status`: the changes in flight, what each waits for, and the next command."""

from __future__ import annotations

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options


@click.command("status")
@click.argument("change", required=False)
@click.option("--offline", is_flag=True, help="Look at the project's files alone.")
@click.option(
    "--graph", is_flag=True, help="Show which change works on which table and column; two never share one."
)
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    change: str | None,
    offline: bool,
    graph: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Show the changes in flight, or CHANGE with all its gates and its history."""
    from evolve.app.change_status import change_status
    from evolve.app.gate_rules import gate_rules
    from evolve.app.target import NoDatabase
    from evolve.app.target import database_url as choose
    from evolve.report.changes import Line, to_graph, to_json, to_text

    config = location.config()
    project = location.project(config)
    url = None
    if not offline and not graph:
        try:
            url = choose(database_url or config.resolved_database_url(), None, project.database_url)
        except NoDatabase:
            click.echo("no database is named: this is what the files say", err=True)
    lines = [
        Line(
            status.manifest,
            status.manifest.following.name if status.manifest.following else None,
            status.missing,
            status.standing.not_applied if status.standing else None,
            status.standing.seen if status.standing else (),
            tuple(
                (
                    event.at,
                    event.told,
                    event.actor,
                )
                for event in status.history
            ),
            status.command,
        )
        for status in change_status(project, change, url, gate_rules(config))
    ]
    if graph and report_format == "text":
        click.echo(to_graph([line.manifest for line in lines if line.following is not None]))
        return
    click.echo(to_json(lines) if report_format == "json" else to_text(lines, detailed=change is not None))
