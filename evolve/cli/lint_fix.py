"""`evolve lint --fix`: shows what would be written, asks, and writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from evolve.cli.lint_options import group
from evolve.errors import Misuse
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.lint.fixes.mending import Mending
    from evolve.lint.model import Report


class NotWithFix(Misuse):
    def __init__(self, option: str) -> None:
        super().__init__(
            f"--fix changes files in the working tree, and {option} is about something else",
            fix=f"leave out {option}; run evolve lint with it afterwards",
        )


class OnlyWithFix(Misuse):
    def __init__(self, option: str) -> None:
        super().__init__(f"{option} says what --fix is to do, which is not given", fix=f"say --fix {option}")


@dataclass(frozen=True, slots=True)
class Fixing:
    fix: bool
    yes: bool

    def mender(self, *, dry_run: bool, report_format: str, elsewhere: Mapping[str, object]) -> Mender | None:
        """
        Args:
            elsewhere: options that are about something else than files of the working tree, and what was given.

        Raises:
            NotWithFix, OnlyWithFix: the options contradict each other.
        """
        if not self.fix:
            if self.yes:
                raise OnlyWithFix("--yes")
            return None
        if report_format not in ("text", "json"):
            raise NotWithFix(f"--format {report_format}")
        for option, value in elsewhere.items():
            if value:
                raise NotWithFix(option)
        return Mender(yes=self.yes, dry_run=dry_run, as_json=report_format == "json")


@dataclass(slots=True)
class Mender:
    """
    Args:
        yes: write without asking.
        dry_run: write nothing.
        as_json: edits and report are one document on standard output.
        unwritten: there was something to write, and it was not written.
    """

    yes: bool
    dry_run: bool
    as_json: bool
    unwritten: bool = False

    def finish(self, mending: Mending) -> Report:
        """Show the changes, write them where that is wanted; the report on the files as they are then."""
        from evolve.app.fix_revisions import write
        from evolve.report import fixes

        if not self.as_json:
            if mending.mended:
                click.echo(fixes.diff(mending), nl=False)
            if why := fixes.left(mending):
                click.echo(why)
        written = bool(mending.mended) and self._agreed(len(mending.mended))
        if written:
            write(mending)
            click.echo(f"{_files(len(mending.mended))} written", err=True)
        elif not mending.mended:
            click.echo("nothing to mend", err=True)
        self.unwritten = bool(mending.mended) and not written
        report = mending.after if written else mending.before
        if self.as_json:
            click.echo(fixes.render_json(mending, report, written=written))
        return report

    def _agreed(self, files: int) -> bool:
        if self.dry_run:
            return False
        if self.yes:
            return True
        if sys.stdin.isatty() and sys.stdout.isatty():
            return click.confirm(f"Write {_files(files)}?", err=True)
        click.echo("nothing was written; to write it, add --yes", err=True)
        return False


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


fixing_options = group(
    Fixing,
    click.option(
        "--fix", is_flag=True, help="Rewrite what has one sure form within its revision: show, ask, write."
    ),
    click.option("-y", "--yes", is_flag=True, help="With --fix: write without asking."),
)
