"""`evolve drift`: where a live schema is not what its revisions made, nor what the models say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.schema_drift import Drift

_SCHEMA = 1


@click.command("drift")
@format_option("text", "json")
@database_url_option
@project_options
def command(location: Location, report_format: str, database_url: str | None) -> None:
    """Compare the live schema with the revisions that were applied to it, and with the models.

    The revisions are read, not run: what they compute only when they run is not known. Nothing is written.

    \b
    exit status  0  they agree
                 1  they do not
                 2  the question was wrong
    """
    from evolve.app import target
    from evolve.app.schema_drift import schema_drift

    config = location.config()
    project = location.project(config)
    url = target.database_url(database_url or config.resolved_database_url(), None, project.database_url)
    drift = schema_drift(project, url)
    click.echo(_json(drift) if report_format == "json" else "\n".join(_text(drift)))
    if not drift.clean:
        raise SystemExit(1)


def _text(drift: Drift) -> list[str]:
    lines = ["the database is what its revisions made of it"]
    if drift.history:
        lines = ["not what the revisions made:", *(f"    {line}" for line in drift.history)]
    if drift.pending:
        lines.append(f"not applied here: {', '.join(drift.pending)}")
    if drift.models is None:
        lines.append(f"the models were not asked: {drift.unasked}")
    elif drift.models:
        lines += ["not what the models say:", *(f"    {line}" for line in drift.models)]
    else:
        lines.append("and what the models say")
    return lines


def _json(drift: Drift) -> str:
    return json.dumps(
        {
            "schema": _SCHEMA,
            "history": list(drift.history),
            "models": None if drift.models is None else list(drift.models),
            "models_unasked": drift.unasked or None,
            "pending": list(drift.pending),
        },
        indent=2,
    )
