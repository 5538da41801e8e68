"""Conversions and partitions, for people and for programs."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from evolve.durations import duration, percent
from evolve.partition.conversion import Conversion, Planned, Record
from evolve.partition.maintain import Partitioned
from evolve.partition.obstacles import Obstacle
from evolve.partition.steps import BuildIndex, Statements, Step, Track
from evolve.plugin_api import Due, Partition, bound_sql
from evolve.sql.statements import Statement

SCHEMA = 1
_WIDTH = 110


# -- a plan -----------------------------------------------------------------------------------------------------------
def plan_text(conversion: Conversion, *, explain: bool = False) -> str:
    return "\n".join(_plan_lines(conversion, explain=explain))


def plan_data(conversion: Conversion) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "table": conversion.table.plain,
        "recipe": conversion.recipe,
        "reason": conversion.reason,
        "method": conversion.method,
        "key": list(conversion.key),
        "partitions": [{"name": p.name, "bound": p.bound} for p in conversion.partitions],
        "replaced": _replaced(conversion),
        "notes": list(conversion.notes),
        "bytes_needed": conversion.bytes_needed,
        "steps": [
            _step_data(track, step)
            for track in ("forward", "back", "abandon", "finish")
            for step in conversion.steps(track)
        ],
    }


def revision_text(conversion: Conversion, path: Path, command: str) -> str:
    """What to do with a revision that was written for a conversion."""
    return "\n".join(
        [
            f"written: {path} (plan {conversion.plan_id})",
            "",
            "where the table has rows, before that revision or when it stops there:",
            f"  {command}",
            "where it has none, as in a new database, the revision partitions it",
        ]
    )


def revision_data(conversion: Conversion, path: Path, command: str) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "table": conversion.table.plain,
        "plan": conversion.plan_id,
        "revision": str(path),
        "command": command,
    }


def undo_text(
    conversion: Conversion,
    tracks: Iterable[Track],
    lost: Iterable[str],
    returns: Iterable[str],
    *,
    explain: bool,
) -> str:
    """What would be undone, what would be lost, and every step."""
    table = conversion.table.plain
    if conversion.replaced is not None:
        old, new = _list(conversion.replaced), _list(conversion.partitions)
        lines = [f"{table}: {old} in place of {new} again"]
    else:
        old = conversion.names.retired.plain if conversion.recipe == "copy" else conversion.partitions[0].name
        lines = [f"{table}: {old} becomes {table} again, as it was before the conversion"]
    told = [f"lost: {each}" for each in lost]
    lines += [line for each in told for line in _wrapped(each)] or ["no row and nothing else would be lost"]
    lines += [line for each in returns for line in _wrapped(f"comes back: {each}")]
    steps = [step for track in tracks for step in conversion.steps(track)]
    return "\n".join([*lines, "", *_step_lines(steps, explain=explain)])


def undo_data(
    conversion: Conversion, tracks: Iterable[Track], lost: Iterable[str], returns: Iterable[str]
) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "table": conversion.table.plain,
        "undoes": conversion.command,
        "lost": list(lost),
        "comes_back": list(returns),
        "steps": [_step_data(track, step) for track in tracks for step in conversion.steps(track)],
    }


def proposal_text(
    table: str,
    commands: Sequence[tuple[str, str]],
    plan: Conversion | None,
    obstacles: Sequence[Obstacle],
    due: Due,
    *,
    explain: bool,
) -> str:
    """
    Args:
        table: as it is written in SQL.
        commands: what may be done, as it is typed, and why; what is worth most first.
    """
    lines: list[str] = []
    if not commands:
        lines.append(f"{table}: nothing to move: each partition is what its scheme wants")
    for number, (command, reason) in enumerate(commands):
        lines.append(f"{command}" if number else f"{command} --run")
        lines += _wrapped(f"because {reason}", indent=2)
    for obstacle in obstacles:
        lines += [
            *_wrapped(f"in the way: {obstacle.what}", indent=2),
            *_wrapped(f"fix: {obstacle.fix}", indent=4),
        ]
    if plan is not None:
        lines += [
            "",
            *(["the first of them:"] if len(commands) > 1 else []),
            *_plan_lines(plan, explain=explain),
        ]
    if due.create:
        names = ", ".join(partition.name for partition in due.create)
        lines += [
            "",
            *_wrapped(f"missing: {names}; make them: evolve partition premake {shlex.quote(table)}"),
        ]
    lines += conflict_lines(due)
    return "\n".join([*lines, "", "nothing was changed"])


def proposal_data(
    table: str,
    commands: Sequence[tuple[str, str]],
    plan: Conversion | None,
    obstacles: Sequence[Obstacle],
    due: Due,
) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "table": table,
        "proposed": [{"command": command, "reason": reason} for command, reason in commands],
        "plan": None if plan is None else plan_data(plan),
        "obstacles": [{"what": each.what, "fix": each.fix} for each in obstacles],
        "due": due_data(due),
    }


def _plan_lines(conversion: Conversion, *, explain: bool) -> Iterator[str]:
    key = ", ".join(conversion.key)
    yield f"{conversion.table.plain}: partitioned by {conversion.method} ({key})"
    word = "recipe " if conversion.replaced is None else ""
    yield from _wrapped(f"{word}{conversion.recipe}: {conversion.reason}")
    first, last = conversion.partitions[0], conversion.partitions[-1]
    span = first.name if first == last else f"{first.name} … {last.name}"
    new = "" if conversion.replaced is None else "new "
    yield f"{new}partitions: {len(conversion.partitions)}: {span}"
    if conversion.bytes_needed:
        old = "table is" if conversion.replaced is None else "partitions are"
        yield f"disk: about {size(conversion.bytes_needed)} until the old {old} dropped"
    yield ""
    yield from _step_lines(conversion.forward, explain=explain)
    yield ""
    for note in conversion.notes:
        yield from _wrapped(f"note: {note}")


def _step_lines(steps: Sequence[Step], *, explain: bool) -> Iterator[str]:
    width = max(len(step.name) for step in steps)
    for name, group in groupby(steps, key=lambda step: step.name):
        together = list(group)
        title = (
            together[0].title if len(together) == 1 else f"{len(together)} steps, first {together[0].title}"
        )
        yield f"  {name:<{width}}  {title}"
        yield from _wrapped(f"{lock_of(together)}; {together[0].why}", indent=width + 4)
        if explain:
            for step in together:
                for statement in _statements(step):
                    yield from textwrap.indent(f"{statement.sql};", " " * (width + 6)).splitlines()


def lock_of(steps: Iterable[Step]) -> str:
    """The strongest lock on what the application uses."""
    locks = [
        statement.lock for step in steps for statement in _statements(step) if statement.lock is not None
    ]
    if not locks:
        return "no lock that anybody waits for"
    strongest = max(locks)
    return f"{strongest}, which blocks {strongest.blocks}"


def _statements(step: Step) -> tuple[Statement, ...]:
    match step:
        case Statements():
            return (*step.first, *step.statements)
        case BuildIndex():
            return (step.build,) if step.attach is None else (step.build, step.attach)
        case _:
            return ()


def _step_data(track: Track, step: Step) -> dict[str, object]:
    strongest = max((s.lock for s in _statements(step) if s.lock is not None), default=None)
    return {
        "track": track,
        "name": step.name,
        "title": step.title,
        "why": step.why,
        "lock": str(strongest) if strongest is not None else None,
        "statements": [statement.sql for statement in _statements(step)],
    }


# -- a conversion under way -------------------------------------------------------------------------------------------
def record_text(record: Record) -> str:
    return "\n".join(_record_lines(record))


def at_work_text(rows: int, total: int | None, rate: float | None, left: float | None, who: str) -> str:
    """What a process does right now."""
    parts = []
    if rows or total:
        share = f" of about {total:,} ({percent(min(rows / total, 0.999))})" if total else ""
        parts.append(f"{rows:,} rows{share}")
    if rate:
        parts.append(f"{rate:,.0f} rows/s")
    if left is not None:
        parts.append(f"{duration(left)} left of this step")
    return f"  at work: {'; '.join([*parts, who])}"


def record_data(record: Record) -> dict[str, object]:
    copied, seconds = _worked(record, "copy")
    verified, _ = _worked(record, "verify")
    return {
        "table": record.conversion.table.plain,
        "state": record.state,
        "recipe": record.conversion.recipe,
        "method": record.conversion.method,
        "key": list(record.conversion.key),
        "partitions": [{"name": p.name, "bound": p.bound} for p in record.conversion.partitions],
        "replaced": _replaced(record.conversion),
        "rows_copied": copied,
        "rows_per_second": round(copied / seconds) if seconds else None,
        "rows_verified": verified,
        "rows_differing": 0 if verified or record.conversion.recipe == "attach" else None,
        "old_table": record.conversion.names.retired.plain if record.conversion.recipe == "copy" else None,
        "steps": [
            {
                "track": step.track,
                "name": step.name,
                "title": step.title,
                "rows": step.rows,
                "done": step.done,
                "seconds": step.seconds,
            }
            for step in record.steps
            if step.track == record.track or step.done
        ],
    }


def _record_lines(record: Record) -> Iterator[str]:
    conversion = record.conversion
    table = conversion.table.plain
    key = ", ".join(conversion.key)
    command, typed = conversion.command, conversion.table.shell
    what = "conversion" if conversion.replaced is None else command
    match record.state:
        case "running" | "swapped back":
            steps = [step for step in record.steps if step.track == record.track]
            at = next((step for step in steps if not step.done), None)
            yield f"{table}: {what} at step {record.done(record.track) + 1} of {len(steps)}" + (
                f", {at.name}: {at.title}" if at else ""
            )
            if at and at.rows:
                yield f"  {at.rows:,} rows so far"
            yield f"  go on: evolve partition {command} {typed} --resume; give up: --rollback"
        case "swapped":
            if conversion.replaced is None:
                yield (
                    f"{table} is partitioned by {conversion.method} ({key}): "
                    f"{len(conversion.partitions)} partitions"
                )
            else:
                yield f"{table}: {_list(conversion.partitions)} in place of {_list(conversion.replaced)}"
            yield from _copied(record)
            if not record.complete("forward"):
                yield f"  not all is done yet: evolve partition {command} {typed} --resume"
            elif conversion.recipe == "copy":
                yield f"  {conversion.names.retired.plain} is kept in step with it"
            elif conversion.replaced is not None:
                yield f"  what they replaced is kept in step with them, in {conversion.names.shadow.plain}"
            yield f"  go back: evolve partition {command} {typed} --rollback"
            yield f"  for good: evolve partition finish {typed}"
        case "finished" if conversion.replaced is not None:
            yield f"{table} keeps {_list(conversion.partitions)} for good"
        case "finished":
            yield f"{table} is partitioned by {conversion.method} ({key}) for good"
        case "abandoned":
            yield f"{table} is as it was before the {what}"


def _list(partitions: tuple[Planned, ...]) -> str:
    first, last = partitions[0].name, partitions[-1].name
    return first if len(partitions) == 1 else f"{len(partitions)} partitions ({first} … {last})"


def _replaced(conversion: Conversion) -> list[dict[str, str]] | None:
    if conversion.replaced is None:
        return None
    return [{"name": partition.name, "bound": partition.bound} for partition in conversion.replaced]


def _copied(record: Record) -> Iterator[str]:
    copied, seconds = _worked(record, "copy")
    verified, _ = _worked(record, "verify")
    if copied:
        rate = f" at {copied / seconds:,.0f} rows/s" if seconds else ""
        yield f"  {copied:,} rows copied{rate}; {verified:,} compared, all equal"


def _worked(record: Record, name: str) -> tuple[int, float]:
    steps = [step for step in record.steps if step.name == name and step.track == "forward"]
    return sum(step.rows for step in steps), sum(step.seconds or 0.0 for step in steps)


# -- partitions -------------------------------------------------------------------------------------------------------
def partitioned_text(partitioned: Partitioned, due: Due | None) -> str:
    lines = [
        f"{partitioned.table.plain}: {partitioned.method} ({', '.join(partitioned.key)}), "
        f"{len(partitioned.partitions)} partitions"
    ]
    width = max((len(partition.name) for partition in partitioned.partitions), default=0)
    lines += [
        f"  {partition.name:<{width}}  {bound_sql(partition.bound)}  "
        f"about {partitioned.rows.get(partition.name, 0):,} rows"
        for partition in partitioned.partitions
    ]
    if due is None:
        lines.append("how it is partitioned is not in the settings, so what is missing cannot be told")
    elif due.create:
        missing = ", ".join(partition.name for partition in due.create)
        lines.append(f"missing: {missing}; make them: evolve partition premake {partitioned.table.shell}")
    else:
        lines.append("nothing is missing")
    lines += conflict_lines(due) if due is not None else []
    return "\n".join(lines)


def conflict_lines(due: Due) -> list[str]:
    return [
        f"{c.wanted.name} {bound_sql(c.wanted.bound)} is wanted but crosses "
        f"{c.existing.name} {bound_sql(c.existing.bound)}"
        for c in due.conflicts
    ]


def partitions_data(partitions: Iterable[Partition]) -> list[dict[str, object]]:
    return [{"name": partition.name, "bound": bound_sql(partition.bound)} for partition in partitions]


def due_data(due: Due) -> dict[str, object]:
    return {
        "create": partitions_data(due.create),
        "conflicts": [{"wanted": c.wanted.name, "existing": c.existing.name} for c in due.conflicts],
    }


def size(count: int) -> str:
    """Bytes in the unit that reads best."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _wrapped(text: str, indent: int = 0) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=space,
        subsequent_indent=space + ("" if indent else "  "),
        break_on_hyphens=False,
    )
