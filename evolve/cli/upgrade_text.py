"""What `evolve upgrade` and `evolve downgrade` say: events on stderr as they happen, the result on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from evolve.app.dry_run import DryRun
from evolve.app.upgrade import Direction, Done, Observer, Outcome
from evolve.app.upgrade_events import session
from evolve.errors import EvolveError
from evolve.postgres.blockers import Blocker
from evolve.revisions.run import Pending, RevisionFailed

_SCHEMA = 1


class Narrator(Observer):
    """Tells on stderr what a runner does, a line an event."""

    def waiting_for_runner(self, holder: str) -> None:
        click.echo(f"another runner is at work ({holder}); waiting for it to end", err=True)

    def not_recorded(self, reason: str, fix: str) -> None:
        click.echo(
            f"steps are not recorded, a run that is cut short cannot be gone on with: {reason}", err=True
        )
        click.echo(f"  fix: {fix}", err=True)

    def begins(self, step: Pending, number: int, total: int) -> None:
        click.echo(f"{number}/{total} {step.revision} {step.message}", err=True)

    def goes_on(self, step: Pending, done: Sequence[str]) -> None:
        click.echo("    goes on where an earlier attempt ended; done already:", err=True)
        for statement in done:
            click.echo(f"      {statement}", err=True)

    def takes_back(self, revision: str, statement: str) -> None:
        click.echo(f"takes back what was done of {revision}: {' '.join(statement.split())}", err=True)

    def ends_downgrade(self, revision: str) -> None:
        click.echo(f"a downgrade was cut short in {revision}; it is brought to its end first", err=True)

    def waits(self, reason: str) -> None:
        click.echo(f"    waiting: {reason}", err=True)

    def session_ended(self, blocker: Blocker) -> None:
        click.echo(f"    ended {blocker}", err=True)

    def retries(self, failure: RevisionFailed, blockers: list[Blocker], delay: float) -> None:
        reason = failure.reason if failure.sqlstate != "55P03" else "no lock within its timeout"
        click.echo(f"    {reason}; next try in {delay:.1f} s", err=True)
        for blocker in blockers:
            if not blocker.ended:
                click.echo(f"    blocked by {blocker}", err=True)

    def ends(self, done: Done) -> None:
        tries = f" after {done.retries} retries" if done.retries else ""
        click.echo(f"    done in {done.seconds:.2f} s{tries}", err=True)


@contextmanager
def told_by_events(as_json: bool) -> Iterator[None]:
    """Where the log is JSON an error is one of its events, and no text of several lines behind it."""
    try:
        yield
    except EvolveError as error:
        if not as_json:
            raise
        raise SystemExit(error.exit_code) from error


def print_pending(steps: list[Pending], direction: Direction, report_format: str) -> None:
    if report_format == "json":
        rows = [
            {"revision": step.revision, "message": step.message, "file": str(step.file)} for step in steps
        ]
        click.echo(json.dumps({"schema": _SCHEMA, "direction": direction, "pending": rows}, indent=2))
        return
    for step in steps:
        click.echo(f"{step.revision} {step.message}")
    if not steps:
        click.echo("nothing to do")


def print_dry_run(tried: DryRun, report_format: str) -> None:
    if report_format == "json":
        click.echo(json.dumps(_dry_run_json(tried), indent=2))
        return
    for step in tried.steps:
        click.echo(f"{step.revision} {step.message}: {step.seconds:.2f} s on a copy without rows")
        for each in step.statements:
            click.echo(f"    {each.statement} ({each.place}): {each.seconds:.3f} s")
            for table, mode in sorted(each.locks.items()):
                click.echo(f"        {mode} on {table}, {_size(tried.sizes.get(table, 0))}")
        for table, size in step.rewritten.items():
            click.echo(f"    rewrites {table}, {_size(size)}: it is locked for as long as that takes")
        if step.error is not None:
            click.echo(f"    fails: {step.error}")
    if not tried.steps:
        click.echo("nothing to do")
    if tried.version != tried.live_version:
        click.echo(f"run on PostgreSQL {tried.version}, the database has {tried.live_version}", err=True)
    if tried.copied_by != "pg_dump":
        click.echo(f"the copy was made by {tried.copied_by}, since pg_dump could not", err=True)


def _dry_run_json(tried: DryRun) -> dict[str, object]:
    steps = [
        {
            "revision": step.revision,
            "message": step.message,
            "seconds": round(step.seconds, 3),
            "statements": [
                {
                    "statement": each.statement,
                    "place": each.place,
                    "seconds": round(each.seconds, 4),
                    "locks": {table: str(mode) for table, mode in sorted(each.locks.items())},
                }
                for each in step.statements
            ],
            "rewritten": dict(step.rewritten),
            "error": step.error,
        }
        for step in tried.steps
    ]
    return {
        "schema": _SCHEMA,
        "direction": tried.direction,
        "version": tried.version,
        "live_version": tried.live_version,
        "copied_by": tried.copied_by,
        "steps": steps,
    }


def _size(number: int) -> str:
    size, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}"


def print_outcome(outcome: Outcome, report_format: str) -> None:
    heads = ", ".join(outcome.heads) or "base"
    if report_format == "json":
        rows = [
            {
                "revision": done.revision,
                "message": done.message,
                "seconds": round(done.seconds, 3),
                "retries": done.retries,
                "blockers": [str(blocker) for blocker in done.blockers],
                "ended": [session(blocker) for blocker in done.blockers if blocker.ended],
            }
            for done in outcome.done
        ]
        answer = {
            "schema": _SCHEMA,
            "direction": outcome.direction,
            "done": rows,
            "heads": list(outcome.heads),
        }
        click.echo(json.dumps(answer, indent=2))
    elif outcome.done:
        word = "applied" if outcome.direction == "upgrade" else "reverted"
        count = len(outcome.done)
        click.echo(f"{word} {count} revision{'s' if count > 1 else ''}; the database is at {heads}")
    else:
        click.echo(f"nothing to do; the database is at {heads}")
