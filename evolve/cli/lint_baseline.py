"""The options of `evolve lint` about the baseline, and what writing one says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evolve.cli.lint_options import group
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.app.lint_revisions import Options
    from evolve.cli.options import Location
    from evolve.config import Config
    from evolve.lint.model import Report


@dataclass(frozen=True, slots=True)
class Remembering:
    """Which baseline holds, and whether it is written."""

    baseline_file: Path | None
    no_baseline: bool
    write_baseline: bool
    dry_run: bool

    def added_to(self, options: Options, location: Location, config: Config) -> Options:
        """`options` with the baseline."""
        from evolve.app.lint_baseline import NothingToWrite, TwoBaselines, find_baseline

        if self.dry_run and not self.write_baseline:
            raise NothingToWrite("--dry-run")
        if self.no_baseline and (self.baseline_file or self.write_baseline):
            raise TwoBaselines
        if self.no_baseline:
            return options
        folder = config.file.parent if config.file is not None else location.directory
        baseline = find_baseline(
            self.baseline_file, config.lint.baseline, folder, writing=self.write_baseline
        )
        return replace(options, baseline=baseline)

    def refuse(self, others: Mapping[str, object]) -> None:
        """Raise `NotToBeWritten` where a baseline is to be written of what `others` select."""
        from evolve.app.lint_baseline import NotToBeWritten

        for option, value in others.items():
            if self.write_baseline and value:
                raise NotToBeWritten(option)

    def finish(self, report: Report) -> Report:
        """Write the baseline if that is asked for; the report without what is known by then."""
        if not self.write_baseline:
            return report
        from evolve.app.lint_baseline import record
        from evolve.report.diff import diff

        change, after = record(report, write=not self.dry_run)
        if self.dry_run:
            click.echo(diff(os.path.relpath(change.file), change.before, change.after), nl=False)
        verb = "would know" if self.dry_run else "knows"
        total = change.kept + change.added
        click.echo(
            f"{change.file} {verb} {total} finding{'' if total == 1 else 's'}: "
            f"{change.added} new, {change.gone} gone, {change.kept} as before",
            err=True,
        )
        return after


remembering_options = group(
    Remembering,
    click.option(
        "--baseline",
        "baseline_file",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Findings that were there before and are quiet.  [default: evolve-baseline.jsonl, where there is one]",
    ),
    click.option("--no-baseline", is_flag=True, help="Tell of those as well."),
    click.option(
        "--write-baseline",
        is_flag=True,
        help="Write all findings into it, and take out what is gone; without REVISIONS, of all revisions.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Show what --write-baseline or --fix would change, and write nothing."
    ),
)
