"""`evolve upgrade` and `evolve downgrade`: run revisions with short lock waits, retries, and one runner at a time."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

import click

from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.upgrade import Direction
    from evolve.app.upgrade_ledger import Unfinished

N = TypeVar("N", int, float)

_MOST = 2**31 - 1  # what a whole number of PostgreSQL's settings holds


def _target(context: click.Context, _: click.Parameter, value: str) -> str:
    """An option is unknown unless it is a number of steps, such as -1, which click takes for an option too."""
    if value.startswith("-") and not value[1:].isdigit():
        known = [name for each in context.command.get_params(context) for name in each.opts]
        raise click.NoSuchOption(value, possibilities=get_close_matches(value, known), ctx=context)
    return value


def _bounded(_: click.Context, __: click.Parameter, value: N | None) -> N | None:
    """As in the settings: what PostgreSQL holds, and no NaN, which is neither more nor less than any limit."""
    if value is not None and not value <= _MOST:
        raise click.BadParameter(f"{value} is no number up to {_MOST}")
    return value


def _build(name: str, direction: Direction, summary: str, default: str | None) -> click.Command:
    """One of the two commands; they differ in direction and default only."""
    # To click a default of None is a default, and nothing would be missing.
    argument = (
        click.argument("target", callback=_target)
        if default is None
        else click.argument("target", default=default, callback=_target)
    )

    @click.command(name, help=summary, context_settings={"ignore_unknown_options": True})
    @argument
    @click.option(
        "--lock-timeout",
        type=click.IntRange(min=1),
        metavar="MS",
        help="Wait for a lock.  [default: 500]",
        callback=_bounded,
    )
    @click.option(
        "--retries",
        type=click.IntRange(min=0),
        help="Attempts after the first.  [default: 20]",
        callback=_bounded,
    )
    @click.option(
        "--budget",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="All waits together.  [default: 300]",
        callback=_bounded,
    )
    @click.option(
        "--wait",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="For another runner.  [default: 600]",
        callback=_bounded,
    )
    @click.option(
        "--statement-timeout",
        type=click.IntRange(min=0),
        metavar="MS",
        help="For a statement.  [default: 0, none]",
        callback=_bounded,
    )
    @click.option(
        "--terminate-blockers",
        multiple=True,
        metavar="WHOM",
        help='End sessions that keep a revision waiting: "older-than=30s,application=report*".',
    )
    @click.option(
        "--unfinished",
        type=click.Choice(["again", "done", "restart"]),
        help="What to do about the rest of a run that was cut short, where evolve asks.",
    )
    @click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        help="How the log on stderr is written.  [default: log of the settings, else text]",
    )
    @click.option("--sql", "as_sql", is_flag=True, help="Only print the SQL, as `alembic --sql` does.")
    @click.option("--dry-run", is_flag=True, help="Only list what would run.")
    @click.option(
        "--on-copy",
        is_flag=True,
        help="A dry run that runs them on a scratch copy of the schema, and shows their locks.",
    )
    @format_option("text", "json")
    @database_url_option
    @project_options
    def run(
        location: Location,
        /,
        target: str,
        database_url: str | None,
        report_format: str,
        dry_run: bool,
        on_copy: bool,
        as_sql: bool,
        wait: float | None,
        budget: float | None,
        retries: int | None,
        lock_timeout: int | None,
        statement_timeout: int | None,
        terminate_blockers: tuple[str, ...],
        unfinished: Unfinished | None,
        log_format: str | None,
    ) -> None:
        from evolve.app import target as targets
        from evolve.app.gate_rules import gate_rules
        from evolve.app.listeners import listening
        from evolve.app.upgrade import Observer, Patience, migrate, preview
        from evolve.app.upgrade_events import Announcer
        from evolve.cli import upgrade_text
        from evolve.postgres.allow_list import read_allowances
        from evolve.revisions.run import Limits, print_sql

        config = location.config()
        project = location.project(config)
        if as_sql:
            print_sql(project, target, direction)
            return
        override = database_url or config.resolved_database_url()
        url = targets.database_url(override, None, project.database_url)
        if dry_run and not on_copy:
            upgrade_text.print_pending(preview(project, url, target, direction), direction, report_format)
            return
        if on_copy:
            from evolve.app.dry_run import dry_run as run_on_copy

            tried = run_on_copy(project, url, target, direction)
            upgrade_text.print_dry_run(tried, report_format)
            if tried.failed:
                raise SystemExit(1)
            return
        settings = config.upgrade
        as_json = (log_format or config.log) == "json"
        events = listening(
            config.on_event, project.root, lambda line: click.echo(line, err=True), as_json=as_json
        )
        narrator = Observer() if as_json else upgrade_text.Narrator()
        with upgrade_text.told_by_events(as_json), Announcer(events, direction, target, narrator) as observer:
            outcome = migrate(
                project,
                url,
                target,
                direction,
                limits=Limits(
                    _first(lock_timeout, settings.lock_timeout),
                    settings.concurrently_lock_timeout,
                    _first(statement_timeout, settings.statement_timeout),
                ),
                patience=Patience(
                    wait=_first(wait, settings.runner_wait),
                    retries=_first(retries, settings.max_retries),
                    budget=_first(budget, settings.retry_budget),
                ),
                observer=observer,
                override_url=override,
                terminate=read_allowances(terminate_blockers or settings.terminate_blockers),
                unfinished=unfinished,
                rules=lambda: gate_rules(config),
            )
        upgrade_text.print_outcome(outcome, report_format)

    return run


def _first(given: N | None, configured: N) -> N:
    return configured if given is None else given


command = _build(
    "upgrade",
    "upgrade",
    """Bring the database to TARGET: a revision, `head`, `heads`, or `+N`.

    Each revision runs in a transaction of its own through the project's env.py. Every statement waits at most
    --lock-timeout for a lock; what does not get it is rolled back and tried again, and who was in the way is named.
    Defaults come from [tool.evolve.upgrade].
    """,
    default="head",
)
downgrade = _build(
    "downgrade",
    "downgrade",
    "Take the database back to TARGET: a revision, `base`, or `-N`. Locks are waited for as in `evolve upgrade`.",
    default=None,
)
