"""`evolve rules …`: lint rules of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evolve.cli.options import Location, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.new_rule import NewRule

_SCHEMA = 1


@click.group("rules")
def command() -> None:
    """Write lint rules of one's own. Which there are: evolve explain."""


@command.command("new")
@click.argument("name")
@click.option("--plugin", metavar="NAME", help="Begin a plugin too, in the folder NAME-evolve.")
@click.option("--id", "rule_id", metavar="ID", help="Such as ACME102.  [default: the plugin's next]")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@format_option("text", "json")
@project_options
def new(
    location: Location, name: str, plugin: str | None, rule_id: str | None, dry_run: bool, report_format: str
) -> None:
    """Write the beginning of the lint rule NAME, its page and its test, and list it in the plugin.

    The folder is the plugin's, whose pyproject.toml names it; --plugin begins one. What is written works as it is:
    change the page first, for it is the test. The guide: evolve/docs/guides/rules.md

    Nothing that is there is written over. A plugin whose list of rules cannot be read is left as it is, and what to add
    is said.
    """
    from evolve.app.explain_rule import all_rules
    from evolve.app.new_rule import new_rule

    made = new_rule(location.directory, name, all_rules(), rule_id=rule_id, plugin=plugin)
    if not dry_run:
        made.write()
    if report_format == "json":
        click.echo(json.dumps(_data(made, dry_run=dry_run), indent=2, ensure_ascii=False))
        return
    verb = "would write" if dry_run else "wrote"
    for path in made.files:
        done = ("would change" if dry_run else "changed") if path in made.changed else verb
        click.echo(f"{done} {_shown(path, location.directory)}")
        if dry_run:
            click.echo("".join(f"    {line}\n" for line in made.files[path].splitlines()), nl=False)
    if made.by_hand is not None:
        click.echo(f"by hand: {made.by_hand}", err=True)
    folder = _shown(made.distribution, Path())
    click.echo(f"next: pip install --editable {folder} && pytest {folder} && evolve explain {made.id}")


def _shown(path: Path, base: Path) -> str:
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def _data(made: NewRule, *, dry_run: bool) -> dict[str, object]:
    return {
        "schema": _SCHEMA,
        "id": made.id,
        "name": made.name,
        "written": not dry_run,
        "files": [
            {"path": str(path), "changed": path in made.changed, "text": text}
            for path, text in made.files.items()
        ],
        "by_hand": made.by_hand,
    }
