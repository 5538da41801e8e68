"""`evolve plugins`: what is installed, from which distribution, and what it brings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from evolve.cli.options import format_option

if TYPE_CHECKING:
    from evolve.plugin_loader import LoadedPlugin

_SCHEMA = 1


@click.command("plugins")
@format_option("text", "json")
def command(report_format: str) -> None:
    """List the installed plugins and what they bring.

    A plugin that cannot be loaded is an error (exit status 2), here and in every command that uses plugins.
    """
    from evolve.app.plugins import installed_plugins

    plugins = installed_plugins()
    if report_format == "json":
        entries = [_data(item) for item in plugins]
        click.echo(json.dumps({"schema": _SCHEMA, "plugins": entries}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(plugins)))


def _lines(plugins: Iterable[LoadedPlugin]) -> Iterable[str]:
    for item in plugins:
        yield f"{item.plugin.name}  {item.origin}  ({item.origin.target})"
        yield from (f"  {title}: {', '.join(names)}" for title, names in _parts(item).items() if names)


def _data(item: LoadedPlugin) -> dict[str, object]:
    return {
        "name": item.plugin.name,
        "api": item.plugin.api,
        "distribution": item.origin.distribution,
        "version": item.origin.version,
        "target": item.origin.target,
        **_parts(item),
    }


def _parts(item: LoadedPlugin) -> dict[str, list[str]]:
    return {
        "partitioners": [kind.kind for kind in item.plugin.partitioners],
        "rules": [f"{rule.id} {rule.name}" for rule in item.plugin.rules],
        "throttles": [throttle.name for throttle in item.plugin.throttles],
    }
