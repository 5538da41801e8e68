"""Retention: what a table's settings say of it, and what a partition that left its table carries in its comment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from evolve.partition.shell import MARKER
from evolve.plugin_api import Options, Problem, Problems, unknown_options
from evolve.sql.names import QualifiedName

GRACE = timedelta(days=7)
OWN_OPTIONS = ("grace", "archive", "then", "detach")
"""What a `retention` says to evolve itself; the rest, `keep`, is the partitioner's."""

_SPAN = re.compile(r"\s*(\d{1,5})\s+(hour|day|week|month)s?\s*")
_UNITS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=31),
}
_DETACHED = re.compile(
    r"detached from (?P<table>.*) at (?P<moment>\d{4}-\S+) (?P<bound>FOR VALUES .*|DEFAULT)"
)
_LEAVING = re.compile(r"leaves (?P<table>.*) (?P<bound>FOR VALUES .*|DEFAULT)")


@dataclass(frozen=True, slots=True)
class Retention:
    """
    Args:
        grace: how long a partition stays as a table of its own after it was detached.
        archive: how it is archived before it is dropped; None where it need not be.
        then: whether it is dropped after that.
    """

    grace: timedelta = GRACE
    archive: str | None = None
    then: Literal["drop", "keep"] = "drop"


@dataclass(frozen=True, slots=True)
class Detached:
    """A table that was a partition.

    Args:
        name: without schema; it stays in the schema of its parent.
        moment: when it was detached; None where the run was killed before it could say so.
        bound: as SQL.
    """

    name: str
    moment: datetime | None
    bound: str


def read_retention(options: Options) -> Retention | Problems:
    """What `[tool.evolve.partition.<table>]` says of `retention`; the partitioner reads `keep`."""
    given = options.get("retention")
    if not isinstance(given, Mapping):
        return Retention()
    problems = [
        Problem(f"retention.{problem.field}", problem.message)
        for problem in unknown_options(given, ("keep", *OWN_OPTIONS))
    ]
    grace = _span(given.get("grace", "7 days"))
    if grace is None:
        problems.append(Problem("retention.grace", f'"{given["grace"]}" is not a span, such as "7 days"'))
    archive = given.get("archive")
    if archive is not None and (not isinstance(archive, str) or not archive):
        problems.append(
            Problem("retention.archive", f'"{archive}" is not a way to archive, such as "parquet"')
        )
    if given.get("detach", "concurrently") != "concurrently":
        problems.append(Problem("retention.detach", 'only "concurrently" lets readers and writers pass'))
    then = given.get("then", "drop")
    if then not in ("drop", "keep"):
        problems.append(Problem("retention.then", f'"{then}" is neither "drop" nor "keep"'))
    if problems or grace is None:
        return Problems(tuple(problems))
    return Retention(
        grace, archive if isinstance(archive, str) else None, "keep" if then == "keep" else "drop"
    )


def for_partitioner(options: Options) -> Options:
    """`options` with what of `retention` is not the partitioner's taken away."""
    given = options.get("retention")
    if not isinstance(given, Mapping):
        return options
    rest = {name: value for name, value in given.items() if name not in OWN_OPTIONS}
    return {**options, "retention": rest}


def leaving_comment(table: QualifiedName, bound: str, before: str | None) -> str:
    """Written before the detach, so that a run that was killed leaves no table that could be taken for a new one."""
    return _comment(f"leaves {table.plain} {bound}", before)


def detached_comment(table: QualifiedName, moment: datetime, bound: str, before: str | None) -> str:
    """Written after it; from `moment`, with time zone, the grace is counted."""
    return _comment(f"detached from {table.plain} at {moment.isoformat()} {bound}", before)


def is_ours(comment: str | None) -> bool:
    return (comment or "").startswith(f"{MARKER}: ")


def read_detached(name: str, comment: str | None, table: QualifiedName) -> Detached | None:
    """What left `table` through evolve; None for whatever else."""
    state = _state(comment)
    leaving = _LEAVING.fullmatch(state)
    if leaving is not None and leaving["table"] == table.plain:
        return Detached(name, None, leaving["bound"])
    found = _DETACHED.fullmatch(state)
    if found is None or found["table"] != table.plain:
        return None
    try:
        moment = datetime.fromisoformat(found["moment"])
    except ValueError:
        return None
    return Detached(name, moment, found["bound"]) if moment.tzinfo is not None else None


def _comment(state: str, before: str | None) -> str:
    # What a person wrote there comes after a line of its own, whatever is in it.
    rest = _rest(before)
    return f"{MARKER}: {state}" + (f"\n{rest}" if rest else "")


def _state(comment: str | None) -> str:
    first = (comment or "").split("\n", 1)[0]
    return first.removeprefix(f"{MARKER}: ") if is_ours(comment) else ""


def _rest(comment: str | None) -> str:
    if not is_ours(comment):
        return comment or ""
    first, _, rest = (comment or "").partition("\n")
    return rest or first.partition("; ")[2]


def _span(value: object) -> timedelta | None:
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * _UNITS[found[2]] if found else None
