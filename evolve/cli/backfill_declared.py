"""`evolve backfill list`: the backfills that modules of the application declare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evolve.cli.backfill_progress import SCHEMA
from evolve.cli.options import Location, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.declared_backfills import Declared


@click.command("list")
@click.argument("modules", nargs=-1)
@format_option("text", "json")
@project_options
def list_declared(location: Location, /, modules: tuple[str, ...], report_format: str) -> None:
    """Show the backfills that MODULES declare.

    Without MODULES those of the settings: modules in [tool.evolve.backfill].
    """
    from evolve.app.declared_backfills import declared_in

    declared = declared_in(modules or location.config().backfill.modules, location.directory)
    if report_format == "json":
        click.echo(json.dumps({"schema": SCHEMA, "backfills": list(map(_json, declared))}))
    elif declared:
        click.echo("\n".join(map(_text, declared)))
    else:
        click.echo(
            'no backfill is declared; modules = ["package.module"] in [tool.evolve.backfill] says where'
        )


def _text(declared: Declared) -> str:
    spec = declared.spec
    lines = [f"{spec.name}  {spec.table.plain}", f"  {spec.doing}", f"  at {declared.place}"]
    if declared.after:
        lines.append(f"  after {', '.join(declared.after)}")
    return "\n".join(lines)


def _json(declared: Declared) -> dict[str, object]:
    spec = declared.spec
    return {
        "name": spec.name,
        "place": declared.place,
        "after": list(declared.after),
        "spec": json.loads(spec.to_json()),
    }
