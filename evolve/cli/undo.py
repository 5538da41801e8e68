"""`evolve undo`: take a change back, after saying what that would lose."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.plan_change import Written
    from evolve.app.undo_change import Undoing
    from evolve.plan.model import PhaseName

_SCHEMA = 1


@click.command("undo")
@click.argument("change")
@click.option(
    "--to",
    type=click.Choice(("expand", "backfill", "validate", "switch", "contract")),
    help="The phase that the change is in then; without it all of the change is taken back.",
)
@click.option("--write", is_flag=True, help="Write the revisions; without it, only say what would happen.")
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="GATE",
    help="Pass a shut gate, such as mapped. Kept in the database with --because.",
)
@click.option("--because", metavar="REASON", help="Why a gate is overridden.")
@click.option(
    "--accept-edits",
    is_flag=True,
    help="Go back though a revision of the change was edited since it was written.",
)
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    change: str,
    to: str | None,
    write: bool,
    overrides: tuple[str, ...],
    because: str | None,
    accept_edits: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Take CHANGE back, from whatever phase it is in.

    What would be lost is said first. The way back is a revision on top of the history for each one of the change, so
    that it works wherever they were applied, and whatever came after them. Apply it with `evolve upgrade`.

    \b
    exit status  0  said, or written
                 1  a deployed version uses what would go; nothing was written
                 2  the question was wrong
    """
    from evolve.app import target
    from evolve.app.gate_rules import gate_rules
    from evolve.app.listeners import listening
    from evolve.app.undo_change import preview, undo
    from evolve.plan.gates import override_of

    override = override_of(overrides, because)
    config = location.config()
    project = location.project(config)
    url = target.database_url(database_url or config.resolved_database_url(), None, project.database_url)
    rules = gate_rules(config)
    events = listening(
        config.on_event, project.root, lambda line: click.echo(line, err=True), as_json=config.log == "json"
    )
    phase = cast("PhaseName | None", to)
    written: Written | None = None
    if write:
        going, written = undo(
            project, url, change, phase, rules=rules, override=override, accept_edits=accept_edits
        )
    else:
        going = preview(
            project, url, change, phase, rules=rules, override=override, accept_edits=accept_edits
        )
    if written is not None:
        events.emit("change.undo", change=going.manifest.id, phase=going.to)
    click.echo(_json(going, written) if report_format == "json" else _text(going, written))
    if not going.open:
        raise SystemExit(1)


def _text(going: Undoing, written: Written | None) -> str:
    from evolve.report.changes import gates

    identifier = going.manifest.id
    lines = [f"{identifier}: back to {going.to or 'where it was before'}"]
    if going.finishing:
        lines[0] += "; it was begun before, and cut short"
    lines += [f"    {phase.name} is left: loses {phase.undo_loses or 'nothing'}" for phase in going.leaving]
    if going.not_applied:
        lines.append(
            f"    not applied here: {', '.join(going.not_applied)}; evolve upgrade does it, and takes it back"
        )
    if going.loses_needlessly:
        lines.append(
            f"    nothing is lost yet: where no database has {', '.join(going.loses_needlessly)}, take it out of the "
            "history first, with what the manifest says of it (git revert), and look again"
        )
    lines += gates(going.seen, detailed=True)
    if written is not None:
        lines += [f"wrote {file}" for file in written.revisions]
        if going.to is None:
            lines.append(f"removed {written.manifest}")
        lines.append(
            f"next: review and commit, then: {written.upgrade}" if written.revisions else "nothing to apply"
        )
    elif going.open:
        to = f" --to {going.to}" if going.to else ""
        lines.append(f"next: evolve undo {identifier}{to} --write")
    return "\n".join(lines)


def _json(going: Undoing, written: Written | None) -> str:
    from evolve.report.changes import gate_data

    return json.dumps(
        {
            "schema": _SCHEMA,
            "change": going.manifest.id,
            "to": going.to,
            "leaving": [{"phase": phase.name, "loses": phase.undo_loses} for phase in going.leaving],
            "not_applied": list(going.not_applied),
            "gates": [gate_data(observation) for observation in going.seen],
            "written": None if written is None else [str(file) for file in written.revisions],
        },
        indent=2,
    )
