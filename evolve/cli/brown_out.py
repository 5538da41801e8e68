"""`evolve brown-out`: hide what a change takes away next, to see whether anybody misses it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.brown_out import Outcome, Planned

_SCHEMA = 1
_UNITS = {"s": 1, "min": 60, "h": 3_600}


def _seconds(_: click.Context, __: click.Parameter, value: str) -> float:
    found = re.fullmatch(r"(\d{1,5})\s*(s|min|h)?", value)
    if found is None or int(found[1]) == 0:
        raise click.BadParameter('it must be a duration such as "90s", "5min" or "1h"')
    return float(int(found[1]) * _UNITS[found[2] or "s"])


@click.command("brown-out")
@click.argument("change")
@click.option("--for", "seconds", default="5min", show_default=True, callback=_seconds, help="How long.")
@click.option(
    "--check",
    metavar="COMMAND",
    help="Run every second by the shell; where it fails, somebody misses it.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be hidden, and from whom.")
@click.option(
    "--end", is_flag=True, help="Give back what a brown-out of CHANGE has hidden, whoever began it."
)
@click.option(
    "--as-it-is",
    is_flag=True,
    help="With --end: somebody has granted by hand what is missing; only forget it.",
)
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    change: str,
    seconds: float,
    check: str | None,
    dry_run: bool,
    end: bool,
    as_it_is: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Hide what CHANGE takes away next, for a while, by taking privileges on it away: no lock, and nobody waits.

    Applications that use `evolve.client` tell what they were refused; --check asks any other way. Where somebody
    misses it, it is given back at once, and the gate before the next phase is shut until another brown-out has found
    nobody. It is given back as well when this command is interrupted or killed.

    \b
    exit status  0  nobody missed it
                 1  somebody did, or it ended before its time
                 2  the question was wrong
    """
    from evolve.app import brown_out, target

    if as_it_is and not end:
        raise click.UsageError("--as-it-is goes with --end")
    config = location.config()
    project = location.project(config)
    url = target.database_url(database_url or config.resolved_database_url(), None, project.database_url)
    as_json = report_format == "json"
    if end:
        given = brown_out.end(url, change, as_it_is=as_it_is)
        told = "given back" if given else "nothing of it is hidden"
        answer = {"schema": _SCHEMA, "change": change, "given_back": given}
        click.echo(json.dumps(answer, indent=2) if as_json else f"{change}: {told}")
        return
    planned = brown_out.look(project, url, change)
    if dry_run:
        click.echo(_planned_json(planned) if as_json else "\n".join(_planned(planned)))
        return
    for line in _warnings(planned, check):
        click.echo(line, err=True)
    click.echo(f"hiding {planned.places} for {seconds:.0f} s; Ctrl-C gives it back", err=True)
    outcome = brown_out.run(project, url, change, seconds, check=check)
    click.echo(_outcome_json(outcome) if as_json else "\n".join(_outcome(outcome)))
    if outcome.how != "clean":
        raise SystemExit(1)


def _planned(planned: Planned) -> list[str]:
    return [
        f"{planned.change}: would hide {planned.places}",
        *(f"    {statement};" for statement in planned.statements),
        *_warnings(planned, None),
    ]


def _warnings(planned: Planned, check: str | None) -> list[str]:
    lines = []
    if planned.untouched:
        who = ", ".join(str(each) for each in planned.untouched)
        lines.append(
            f"not reached, since they own the table, are superusers, or may use a partition of it: {who}"
        )
    if not planned.tells and check is None:
        lines.append(
            "no application tells what it is refused (see evolve.client), and there is no --check: watch the "
            "application's own errors"
        )
    return lines


def _outcome(outcome: Outcome) -> list[str]:
    hidden = f"{outcome.change}: {outcome.places} was hidden for {outcome.seconds:.0f} s"
    match outcome.how:
        case "clean":
            return [f"{hidden}, and nobody missed it"]
        case "denied":
            return [
                f"{hidden} and is given back: somebody misses it",
                *(f"    {each}" for each in outcome.complaints),
            ]
        case "ended":
            return [f"{hidden}; it was ended before its time"]


def _planned_json(planned: Planned) -> str:
    untouched = [
        {"role": each.role, "application": each.application, "sessions": each.sessions}
        for each in planned.untouched
    ]
    return json.dumps(
        {
            "schema": _SCHEMA,
            "change": planned.change,
            "places": planned.places,
            "statements": list(planned.statements),
            "not_reached": untouched,
            "applications_tell": planned.tells,
        },
        indent=2,
    )


def _outcome_json(outcome: Outcome) -> str:
    return json.dumps(
        {
            "schema": _SCHEMA,
            "change": outcome.change,
            "places": outcome.places,
            "how": outcome.how,
            "seconds": round(outcome.seconds, 1),
            "complaints": list(outcome.complaints),
        },
        indent=2,
    )
