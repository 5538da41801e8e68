"""`evolve backfill set`, `throttle`, `explain`, `approve`: steer a run while it goes on, from any terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evolve.cli.backfill_options import resolved_url
from evolve.cli.backfill_progress import SCHEMA
from evolve.cli.options import Location, database_url_option, format_option, project_options

if TYPE_CHECKING:
    from evolve.app.explain_backfill import Explained
    from evolve.backfill.record import RunRecord


@click.command("set")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[SETTING=VALUE]...")
@click.option("--reset", is_flag=True, help="Take back first what was set before.")
@format_option("text", "json")
@database_url_option
@project_options
def set_pace(
    location: Location,
    /,
    name: str,
    words: tuple[str, ...],
    reset: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Let a run go by other limits from its next commits on, on every machine.

    \b
    target=30ms   time one commit should take
    duty=0.3      share of the time it works
    rows=5000     rows written per second at most; off
    wal=10MB      WAL written per second at most; off
    batch=2000    rows of a batch at most
    lag=64MB      WAL a standby may be behind; off

    What is not named stays as it is. What was set stands above what the command line said that began the run.
    Without a SETTING, those that hold are shown.
    """
    from evolve.app.steer_backfill import set_backfill
    from evolve.backfill.settings import parse

    settings = parse(words)
    before, after = set_backfill(resolved_url(location, database_url), name, settings, reset=reset)
    if report_format == "json":
        said = {"settings": after.settings.to_json(), "pace": after.pace.to_json()}
        was = {"settings": before.settings.to_json(), "pace": before.pace.to_json()}
        click.echo(json.dumps({"schema": SCHEMA, "event": "set", "name": name, **said, "before": was}))
        return
    click.echo(f'backfill "{name}" goes by {_pace(after)}{_heeded(after) if words or reset else ""}')
    if before.settings != after.settings:
        click.echo(f"before: {_pace(before)}")


@click.command()
@click.argument("name")
@click.option(
    "--for", "duration", metavar="DURATION", help="Until then, such as 10min.  [default: until --off]"
)
@click.option(
    "--duty", type=float, metavar="SHARE", help="Let them work this share of the time.  [default: 0]"
)
@click.option("--reason", default="", metavar="TEXT", help="Shown wherever the run says why it waits.")
@click.option("--off", is_flag=True, help="Let go of what was held or slowed.")
@format_option("text", "json")
@database_url_option
@project_options
def throttle(
    location: Location,
    /,
    name: str,
    duration: str | None,
    duty: float | None,
    reason: str,
    off: bool,
    report_format: str,
    database_url: str | None,
) -> None:
    """Hold all workers of a run, or slow them, for a while. They keep their places, and go on by themselves.

    A second one takes the place of the first.
    """
    from evolve.app.steer_backfill import let_go, throttle_backfill
    from evolve.backfill.settings import duration as seconds_of
    from evolve.cli.backfill_text import brake_json

    if off and (duration or duty is not None or reason):
        raise click.UsageError("--off goes alone")
    seconds = None if duration is None else seconds_of(duration)
    url = resolved_url(location, database_url)
    if off:
        text = "is not throttled any more" if let_go(url, name) else "was not throttled"
        record = None
    else:
        record = throttle_backfill(url, name, seconds=seconds, share=duty or 0.0, reason=reason)
        what = "is held" if not duty else f"is slowed to {duty:.0%} of the time"
        until = f"for {duration}" if duration else f"until: evolve backfill throttle {name} --off"
        text = f"{what} {until}{_heeded(record)}"
    if report_format == "json":
        click.echo(
            json.dumps(
                {
                    "schema": SCHEMA,
                    "event": "throttle",
                    "name": name,
                    "message": text,
                    "brake": None if record is None else brake_json(record),
                }
            )
        )
    else:
        click.echo(f'backfill "{name}" {text}')


@click.command()
@click.argument("name")
@format_option("text", "json")
@database_url_option
@project_options
def explain(location: Location, /, name: str, report_format: str, database_url: str | None) -> None:
    """Say why a run is no faster just now: holds, locks, limits, retries; the strongest cause first.

    It looks for two seconds, and changes nothing.
    """
    from evolve.app.explain_backfill import explain_backfill

    explained = explain_backfill(resolved_url(location, database_url), name)
    click.echo(
        json.dumps(_explained_json(explained)) if report_format == "json" else _explained_text(explained)
    )


@click.command()
@click.argument("name")
@format_option("text", "json")
@database_url_option
@project_options
def approve(location: Location, /, name: str, report_format: str, database_url: str | None) -> None:
    """Let a run begin that another person started.

    Which runs wait for that is said by approval in [tool.evolve.backfill].
    """
    from evolve.app.steer_backfill import approve_backfill

    record = approve_backfill(resolved_url(location, database_url), name)
    by = None if record.approval is None else record.approval.by
    if report_format == "json":
        click.echo(json.dumps({"schema": SCHEMA, "event": "approve", "name": name, "by": by}))
    else:
        click.echo(f'backfill "{name}" is approved by {by}; begin it: evolve backfill resume {name}')


def _pace(record: RunRecord) -> str:
    told = str(record.settings)
    begun = str(record.pace.without(record.settings.said))
    parts = [f"{told} (set)" if told else "", f"{begun} (command line)" if begun else ""]
    return ", ".join(filter(None, parts)) or "the defaults"


def _heeded(record: RunRecord) -> str:
    return ", from the next commit on" if record.held else ", once it is worked on"


def _explained_text(explained: Explained) -> str:
    record, seen = explained.record, explained.seen
    lines = [f'backfill "{record.name}" is {record.shown}']
    if record.held:
        lines.append(f"  just now {seen.rate:,.0f} keys/s walked, {seen.written:,.0f} rows/s written")
        lines.append(f"  goes by {explained.settings}")
    for busy in record.doing:
        usual = f", a commit {busy.doing.milliseconds:g} ms" if busy.doing.milliseconds is not None else ""
        lines.append(f"  worker {busy.pid} of {busy.person}: batch {busy.doing.size:,}{usual}")
    for place, cause in enumerate(explained.causes, 1):
        lines.append(f"{place}. {cause.text}")
        if cause.fix:
            lines.append(f"   {cause.fix}")
    if not explained.causes:
        lines.append(f"nothing holds it back; more workers may help: evolve backfill work {record.name}")
    return "\n".join(lines)


def _explained_json(explained: Explained) -> dict[str, object]:
    from evolve.cli.backfill_text import brake_json

    record, seen = explained.record, explained.seen
    return {
        "schema": SCHEMA,
        "name": record.name,
        "state": record.shown,
        "settings": explained.settings.to_json(),
        "throttle": brake_json(record),
        "keys_per_second": round(seen.rate, 1),
        "rows_per_second": round(seen.written, 1),
        "workers": [
            {
                "person": busy.person,
                "pid": busy.pid,
                "batch": busy.doing.size,
                "milliseconds": busy.doing.milliseconds,
                "hold": busy.doing.hold,
            }
            for busy in record.doing
        ],
        "replica_lag_bytes": seen.lag,
        "causes": [{"kind": each.kind, "text": each.text, "fix": each.fix} for each in explained.causes],
    }
