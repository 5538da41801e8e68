"""`evolve lint`: check revisions for what running code or live traffic cannot survive."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.lint.rule import Rule


@click.command("lint")
@click.argument("revisions", nargs=-1)
@click.option("--since", metavar="GITREF", help="What is new or changed since the branch left GITREF.")
@click.option("--unapplied", is_flag=True, help="What the database still lacks.")
@click.option("--enable", metavar="RULE", multiple=True, help="Ask an opt-in rule too: a name, 7xx, or all.")
@click.option(
    "--import-ignores",
    metavar="TOOL",
    multiple=True,
    help="Ignore what squawk, eugene, strong_migrations or zdm was told to.",
)
@click.option(
    "-n",
    "--name",
    "section",
    metavar="SECTION",
    help="Section of alembic.ini, as `alembic -n` takes it.  [default: alembic_section of the settings, else alembic]",
)
@click.option("--strict", is_flag=True, help="What could not be read makes the exit status 1 too.")
@click.option("--in-transaction", is_flag=True, help="Whoever runs a .sql file puts it into one transaction.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info"]),
    help="Least severe finding that makes the exit status 1.  [default: error]",
)
@click.option(
    "--pg-version",
    type=click.IntRange(14, 18),
    help="Oldest major version the revisions must run on.  [default: 15]",
)
@click.option(
    "--require",
    type=click.Choice(["BACKWARD", "FORWARD", "FULL"]),
    help="The compatibility without which the exit status is 1; see above.",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    metavar="N",
    help="Judge the last N revisions each alone too: releases so old must run.",
)
@click.option(
    "--old-models", metavar="GITREF", help="The release that runs now.  [default: where the branch began]"
)
@click.option(
    "--facts",
    "facts_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Weigh findings by what `evolve facts export` wrote.",
)
@click.option("--verify", is_flag=True, help="Run the statements on a scratch server too, and compare.")
@click.option("--downgrades", is_flag=True, help="Check each downgrade() as well.")
@click.option(
    "--sandbox", is_flag=True, help="Read revisions where the kernel lets them only read and compute."
)
@click.option("-v", "--verbose", is_flag=True, help="List what is allowed too, with its reasons.")
@click.option("--no-cache", is_flag=True, help="Read all revisions anew, and keep no readings.")
@format_option("text", "json")
@database_url_option
@project_options
def command(
    location: Location,
    revisions: tuple[str, ...],
    since: str | None,
    unapplied: bool,
    enable: tuple[str, ...],
    import_ignores: tuple[str, ...],
    section: str | None,
    strict: bool,
    in_transaction: bool,
    fail_on: str | None,
    pg_version: int | None,
    require: str | None,
    window: int | None,
    old_models: str | None,
    facts_file: Path | None,
    verify: bool,
    downgrades: bool,
    sandbox: bool,
    verbose: bool,
    no_cache: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Check REVISIONS, or files of plain SQL, for changes that running code or live traffic cannot survive.

    REVISIONS is a range, such as base:heads or ae1027a:, or one revision. Without it, --since and --unapplied, the
    revisions that are new since the default branch (origin/HEAD, main or master) are checked, uncommitted ones too;
    outside a git repository, all.

    Names that end in .sql are files instead, in the order in which they run; - is standard input. A statement
    outside BEGIN and COMMIT then has a transaction of its own.

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
                 1  findings, or not the level that --require names
                 2  the question was wrong: no project, no such revision, no connection

    Explanations: evolve explain RULE. To allow a finding, in the line or above it:
    # evolve: allow[rule-name] because REASON
    """
    # Nearly all that is made here lives to the end; looking through it for garbage takes a tenth of the time.
    gc.set_threshold(100_000, 20, 100)
    from evolve.app.lint_revisions import Options, ask, lint
    from evolve.app.lint_scripts import OnlyForScripts, lint_scripts, names_scripts, refuse_for_scripts
    from evolve.lint.facts import read as read_facts
    from evolve.lint.model import Severity
    from evolve.revisions.cache import open_store
    from evolve.revisions.project import find_project

    config = location.config()
    facts_file = facts_file or config.lint.facts
    import_from = tuple(dict.fromkeys((*config.lint.import_ignores, *import_ignores)))
    reasons: Mapping[str, str] = {}
    if import_from:
        from evolve.app.import_ignores import import_ignores as read_ignores

        imported = read_ignores(import_from, location.directory.resolve(), _rules())
        reasons = imported.reasons
        for file, names in imported.unmatched.items():
            click.echo(f"{file} ignores what evolve has no rule for: {', '.join(names)}", err=True)
    options = Options(
        exclude=config.lint.exclude,
        ignore=config.lint.ignore,
        enable=(*config.lint.enable, *enable),
        required_columns=config.lint.required_columns,
        imported=reasons,
        import_from=import_from,
        postgres_version=pg_version or config.lint.postgres_version,
        time_limit=config.lint.time_limit,
        facts=read_facts(facts_file) if facts_file else None,
        sizes=config.lint.sizes,
        verify=verify,
        window=config.lint.window if window is None else window,
        models=config.lint.models,
        models_from=config.file.parent if config.file else None,
        old_models=old_models,
        downgrades=downgrades,
        sandbox=sandbox,
    )
    if names_scripts(revisions):
        refuse_for_scripts(
            {
                "--since": since,
                "--unapplied": unapplied,
                "--window": window,
                "--old-models": old_models,
                "--downgrades": downgrades,
                "--name": section,
            }
        )
        words = "plain SQL"
        report = lint_scripts(revisions, options, _rules(), in_transaction=in_transaction)
    else:
        if in_transaction:
            raise OnlyForScripts("--in-transaction")
        project = find_project(
            location.directory,
            configuration=config.alembic_config,
            section=section or config.alembic_section,
        )
        if project.other_sections:
            click.echo(
                f"reading [{project.section}] of {project.configuration.name}; "
                f"for the others: {', '.join(f'-n {name}' for name in project.other_sections)}",
                err=True,
            )
        url = None
        if unapplied:
            from evolve.app import target

            override = database_url or config.resolved_database_url()
            url = target.database_url(override, None, project.database_url)
        question = ask(project, revisions=revisions[0] if revisions else None, since=since, unapplied_on=url)
        words = question.words
        report = lint(project, question, options, _rules, store=None if no_cache else open_store())
    if report_format == "json":
        from evolve.report import json

        click.echo(json.render(report))
    else:
        from evolve.report import text

        click.echo(f"checking {words}", err=True)
        if not report.coverage.revisions:
            click.echo("there are none; all revisions: evolve lint base:heads", err=True)
        width = min(shutil.get_terminal_size((110, 24)).columns, 110)
        click.echo(text.render(report, width=width, verbose=verbose))
    required = require or config.lint.require
    if required and report.compatibility:
        from evolve.lint.verdict import Level

        if unmet := report.compatibility.unmet(Level[required]):
            from evolve.report.verdict import shortfall

            click.echo(shortfall(Level[required], unmet), err=True)
            raise SystemExit(1)
    if report.blocks(Severity[(fail_on or config.lint.fail_on).upper()]) or (strict and report.has_gaps):
        raise SystemExit(1)


def _rules() -> Sequence[Rule]:
    from evolve.app.explain_rule import all_rules

    return all_rules()
