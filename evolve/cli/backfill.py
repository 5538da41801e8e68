"""`evolve backfill …`: fill a column of a live table in small transactions, and steer that from any terminal."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from evolve.cli.backfill_declared import list_declared
from evolve.cli.backfill_observing import Observing, observing_options
from evolve.cli.backfill_options import (
    Number,
    analyze_option,
    max_rejects_option,
    pace_options,
    plain_sql_option,
    quiet_option,
    resolved_url,
    verify_option,
)
from evolve.cli.backfill_past import forget, log
from evolve.cli.backfill_progress import SCHEMA, showing
from evolve.cli.backfill_rejects import rejects, retry_rejects
from evolve.cli.backfill_steer import approve, explain, set_pace, throttle
from evolve.cli.backfill_wanted import wanted_options
from evolve.cli.options import Location, database_url_option, format_option, project_options
from evolve.cli.stopping import signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolve.app.backfill_work import Outcome, Pace
    from evolve.app.wanted_backfill import Chosen, Wanted
    from evolve.backfill.record import Rejected, RunRecord

SHOWN = 20  # rejects


@click.group()
def command() -> None:
    """Fill, copy or delete rows of a live table in small transactions.

    A run walks the table by key. Each batch commits together with its place, so a run can be stopped or
    killed at any moment and goes on where it was: no row is left out, none is written twice.

    Exit status: 0 done; 1 not done: paused, failed, rows missing, conflicts; 2 the question was wrong;
    3 done but for rows that could not be written.
    """


command.add_command(forget)
command.add_command(log)
command.add_command(list_declared)
command.add_command(rejects)
command.add_command(retry_rejects)
command.add_command(set_pace)
command.add_command(throttle)
command.add_command(explain)
command.add_command(approve)


@command.command()
@wanted_options
@click.option(
    "--after",
    multiple=True,
    metavar="NAME",
    help="A backfill that must be done, and verified, before this one.  [default: those of its last run]",
)
@click.option("--restart", is_flag=True, help="Start over where the run of that name has ended.")
@click.option("--newest-first", is_flag=True, help="Walk from the greatest key down.")
@click.option(
    "--dry-run", is_flag=True, help="Show statement and plan, try batches, roll them back, forecast the run."
)
@click.option(
    "--undo-journal",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Keep old values for undo; auto: unless --where demands that they are null.",
)
@verify_option
@analyze_option
@max_rejects_option
@plain_sql_option
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
@observing_options
@pace_options
def run(
    pace: Pace,
    location: Location,
    wanted: Wanted,
    /,
    after: tuple[str, ...],
    restart: bool,
    newest_first: bool,
    dry_run: bool,
    undo_journal: str,
    verify: bool,
    analyze: bool,
    plain_sql: bool,
    max_rejects: int | None,
    quiet: bool,
    observing: Observing,
    report_format: str,
    database_url: str | None,
) -> int:
    """Fill TARGET: TABLE.COLUMN with --set, the id of a planned change, or a declared backfill.

    \b
    evolve backfill run users.full_name --set "first || ' ' || last" --where "full_name IS NULL"
    evolve backfill run users.city --set a.city --from "addresses a" --join "a.user_id = users.id"
    evolve backfill run orders --into orders_archive --columns id,total --where "placed < '2020-01-01'"
    evolve backfill run orders --delete --where "placed < '2020-01-01'"
    evolve backfill run shop.backfills:full_name

    A run of that name that failed or was killed is gone on with; a done one is left alone. Everything that
    can be refused is refused before a row is written. Ctrl-C ends the batch at hand and leaves the run
    paused.
    """
    from evolve.app.dry_run_backfill import dry_run_backfill
    from evolve.app.run_backfill import run_backfill
    from evolve.backfill.approval import ApprovalRule
    from evolve.backfill.undo import JournalMode
    from evolve.cli import backfill_text

    approval = location.config().backfill.approval
    chosen = _chosen(location, wanted)
    spec = chosen.spec
    url = resolved_url(location, database_url)
    mode = JournalMode(undo_journal)
    with (
        showing(report_format, quiet=quiet or (observing.as_json(location) and not dry_run)) as watch,
        signals() as stop,
    ):
        if dry_run:
            observing.refuse_dry_run()
            dry = dry_run_backfill(
                url,
                spec,
                pace=pace,
                stop=stop,
                watch=watch,
                undo_journal_mode=mode,
                plain_sql=plain_sql,
                newest_first=newest_first,
            )
            click.echo(
                json.dumps(backfill_text.dry_run_json(dry))
                if report_format == "json"
                else backfill_text.dry_run_text(dry)
            )
            return 0
        with observing.around(location, watch) as (watched, observer):
            outcome = run_backfill(
                url,
                spec,
                pace=pace,
                stop=stop,
                watch=watched,
                restart=restart,
                undo_journal_mode=mode,
                verify=verify,
                plain_sql=plain_sql,
                newest_first=newest_first,
                after=after or chosen.after or None,
                max_rejects=max_rejects,
                analyze=analyze,
                observer=observer,
                approval=ApprovalRule(approval.rows, approval.tables).why,
            )
    return _print_outcome(outcome, report_format, url)


@command.command()
@click.argument("name")
@verify_option
@analyze_option
@max_rejects_option
@plain_sql_option
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
@observing_options
@pace_options
def resume(
    pace: Pace,
    location: Location,
    /,
    name: str,
    verify: bool,
    analyze: bool,
    plain_sql: bool,
    max_rejects: int | None,
    quiet: bool,
    observing: Observing,
    report_format: str,
    database_url: str | None,
) -> int:
    """Go on with a run that was paused, failed, or lost its worker.

    It is as fast as the run was begun, and as it was set since; what is given here takes the place of that.
    """
    from evolve.app.resume_backfill import resume_backfill
    from evolve.backfill.functions import search

    search(location.directory)
    url = resolved_url(location, database_url)
    with (
        showing(report_format, quiet=quiet or observing.as_json(location)) as watch,
        signals() as stop,
        observing.around(location, watch) as (watched, observer),
    ):
        outcome = resume_backfill(
            url,
            name,
            pace=pace,
            stop=stop,
            watch=watched,
            verify=verify,
            plain_sql=plain_sql,
            max_rejects=max_rejects,
            analyze=analyze,
            observer=observer,
        )
    if outcome is None:
        _print_asked(name, "goes on: its worker had not stopped yet", report_format)
        return 0
    return _print_outcome(outcome, report_format, url)


@command.command()
@click.argument("name")
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
@observing_options
@pace_options
def work(
    pace: Pace,
    location: Location,
    /,
    name: str,
    quiet: bool,
    observing: Observing,
    report_format: str,
    database_url: str | None,
) -> int:
    """Help with a run that goes on elsewhere: walk ranges of it until none is left.

    Any number of processes on any machine may join and leave. Ctrl-C ends the batch at hand and leaves the run
    to the others. Where nobody leads the run any more, this process goes on to verify and end it.
    """
    from evolve.app.work_on_backfill import work_on_backfill
    from evolve.backfill.functions import search

    search(location.directory)
    url = resolved_url(location, database_url)
    with (
        showing(report_format, quiet=quiet or observing.as_json(location)) as watch,
        signals() as stop,
        observing.around(location, watch) as (watched, observer),
    ):
        outcome = work_on_backfill(url, name, pace=pace, stop=stop, watch=watched, observer=observer)
    return _print_outcome(outcome, report_format, url)


@command.command()
@click.argument("name")
@format_option("text", "json")
@database_url_option
@project_options
def pause(location: Location, /, name: str, report_format: str, database_url: str | None) -> None:
    """Let the worker of a run stop at its next commit, wherever it is."""
    from evolve.app.pause_backfill import pause_backfill

    record = pause_backfill(resolved_url(location, database_url), name)
    _print_asked(name, f"is {record.shown}{_at_next_commit(record)}", report_format)


@command.command()
@click.argument("name")
@format_option("text", "json")
@database_url_option
@project_options
def cancel(location: Location, /, name: str, report_format: str, database_url: str | None) -> None:
    """End a run for good. Rows stay as they are; `undo` gives them their old values back."""
    from evolve.app.pause_backfill import cancel_backfill

    record = cancel_backfill(resolved_url(location, database_url), name)
    _print_asked(name, f"is {record.shown}{_at_next_commit(record)}", report_format)


@command.command()
@click.argument("name", required=False)
@click.option("--watch", "follow", is_flag=True, help="Once a second, until the run rests.")
@format_option("text", "json")
@database_url_option
@project_options
def status(
    location: Location, /, name: str | None, follow: bool, report_format: str, database_url: str | None
) -> None:
    """Show how the run NAME stands, or all of them."""
    from evolve.app.show_backfills import rests, show_backfill, show_backfills, watch_backfill
    from evolve.cli import backfill_text

    url = resolved_url(location, database_url)
    if name is None:
        if follow:
            raise click.UsageError("--watch needs the name of a run")
        views = show_backfills(url)
        if report_format == "json":
            runs = [backfill_text.view_json(view) for view in views]
            click.echo(json.dumps({"schema": SCHEMA, "runs": runs}))
        else:
            click.echo(
                "\n".join(backfill_text.view_line(view) for view in views) or "no backfill has run here"
            )
        return
    view = show_backfill(url, name)
    if follow:
        for now in watch_backfill(url, name):
            view = now
            if rests(view):
                break
            click.echo(
                json.dumps(backfill_text.view_json(view))
                if report_format == "json"
                else backfill_text.view_line(view)
            )
            time.sleep(1)
    click.echo(
        json.dumps(backfill_text.view_json(view))
        if report_format == "json"
        else backfill_text.view_text(view)
    )


@command.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Count what would be restored and what was changed since.")
@max_rejects_option
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
@observing_options
@pace_options
def undo(
    pace: Pace,
    location: Location,
    /,
    name: str,
    dry_run: bool,
    max_rejects: int | None,
    quiet: bool,
    observing: Observing,
    report_format: str,
    database_url: str | None,
) -> int:
    """Give the rows of a run their old values back, newest first.

    A row that somebody changed since keeps what it has and is listed. One that cannot take its old value is set
    aside, and tried again by the next undo. Interrupted at any moment, undo goes on where it was when called again.
    Exit status: 0 every row has its old value; 3 but for those that were set aside; 1 stopped, or rows left alone.
    """
    from dataclasses import asdict

    from evolve.app.preview_undo import preview_undo
    from evolve.app.undo_backfill import undo_backfill, undo_conflicts
    from evolve.cli import backfill_text

    url = resolved_url(location, database_url)
    with (
        showing(report_format, quiet=quiet or (observing.as_json(location) and not dry_run)) as watch,
        signals() as stop,
    ):
        if dry_run:
            observing.refuse_dry_run()
            preview = preview_undo(url, name, stop=stop)
            click.echo(
                json.dumps({"schema": SCHEMA, "event": "dry-run", **asdict(preview)})
                if report_format == "json"
                else backfill_text.preview_text(preview)
            )
            return 0
        with observing.around(location, watch) as (watched, observer):
            outcome = undo_backfill(
                url,
                name,
                pace=pace,
                stop=stop,
                watch=watched,
                max_rejects=max_rejects,
                observer=observer,
            )
    return _print_outcome(outcome, report_format, url, undo_conflicts(url, name) if outcome.conflicts else [])


@command.command()
@click.argument("name")
@click.option("--on", metavar="URL", help="Read this standby of the database.  [default: the primary]")
@click.option(
    "--wait",
    type=Number(min=0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="With --on: until it has replayed the end of the run.",
)
@quiet_option
@format_option("text", "json")
@database_url_option
@project_options
@observing_options
def verify(
    location: Location,
    /,
    name: str,
    on: str | None,
    wait: float,
    quiet: bool,
    observing: Observing,
    report_format: str,
    database_url: str | None,
) -> int:
    """Count the rows that still need work, over the whole table, and keep the result with the run.

    It counts nulls in each column written, too, and sums up keys and values in a checksum, which is the same on
    any server and at any time as long as they are. Each window of keys is one snapshot. Nothing is locked.
    """
    from evolve.app.verify_backfill import verify_backfill
    from evolve.cli import backfill_text

    url = resolved_url(location, database_url)
    with (
        showing(report_format, quiet=quiet or observing.as_json(location)) as watch,
        signals() as stop,
        observing.around(location, watch) as (watched, observer),
    ):
        verified = verify_backfill(url, name, stop=stop, watch=watched, on=on, wait=wait, observer=observer)
    if report_format == "json":
        found = backfill_text.verified_json(verified)
        click.echo(json.dumps({"schema": SCHEMA, "event": "end", "name": name, **found}))
    else:
        click.echo(backfill_text.verified_text(verified))
    return 0 if verified.verdict.clean else 1


def _chosen(location: Location, wanted: Wanted) -> Chosen:
    from evolve.app.wanted_backfill import chosen_backfill

    config = location.config()
    return chosen_backfill(
        wanted,
        location.directory,
        modules=config.backfill.modules,
        configuration=config.alembic_config,
        section=config.alembic_section,
    )


def _print_outcome(
    outcome: Outcome,
    report_format: str,
    url: str,
    conflicts: list[tuple[tuple[str, ...], str]] | None = None,
) -> int:
    from evolve.app.retry_rejects import list_rejects
    from evolve.app.undo_backfill import list_unrestored
    from evolve.cli import backfill_text

    rejected: Sequence[Rejected] = ()
    if outcome.rejects and outcome.state.value in ("undoing", "undone"):
        rejected = list_unrestored(url, outcome.name, SHOWN)
    elif outcome.rejects:
        rejected = list_rejects(url, outcome.name, SHOWN)[1]
    if report_format == "json":
        click.echo(json.dumps(backfill_text.outcome_json(outcome, conflicts or [], rejected)))
    else:
        click.echo(backfill_text.outcome_text(outcome, conflicts or [], rejected))
    return backfill_text.exit_status(outcome)


def _print_asked(name: str, text: str, report_format: str) -> None:
    if report_format == "json":
        click.echo(json.dumps({"schema": SCHEMA, "event": "asked", "name": name, "message": text}))
    else:
        click.echo(f'backfill "{name}" {text}')


def _at_next_commit(record: RunRecord) -> str:
    if record.held and record.holder is not None:
        return f": {record.holder.person} obeys at its next commit"
    return ""
