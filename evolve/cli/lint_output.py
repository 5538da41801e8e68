"""Where the report of `evolve lint` goes, and in which format."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click

from evolve.cli.lint_options import group
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.lint.model import Report

_WIDEST = 110  # columns of prose that are still read with ease


@dataclass(frozen=True, slots=True)
class Reporting:
    verbose: bool
    report_format: str

    def show(self, report: Report, words: str) -> None:
        """Write the report; `words` say what was asked about."""
        if self.report_format == "json":
            from evolve.report import json

            click.echo(json.render(report))
        else:
            from evolve.report import text

            click.echo(f"checking {words}", err=True)
            if not report.coverage.revisions:
                click.echo("there are none; all revisions: evolve lint base:heads", err=True)
            width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
            click.echo(text.render(report, width=width, verbose=self.verbose))


reporting_options = group(
    Reporting,
    click.option("-v", "--verbose", is_flag=True, help="List what is allowed too, with its reasons."),
    click.option(
        "--format",
        "report_format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How the result is written to stdout.",
    ),
)
