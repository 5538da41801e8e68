"""`evolve init`: make a project one that evolve lints, before each commit and in CI."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from evolve.cli.options import Location, format_option, project_options
from evolve.errors import Misuse

if TYPE_CHECKING:
    from evolve.app.init_project import Proposal

_SCHEMA = 1


class NobodyToAsk(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "nothing was written: there is no terminal to ask on",
            fix="look at the diff above, then: evolve init --yes",
        )


@click.command("init")
@click.option(
    "--ci",
    type=click.Choice(["github", "gitlab", "none"]),
    help="Whose CI to write a job for.  [default: what the repository uses]",
)
@click.option("--no-pre-commit", is_flag=True, help="Write no hook for pre-commit.")
@click.option("-y", "--yes", is_flag=True, help="Write without asking.")
@click.option("--dry-run", is_flag=True, help="Show the diff, and write nothing.")
@format_option("text", "json")
@project_options
def command(
    location: Location,
    ci: Literal["github", "gitlab", "none"] | None,
    no_pre_commit: bool,
    yes: bool,
    dry_run: bool,
    report_format: str,
) -> None:
    """Write what lets evolve lint a project: settings, a hook for pre-commit, a job for CI.

    The Alembic project is found, and what it lacks is shown as a diff before anything is written: [tool.evolve] in
    pyproject.toml, or an evolve.toml where there is none; the hook evolve-lint in .pre-commit-config.yaml; a workflow
    for GitHub or a job for GitLab. What is there already is left as it is, so that a second run does nothing.

    \b
    exit status  0  all is there, or was written
                 1  you said no
                 2  there is no project, a file cannot be written, or nobody could be asked
    """
    from evolve.app.init_project import propose

    proposal = propose(
        location.directory,
        ci=ci,
        pre_commit=not no_pre_commit,
        alembic_config=location.config().alembic_config,
    )
    if report_format == "json":
        if yes and not dry_run:
            proposal.write()
        click.echo(json.dumps(_data(proposal, written=yes and not dry_run), indent=2, ensure_ascii=False))
        return
    _show(proposal)
    if not proposal.changes:
        click.echo("nothing to write")
        return
    if dry_run:
        return
    if not yes and not sys.stdin.isatty():
        raise NobodyToAsk
    count = len(proposal.changes)
    if not yes:
        click.confirm(f"write {count} file{'s' * (count > 1)}?", abort=True, err=True)
    proposal.write()
    for change in proposal.changes:
        click.echo(f"wrote {_shown(change.path)}", err=True)
    click.echo("next: evolve lint; what is found in old revisions: evolve lint --write-baseline", err=True)


def _show(proposal: Proposal) -> None:
    from evolve.report.diff import diff

    click.echo(f"project: {_shown(proposal.project.configuration)}", err=True)
    for change in proposal.changes:
        click.echo(diff(_shown(change.path), change.before or "", change.after), nl=False)
    for held in proposal.there:
        click.echo(f"there already: {held.what} in {_shown(held.path)}", err=True)
    for sentence in proposal.by_hand:
        click.echo(f"by hand: {sentence}", err=True)


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _data(proposal: Proposal, *, written: bool) -> dict[str, object]:
    return {
        "schema": _SCHEMA,
        "project": str(proposal.project.configuration),
        "written": written,
        "files": [
            {"path": str(change.path), "before": change.before, "after": change.after}
            for change in proposal.changes
        ],
        "there": [{"path": str(held.path), "what": held.what} for held in proposal.there],
        "by_hand": list(proposal.by_hand),
    }
