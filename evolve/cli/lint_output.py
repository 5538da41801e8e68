"""Where the reports of `evolve lint` go, and in which formats."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evolve.cli.lint_options import group, rules
from evolve.errors import Misuse
from evolve.values import dataclass

if TYPE_CHECKING:
    from evolve.lint.demands import Demands
    from evolve.lint.model import Report

FORMATS = ("text", "json", "markdown", "github", "gitlab", "sarif", "junit", "gcc")

_WIDEST = 110  # columns of prose that are still read with ease


class BadOutput(Misuse):
    def __init__(self, given: str, reason: str, fix: str) -> None:
        super().__init__(f'--output "{given}": {reason}', why="nothing was checked", fix=fix)


class ReportNotWritten(Misuse):
    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__(
            "\n".join(failures),
            why="whoever reads that report misses it, or takes an older one for it; all others were written",
            fix="mend the path, and run evolve lint again",
        )


@dataclass(frozen=True, slots=True)
class Output:
    format: str
    path: Path


@dataclass(frozen=True, slots=True)
class Reporting:
    verbose: bool
    report_format: str
    output: tuple[str, ...]

    def outputs(self) -> tuple[Output, ...]:
        """The files to write; all of them can be written now.

        Raises:
            BadOutput: one of them is no format and path, or cannot be written.
        """
        found: dict[Path, Output] = {}
        for given in self.output:
            output = _output(given)
            _refuse_unwritable(given, output.path)
            known = output.path.resolve()
            if known in found:
                other = found[known].format
                raise BadOutput(
                    given, f"the {other} report goes there already", "give each a file of its own"
                )
            found[known] = output
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Page:
    """What a report depends on besides itself.

    Args:
        top: of the repository, which paths start from in formats that a forge reads.
        width: columns of the terminal.
        docs_url: of the site of evolve's pages.
    """

    top: Path
    width: int
    verbose: bool
    docs_url: str | None
    demands: Demands


def show(reporting: Reporting, outputs: Sequence[Output], report: Report, page: Page, words: str) -> None:
    """Write the report to standard output, and to all files; `words` say what was asked about.

    Raises:
        ReportNotWritten: at the end, naming each that could not be written.
    """
    from evolve.files import CannotWrite

    if reporting.report_format == "text":
        click.echo(f"checking {words}", err=True)
        if not report.coverage.revisions:
            click.echo("there are none; all revisions: evolve lint base:heads", err=True)
    _print(_render(reporting.report_format, report, page))
    failures: list[str] = []
    for output in outputs:
        text = click.unstyle(_render(output.format, report, page))
        try:
            _write(output.path, f"{text}\n".encode("utf-8", "backslashreplace"))
        except CannotWrite as error:
            failures.append(error.what)
        else:
            click.echo(f"wrote {output.path} ({output.format})", err=True)
    if failures:
        raise ReportNotWritten(failures)


def page_of(reporting: Reporting, directory: Path, docs_url: str | None, demands: Demands) -> Page:
    here = directory.resolve()
    # What git calls its top level, without asking git, which may not be there.
    top = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    return Page(top, width, reporting.verbose, docs_url, demands)


def _output(given: str) -> Output:
    name, equals, path = given.partition("=")
    if name not in FORMATS:
        from difflib import get_close_matches

        near = get_close_matches(name, FORMATS, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise BadOutput(given, f'there is no format "{name}"{meant}', f"one of {', '.join(FORMATS)}")
    if not equals or not path:
        raise BadOutput(given, "it names no file", f"--output {name}=FILE")
    if path == "-":
        raise BadOutput(given, "standard output has one format, the one of --format", f"--format {name}")
    return Output(name, Path(path))


def _refuse_unwritable(given: str, path: Path) -> None:
    from evolve.files import CannotWrite, refuse_unwritable

    folder = path.resolve().parent
    if path.is_dir():
        raise BadOutput(given, "that is a directory", f"name a file: {given.rstrip('/')}/FILE")
    if not folder.is_dir():
        raise BadOutput(given, f"there is no directory {folder}", f"mkdir -p {folder}")
    if path.exists() and not path.is_file():
        return  # a pipe or a device, which is written in place
    try:
        refuse_unwritable(folder)
    except CannotWrite as error:
        raise BadOutput(given, f"{folder} cannot be written to", f"make {folder} writable") from error


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a pipe or a device as it is.

    Raises:
        CannotWrite: the file system says no.
    """
    from evolve.files import CannotWrite, write_whole

    if not path.exists() or path.is_file():
        write_whole(path, content)
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CannotWrite(path, error.strerror or str(error)) from error


def _print(text: str) -> None:
    # A terminal that knows fewer letters must not end the run.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def _render(name: str, report: Report, page: Page) -> str:
    match name:
        case "text":
            from evolve.report import text

            return text.render(report, width=page.width, verbose=page.verbose)
        case "json":
            from evolve.report import json

            return json.render(report)
        case "markdown":
            from evolve.report import markdown

            return markdown.render(report, root=page.top, demands=page.demands)
        case "github":
            from evolve.report import github

            return github.render(report, root=page.top, demands=page.demands)
        case "gitlab":
            from evolve.report import gitlab

            return gitlab.render(report, root=page.top, demands=page.demands)
        case "sarif":
            from evolve.report import sarif

            return sarif.render(
                report, root=page.top, rules=rules(), docs_url=page.docs_url, demands=page.demands
            )
        case "junit":
            from evolve.report import junit

            return junit.render(report, root=page.top, demands=page.demands)
        case "gcc":
            from evolve.report import gcc

            return gcc.render(report, root=Path.cwd())
        case _:
            raise AssertionError(name)


reporting_options = group(
    Reporting,
    click.option("-v", "--verbose", is_flag=True, help="List what is allowed too, with its reasons."),
    click.option(
        "--format",
        "report_format",
        type=click.Choice(FORMATS),
        default="text",
        show_default=True,
        help="How the result is written to stdout.",
    ),
    click.option(
        "--output",
        metavar="FORMAT=FILE",
        multiple=True,
        help="Write the result into FILE as well; may be repeated.",
    ),
)
