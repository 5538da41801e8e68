"""`evolve lint`: check revisions for what running code or live traffic cannot survive."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from evolve.cli.lint_baseline import Remembering, remembering_options
from evolve.cli.lint_fix import Fixing, Mender, fixing_options
from evolve.cli.lint_options import (
    Failing,
    Judging,
    Selecting,
    failing_options,
    judging_options,
    options,
    rules,
    selecting_options,
)
from evolve.cli.lint_output import Reporting, page_of, reporting_options, show
from evolve.cli.options import Location, database_url_option, project_options

if TYPE_CHECKING:
    from evolve.app.lint_revisions import Options
    from evolve.config import Config
    from evolve.lint.model import Report


@click.command("lint")
@click.argument("revisions", nargs=-1)
@selecting_options
@judging_options
@remembering_options
@fixing_options
@failing_options
@reporting_options
@database_url_option
@project_options
def command(
    location: Location,
    reporting: Reporting,
    failing: Failing,
    fixing: Fixing,
    remembering: Remembering,
    judging: Judging,
    selecting: Selecting,
    revisions: tuple[str, ...],
    database_url: str | None,
) -> None:
    """Check REVISIONS, or files of plain SQL, for changes that running code or live traffic cannot survive.

    REVISIONS is a range, such as base:heads or ae1027a:, one revision, or files of revisions (.py), of which others
    are passed over. Without it, --since, --staged and --unapplied, the revisions that are new since the default branch
    (origin/HEAD, main or master) are checked, uncommitted ones too; outside a git repository, all.

    Names that end in .sql are files of SQL, in the order in which they run; - is standard input. A statement outside
    BEGIN and COMMIT then has a transaction of its own.

    Tables made by one of the checked revisions are not in use yet, so that changing them is safe; in a range from
    base each revision is judged as if all before it were in use.

    What survives, allowed findings counted too, with old code for the release before the revisions, new code for the
    one after them, old and new schema alike. Schema registries mean readers and data by the same words.

    \b
    BACKWARD  old code runs on the new schema: migrate, then deploy
    FORWARD   new code runs on the old schema: deploy, then migrate
    FULL      both: any order
    NONE      neither: it needs phases, as evolve plan makes them

    Over a --window they are called BACKWARD_TRANSITIVE and so on. The mapped classes of both releases, read and never
    run, tell which code uses what.

    \b
    exit status  0  nothing found, or nothing as severe as --fail-on
                 1  findings, or not the level that --require names;
                    with --strict also what could not be read,
                    with --verify also what the server does otherwise than foreseen;
                    with --fix also changes that were not written
                 2  the question was wrong: no project, no such revision, no connection

    Explanations: evolve explain RULE. To allow a finding, in the line or above it:
    # evolve: allow[rule-name] because REASON
    """
    # Nearly all that is made here lives to the end; looking through it for garbage takes a tenth of the time.
    gc.set_threshold(100_000, 20, 100)
    outputs = reporting.outputs()
    from evolve.app.lint_revisions import EVERYTHING
    from evolve.app.lint_words import STDIN, names_scripts

    mender = fixing.mender(
        dry_run=remembering.dry_run,
        report_format=reporting.report_format,
        elsewhere={
            "--staged": selecting.staged,
            "standard input": STDIN in revisions,
            "--write-baseline": remembering.write_baseline,
            "--verify": judging.verify,
            "--output": reporting.output,
        },
    )
    if mender is not None:
        remembering = replace(remembering, dry_run=False)
    config = location.config()
    asked = remembering.added_to(options(location, config, judging), location, config)
    remembering.refuse({"standard input": STDIN in revisions, "--staged": selecting.staged})
    if remembering.write_baseline and not (revisions or selecting.since or selecting.unapplied):
        revisions = (EVERYTHING,)
    if names_scripts(revisions):
        words, report = _scripts(revisions, selecting, judging, asked, mender)
    else:
        words, report = _project(location, config, revisions, selecting, judging, asked, database_url, mender)
    report = remembering.finish(report)
    if remembering.dry_run:
        return
    for note in report.notes:
        click.echo(note, err=True)
    demands = failing.demands(config)
    if mender is None or not (mender.as_json or mender.unwritten):
        show(
            reporting,
            outputs,
            report,
            page_of(reporting, location.directory, config.lint.docs_url, demands),
            words,
        )
    if demands.required is not None and (unmet := demands.unmet_by(report)):
        from evolve.report.verdict import shortfall

        click.echo(shortfall(demands.required, unmet), err=True)
    if not demands.met_by(report) or (mender is not None and mender.unwritten):
        raise SystemExit(1)


def _scripts(
    files: tuple[str, ...],
    selecting: Selecting,
    judging: Judging,
    asked: Options,
    mender: Mender | None,
) -> tuple[str, Report]:
    from evolve.app.lint_scripts import lint_scripts, refuse_for_scripts

    refuse_for_scripts(
        {
            "--since": selecting.since,
            "--staged": selecting.staged,
            "--unapplied": selecting.unapplied,
            "--window": judging.window,
            "--old-models": judging.old_models,
            "--downgrades": judging.downgrades,
            "--name": selecting.section,
        }
    )
    if mender is not None:
        from evolve.app.fix_revisions import mend_scripts

        mending = mend_scripts(files, asked, rules(), in_transaction=selecting.in_transaction)
        return "plain SQL", mender.finish(mending)
    return "plain SQL", lint_scripts(files, asked, rules(), in_transaction=selecting.in_transaction)


def _project(
    location: Location,
    config: Config,
    revisions: tuple[str, ...],
    selecting: Selecting,
    judging: Judging,
    asked: Options,
    database_url: str | None,
    mender: Mender | None,
) -> tuple[str, Report]:
    """What was asked about, in words, and the report."""
    from evolve.app.lint_revisions import ask, lint
    from evolve.app.lint_scripts import OnlyForScripts
    from evolve.app.lint_words import refuse_beside_staged, revision_files, since_of_pre_commit
    from evolve.revisions.cache import open_store

    if selecting.in_transaction:
        raise OnlyForScripts("--in-transaction")
    project = location.project(config, section=selecting.section)
    if project.other_sections:
        click.echo(
            f"reading [{project.section}] of {project.configuration.name}; "
            f"for the others: {', '.join(f'-n {name}' for name in project.other_sections)}",
            err=True,
        )
    url = None
    if selecting.unapplied:
        from evolve.app import target

        override = database_url or config.resolved_database_url()
        url = target.database_url(override, None, project.database_url)
    store = None if judging.no_cache else open_store()
    files, since = revision_files(revisions), selecting.since
    if selecting.staged:
        refuse_beside_staged(revisions, since, unapplied=selecting.unapplied)
        since = since_of_pre_commit()
    if selecting.staged and since is None:
        from evolve.app.lint_staged import lint_staged

        return "revisions that are staged", lint_staged(project, asked, rules, store=store)
    question = ask(
        project,
        revisions=revisions[0] if revisions and not files else None,
        since=since,
        unapplied_on=url,
        files=files,
    )
    if mender is not None:
        from evolve.app.fix_revisions import mend_revisions

        return question.words, mender.finish(mend_revisions(project, question, asked, rules, store=store))
    return question.words, lint(project, question, asked, rules, store=store)
