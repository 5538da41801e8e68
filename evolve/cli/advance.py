"""`evolve advance`: take a change into its next phase when the gates before it are open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.advance_change import Advanced


@click.command("advance")
@click.argument("change")
@click.option(
    "--old-code-gone", is_flag=True, help="Confirm that no running code uses the old shape any more."
)
@click.option(
    "--purge-approved", is_flag=True, help="Confirm that what is kept of the old shape may be dropped."
)
@click.option(
    "--confirm",
    multiple=True,
    metavar="WORD",
    help="Confirm something else that `evolve status` asks for; may be given several times.",
)
@click.option(
    "--accept-edits",
    is_flag=True,
    help="Go on though a revision of the change was edited since it was written.",
)
@click.option(
    "--archive",
    is_flag=True,
    help="With purge: keep what is dropped, keys and values, in a table of schema evolve.",
)
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="GATE",
    help="Pass a shut gate, such as sessions; may be given several times. Kept in the database with --because.",
)
@click.option("--because", metavar="REASON", help="Why a gate is overridden.")
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    change: str,
    old_code_gone: bool,
    purge_approved: bool,
    confirm: tuple[str, ...],
    accept_edits: bool,
    archive: bool,
    overrides: tuple[str, ...],
    because: str | None,
    report_format: str,
    database_url: str | None,
) -> None:
    """Take CHANGE into its next phase, if every gate before it is open in the database.

    Each gate is looked at and printed. Where all are open, the next phase begins: its revisions are written on top of
    the head, to be reviewed, committed and applied with `evolve upgrade`. What was seen is kept in the database, and so
    is who confirmed what only people can know.

    \b
    exit status  0  the phase has begun, or the change is at its end
                 1  a gate is shut; nothing was written
                 2  the question was wrong
    """
    from evolve.app import target
    from evolve.app.advance_change import advance
    from evolve.app.gate_rules import gate_rules
    from evolve.app.listeners import listening
    from evolve.plan.gates import override_of
    from evolve.plan.model import OLD_CODE_GONE, PURGE_APPROVED

    override = override_of(overrides, because)
    config = location.config()
    project = location.project(config)
    url = target.database_url(database_url or config.resolved_database_url(), None, project.database_url)
    events = listening(
        config.on_event, project.root, lambda line: click.echo(line, err=True), as_json=config.log == "json"
    )
    flags = ((OLD_CODE_GONE, old_code_gone), (PURGE_APPROVED, purge_approved))
    words = [*(name for name, given in flags if given), *confirm]
    outcome = advance(
        project,
        url,
        change,
        words,
        accept_edits=accept_edits,
        rules=gate_rules(config),
        archive=archive,
        override=override,
    )
    if outcome.begun is not None:
        events.emit(
            "change.phase",
            change=outcome.standing.manifest.id,
            phase=outcome.begun.name,
            before=outcome.standing.current.name,
        )
    click.echo(_json(outcome) if report_format == "json" else _text(outcome))
    if outcome.begun is None and outcome.standing.following is not None:
        raise SystemExit(1)


def _text(outcome: Advanced) -> str:
    from evolve.app.advance_change import next_command
    from evolve.report.changes import gates, onward

    standing = outcome.standing
    identifier = standing.manifest.id
    if standing.following is None:
        if standing.not_applied:
            lacking = ", ".join(standing.not_applied)
            return f"{identifier}: written to its end; apply revision {lacking}: {standing.upgrade}"
        return f"{identifier}: at its end"
    lines = [f"{identifier}: {standing.current.name} > {standing.following.name}"]
    if standing.missing:
        lines[0] = f"{identifier}: {standing.following.name} was cut short; its revisions are written now"
    elif standing.not_applied:
        lines.append(f"    shut this database lacks revision {', '.join(standing.not_applied)}")
        lines.append(f"         run: {standing.upgrade}")
    lines += gates(standing.seen, detailed=True)
    if outcome.begun is None:
        lines.append(f"next: {next_command(standing)}")
        return "\n".join(lines)
    lines.append(f"{outcome.begun.name} has begun; when it is over: {outcome.begun.summary}")
    lines += [f"wrote {file}" for file in outcome.written]
    lines += [f"    {instruction}" for instruction in outcome.begun.instructions]
    last = standing.manifest.phases[-1].name == outcome.begun.name
    command = onward(
        identifier, outcome.begun, written=bool(outcome.written), last=last, upgrade=outcome.upgrade
    )
    if command:
        lines.append(f"next: {command}")
    return "\n".join(lines)


def _json(outcome: Advanced) -> str:
    from evolve.app.advance_change import next_command
    from evolve.report.changes import gate_data

    standing = outcome.standing
    return json.dumps(
        {
            "schema": 1,
            "change": standing.manifest.id,
            "from": standing.current.name,
            "to": standing.following.name if standing.following else None,
            "begun": outcome.begun.name if outcome.begun else None,
            "missing": list(standing.missing),
            "not_applied": list(standing.not_applied),
            "gates": [gate_data(observation) for observation in standing.seen],
            "written": [str(file) for file in outcome.written],
            "next": next_command(standing) if outcome.begun is None else None,
        },
        indent=2,
    )
