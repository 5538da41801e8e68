"""Shared by the commands of `evolve partition`: what goes together, and a conversion or a move carried out and told."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal

import click

from evolve.cli.backfill_progress import showing
from evolve.cli.stopping import signals
from evolve.errors import Misuse

if TYPE_CHECKING:
    from evolve.cli.options import Location
    from evolve.partition.conversion import Conversion, Record
    from evolve.sql.names import QualifiedName


class NotTogether(Misuse):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} do not go together", fix=f"leave out {other}")


class BadAnswer(Misuse):
    def __init__(self, option: str, text: str, expected: str) -> None:
        super().__init__(f'{option} "{text}" cannot be read', fix=f"write it as {option} {expected}")


mode_option = click.option(
    "--mode",
    type=click.Choice(["fast", "polite", "gentle"]),
    help="Copy all of the time, half of it, or a fifth, and look at more before each batch.  [default: that of "
    "backfills in the settings, or fast]",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Copy the rows over so many connections, each a range of keys.",
)


def carry_out(
    location: Location,
    url: str,
    what: Conversion | QualifiedName,
    action: Literal["convert", "resume", "roll back", "undo", "finish"],
    report_format: str,
    *,
    quiet: bool,
    mode: str | None = None,
    workers: int = 1,
) -> int:
    """
    Args:
        action: "undo" is the way back of somebody who could see before what would be lost.
    """
    from evolve.app import convert_table as use
    from evolve.app.partition_brakes import politeness_of
    from evolve.app.undo_partitioning import refuse_to_lose_rows
    from evolve.cli.partition_progress import Narration
    from evolve.partition.conversion import Conversion
    from evolve.report import partition as report

    table = what.table if isinstance(what, Conversion) else what
    if action == "roll back":
        refuse_to_lose_rows(url, table)
    polite = politeness_of(location.config().backfill, mode, location.directory)
    with showing(report_format, quiet=quiet) as watch, signals() as stop:
        narration = Narration(watch, table.plain)
        environment = use.Environment(sleep=stop.wait, stop=lambda: stop.requested() is not None)
        if isinstance(what, Conversion):
            record: Record = use.convert(
                url, what, observer=narration, environment=environment, politeness=polite, workers=workers
            )
        elif action == "resume":
            record = use.resume(
                url, table, observer=narration, environment=environment, politeness=polite, workers=workers
            )
        else:
            act = use.finish if action == "finish" else use.roll_back
            record = act(url, table, observer=narration, environment=environment)
    if report_format == "json":
        click.echo(json.dumps({"schema": report.SCHEMA, **report.record_data(record)}, ensure_ascii=False))
    else:
        click.echo(report.record_text(record))
    return 0


def pair(option: str, text: str) -> tuple[str, str]:
    found = re.fullmatch(r"([^=]+)=(.+)", text, re.DOTALL)
    if found is None:
        raise BadAnswer(option, text, "NAME=VALUE")
    return found[1], found[2]


def exclude(chosen: dict[str, bool]) -> None:
    given = [name for name, is_set in chosen.items() if is_set]
    if len(given) > 1:
        raise NotTogether(given[0], given[1])
