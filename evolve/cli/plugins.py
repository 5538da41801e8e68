"""`evolve plugins`: what is installed, from which distribution, and what it brings."""

from __future__ import annotations

import json

import click

from evolve.cli.options import format_option


@click.command("plugins")
@format_option("text", "json")
def command(report_format: str) -> None:
    """List the installed plugins and what they bring.

    A plugin that cannot be loaded is an error (exit status 2), here and in every command that uses plugins.
    """
    from evolve.app.plugins import installed_plugins
    from evolve.report import partition as report

    plugins = installed_plugins()
    if report_format == "json":
        click.echo(json.dumps(report.plugins_data(plugins), indent=2, ensure_ascii=False))
    else:
        click.echo(report.plugins_text(plugins))
