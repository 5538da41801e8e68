"""`evolve tripwire`: triggers that tell who still writes what a change takes away next."""

from __future__ import annotations

import json

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

_SCHEMA = 1


@click.command("tripwire")
@click.argument("change")
@click.option("--disarm", is_flag=True, help="Take the tripwires of CHANGE away.")
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    change: str,
    disarm: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Have the database tell who still writes what CHANGE takes away next.

    A trigger notes role, application and statement, each session once a minute; it neither slows nor fails a write.
    Of a column it tells every UPDATE that names it, of a table every write. `evolve status CHANGE` shows who met it,
    and the gate before the next phase is shut until one that is armed anew has met nobody. `evolve advance` takes it
    away.
    """
    from evolve.app import target, tripwire

    config = location.config()
    project = location.project(config)
    url = target.database_url(database_url or config.resolved_database_url(), None, project.database_url)
    if disarm:
        taken = tripwire.disarm(url, change)
        answer: dict[str, object] = {"disarmed": taken}
        told = "its tripwires are gone" if taken else "none was armed"
    else:
        armed = tripwire.arm(project, url, change)
        answer = {"armed": [{"table": each.relation, "trigger": each.trigger} for each in armed]}
        told = f"armed on {', '.join(each.relation for each in armed)}; who meets it: evolve status {change}"
    as_json = json.dumps({"schema": _SCHEMA, "change": change, **answer}, indent=2)
    click.echo(as_json if report_format == "json" else f"{change}: {told}")
