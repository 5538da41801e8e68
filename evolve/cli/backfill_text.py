"""What the backfill commands print once they know: outcomes, states, verifications, as text and as JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from evolve.cli.backfill_aftermath import aftermath_json, aftermath_lines
from evolve.cli.backfill_forecast import forecast_json, forecast_lines
from evolve.cli.backfill_progress import SCHEMA
from evolve.counted import counted
from evolve.durations import duration, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolve.app.backfill_work import Outcome
    from evolve.app.dry_run_backfill import DryRun
    from evolve.app.preview_undo import UndoPreview
    from evolve.app.retry_rejects import Retried
    from evolve.app.show_backfills import RunView
    from evolve.app.verify_backfill import Verified
    from evolve.backfill.keyset import Key, KeyColumn
    from evolve.backfill.record import Rejected, RunRecord
    from evolve.backfill.verify import Verdict


def exit_status(outcome: Outcome) -> int:
    """0: done; 3: done but for rows that were set aside; 1: anything else."""
    if outcome.good:
        return 0
    return 3 if outcome.only_rejects else 1


def outcome_text(
    outcome: Outcome, conflicts: list[tuple[Key, str]], rejected: Sequence[Rejected] = ()
) -> str:
    name, rows = outcome.name, counted(outcome.rows, "row")
    if outcome.already:
        lines = [
            f'backfill "{name}" is done already: {rows}; nothing was written',
            "  a restart would write them a second time, to another value"
            if outcome.doubles
            else f"  where rows need it again: evolve backfill run {name} --restart",
        ]
    elif outcome.state.value == "done":
        lines = [
            f'backfill "{name}" is done: {rows} in {counted(outcome.batches, "batch", "batches")}, '
            f"{duration(outcome.seconds)}"
        ]
    elif outcome.state.value == "undone":
        lines = [f'backfill "{name}" is undone: {rows} with old values again, {duration(outcome.seconds)}']
    elif outcome.state.value == "undoing":
        lines = [
            f'undo of backfill "{name}" was stopped by {outcome.stopped_by}; {rows} restored this time',
            f"  go on: evolve backfill undo {name}",
        ]
    elif outcome.state.value in ("running", "verifying"):
        lines = [
            f'backfill "{name}" was left by {outcome.stopped_by}; {rows} written so far, and the others go on'
            if outcome.stopped_by
            else f'backfill "{name}": no range of keys is left; {rows} written, and its lead goes on to end it'
        ]
    elif outcome.state.value == "cancelled":
        lines = [f'backfill "{name}" was cancelled by {outcome.stopped_by}; {rows} written, which stay']
    else:
        lines = [
            f'backfill "{name}" was paused by {outcome.stopped_by}; {rows} written',
            f"  go on: evolve backfill resume {name}",
        ]
    if outcome.verdict is not None:
        lines.append(verdict_text(outcome.verdict, doubles=outcome.doubles))
    if outcome.aftermath is not None:
        lines += aftermath_lines(outcome.aftermath)
    if outcome.conflicts:
        lines.append(counted(outcome.conflicts, "row") + " left alone, with the old values lost:")
        lines += [f"  ({', '.join(key)}) {reason}" for key, reason in conflicts]
    if outcome.rejects:
        what = "take their old values" if outcome.state.value in ("undoing", "undone") else "be written"
        lines.append(f"{counted(outcome.rejects, 'row')} could not {what} and were set aside:")
        lines += [f"  {reject_line(each)}" for each in rejected]
        if outcome.state.value == "undone":
            lines.append(f"  mend them, then: evolve backfill undo {name}")
        if outcome.state.value == "done":
            lines.append(f"  mend them, then: evolve backfill retry-rejects {name}")
    return "\n".join(lines)


def reject_line(each: Rejected) -> str:
    state = f" (SQLSTATE {each.sqlstate})" if each.sqlstate else ""
    tries = f", tried {each.attempts} times" if each.attempts > 1 else ""
    return f"({', '.join(each.key)}) {each.reason}{state}{tries}"


def reject_json(each: Rejected) -> dict[str, object]:
    return {
        "key": list(each.key),
        "sqlstate": each.sqlstate,
        "reason": each.reason,
        "attempts": each.attempts,
        "at": each.at,
    }


def retried_text(retried: Retried) -> str:
    outcome = retried.outcome
    if outcome.already:
        return f'backfill "{outcome.name}" has set no row aside'
    lines = [
        f'backfill "{outcome.name}": {counted(retried.resolved, "row")} resolved, {outcome.rejects:,} left'
    ]
    if outcome.stopped_by is not None:
        lines[0] += f"; stopped by {outcome.stopped_by}"
    lines += [f"  {reject_line(each)}" for each in retried.left]
    if outcome.verdict is not None:
        lines.append(verdict_text(outcome.verdict, doubles=outcome.doubles))
    return "\n".join(lines)


def retried_json(retried: Retried) -> dict[str, object]:
    outcome = retried.outcome
    return {
        "schema": SCHEMA,
        "event": "end",
        "name": outcome.name,
        "resolved": retried.resolved,
        "rejects": outcome.rejects,
        "reject_sample": [reject_json(each) for each in retried.left],
        "stopped_by": outcome.stopped_by,
        "verify": None if outcome.verdict is None else verdict_json(outcome.verdict),
    }


def outcome_json(
    outcome: Outcome, conflicts: list[tuple[Key, str]], rejected: Sequence[Rejected] = ()
) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "event": "end",
        "name": outcome.name,
        "state": outcome.state.value,
        "rows": outcome.rows,
        "batches": outcome.batches,
        "seconds": round(outcome.seconds, 3),
        "already": outcome.already,
        "stopped_by": outcome.stopped_by,
        "verify": None if outcome.verdict is None else verdict_json(outcome.verdict),
        "conflicts": outcome.conflicts,
        "conflict_sample": [{"key": list(key), "reason": reason} for key, reason in conflicts],
        "rejects": outcome.rejects,
        "reject_sample": [reject_json(each) for each in rejected],
        "after": None if outcome.aftermath is None else aftermath_json(outcome.aftermath),
    }


def verified_text(verified: Verified) -> str:
    """A verification that was just made, against the one before."""
    lines = [verdict_text(verified.verdict, doubles=verified.doubles)]
    if verified.before is not None and verified.same is not None:
        before = f"the verification at {verified.before.at}"
        lines.append(
            f"keys and values are those of {before}"
            if verified.same
            else f"keys or values are not those of {before}: rows were written since, or the copies differ"
        )
    return "\n".join(lines)


def verified_json(verified: Verified) -> dict[str, object]:
    before = None if verified.before is None else verdict_json(verified.before)
    return {**verdict_json(verified.verdict), "before": before, "same": verified.same}


def verdict_text(verdict: Verdict, *, doubles: bool) -> str:
    """
    Args:
        doubles: to run it once more would write rows a second time, to another value.
    """
    place = "" if verdict.server is None else f" on {verdict.server}"
    seen = f"verified {counted(verdict.rows, 'row')}{place} at {verdict.at}:"
    values = [f"{count:,} null in {column}" for column, count in verdict.nulls]
    if verdict.checksum is not None:
        values.append(f"checksum {verdict.checksum}")
    held = ["; ".join(values)] if values else []
    if verdict.clean:
        return "\n".join([f"{seen} none is missing", *held])
    lines = [
        f"{seen} {verdict.misses:,} still fit",
        *(f"  {line}" for line in verdict.predicate.splitlines()),
        "first keys:",
        *(f"  ({', '.join(key)})" for key in verdict.sample),
        *held,
        "a restart would write rows a second time, to another value: bring these up to date by another --name, with a"
        " --where that finds no others"
        if doubles
        else "to write all rows once more that --where finds, also those that were written:"
        " evolve backfill run … --restart",
    ]
    return "\n".join(lines)


def verdict_json(verdict: Verdict) -> dict[str, object]:
    return {
        "rows": verdict.rows,
        "misses": verdict.misses,
        "clean": verdict.clean,
        "sample": [list(key) for key in verdict.sample],
        "at": verdict.at,
        "predicate": verdict.predicate,
        "nulls": dict(verdict.nulls),
        "checksum": verdict.checksum,
        "server": verdict.server,
    }


def preview_text(preview: UndoPreview) -> str:
    return (
        f'undo of backfill "{preview.name}" would give {counted(preview.rows, "row")} old values back;'
        f" left alone: {preview.changed:,} changed since, {preview.gone:,} gone"
    )


def view_line(view: RunView) -> str:
    record = view.record
    share = percent(view.fraction) if view.fraction is not None else "?"
    changed, since = counted(record.changed, "row"), f"{record.started_at:%Y-%m-%d %H:%M}"
    if record.rejects:
        changed += f" ({counted(record.rejects, 'reject')})"
    hold = "" if record.hold is None else f"  waiting: {record.hold}"
    return f"{record.name}  {record.shown}  {share}  {changed}  since {since}{hold}"


def view_text(view: RunView) -> str:
    record = view.record
    estimate = f" of about {record.rows_estimate:,}" if record.rows_estimate and not record.at_end else ""
    lines = [
        f"{record.name}: {record.shown}",
        f"  table     {record.spec.table.plain}, by {_way(record.key)}",
        f"  does      {record.spec.doing}",
    ]
    if record.spec.where is not None:
        lines.append(f"  where     {record.spec.where}")
    if record.after:
        waits = dict(view.waits)
        lines += [
            f"  after     {name}: {waits[name].reason if name in waits else 'done'}" for name in record.after
        ]
    share = f"{percent(view.fraction)}, " if view.fraction is not None else ""
    lines.append(
        f"  progress  {share}{record.scanned:,} keys{estimate} walked, {counted(record.changed, 'row')} written"
    )
    if record.ranges > 1:
        lines.append(f"  ranges    {record.ranges - len(record.open)} of {record.ranges} done")
    elif record.open and record.open[0].cursor is not None:
        lines.append(f"  cursor    ({', '.join(record.open[0].cursor)})")
    if record.lead is not None:
        lines.append(f"  led by    {record.lead.person}")
    lines += [f"  worker    {person}" for person in record.people]
    if record.settings.said:
        lines.append(f"  set       {record.settings}")
    begun = (*record.pace.words, *record.terms.words)
    if begun:
        lines.append(f"  begun at  {' '.join(begun)}")
    if record.brake is not None:
        left = "" if record.brake.left is None else f", for another {record.brake.left:.0f} s"
        lines.append(f"  throttle  {record.brake.shown}{left}")
    if record.approval is not None:
        by = "nobody yet" if record.approval.by is None else record.approval.by
        lines.append(f"  approval  {record.approval.reason}; approved by {by}")
    lines.append(f"  undo      {'kept' if record.journal else 'not kept'}")
    if record.verify is not None:
        lines.append(
            f"  verify    {verdict_text(record.verify, doubles=record.doubles)}".replace(
                "\n", "\n            "
            )
        )
    if record.error is not None:
        lines.append(f"  error     {record.error}")
    if view.notes is not None:
        notes = view.notes
        lines.append(
            f"  outbox    {notes.waiting:,} waiting, {notes.delivered:,} delivered, {notes.failed:,} given up"
        )
    if record.rejects:
        lines.append(f"  rejects   {counted(record.rejects, 'row')} could not be written")
        lines += [f"            {reject_line(each)}" for each in view.rejects]
    if record.unrestored:
        lines.append(f"  undo left {counted(record.unrestored, 'row')} that could not take their old values")
        lines += [f"            {reject_line(each)}" for each in view.unrestored]
    if view.conflicts:
        lines.append(f"  conflicts {counted(view.conflicts, 'row')} left alone by undo")
    lines.append(f"  started   {record.started_at:%Y-%m-%d %H:%M:%S %Z} by {record.started_by}")
    if record.ended_at is not None:
        lines.append(f"  ended     {record.ended_at:%Y-%m-%d %H:%M:%S %Z}")
    if view.events:
        lines.append("  events")
        lines += [
            f"    {event.at:%H:%M:%S} {event.kind} by {event.actor} {event.detail}".rstrip()
            for event in view.events
        ]
    advice = _next(view)
    if advice:
        lines.append(f"  go on: {advice}")
    return "\n".join(lines)


def _way(key: tuple[KeyColumn, ...]) -> str:
    columns = f"({', '.join(column.name for column in key)})"
    if key[0].name == "ctid":
        return f"{columns}, block by block"
    return f"{columns} from the newest on" if key[0].falling else columns


def view_json(view: RunView) -> dict[str, object]:
    from evolve.backfill.works import work_json

    record = view.record
    return {
        "schema": SCHEMA,
        "name": record.name,
        "state": record.shown,
        "table": record.spec.table.plain,
        "key": [column.name for column in record.key],
        "newest_first": record.newest_first,
        "set": dict(record.spec.assignments),
        "where": record.spec.where,
        "work": work_json(record.spec.work),
        "after": list(record.after),
        "waits_for": [
            {"name": name, "reason": why.reason, "command": why.command} for name, why in view.waits
        ],
        "fraction": view.fraction,
        "at_end": record.at_end,
        "scanned": record.scanned,
        "rows": record.changed,
        "batches": record.batches,
        "rows_estimate": record.rows_estimate,
        "ranges": {"all": record.ranges, "open": len(record.open)},
        "led_by": None if record.lead is None else record.lead.person,
        "workers": list(record.people),
        "settings": record.settings.to_json(),
        "pace": record.pace.to_json(),
        "terms": record.terms.to_json(),
        "throttle": brake_json(record),
        "hold": record.hold,
        "approval": None if record.approval is None else asdict(record.approval),
        "undo_journal": record.journal,
        "verify": None if record.verify is None else verdict_json(record.verify),
        "error": record.error,
        "conflicts": view.conflicts,
        "rejects": record.rejects,
        "max_rejects": record.max_rejects,
        "outbox": None if view.notes is None else asdict(view.notes),
        "reject_sample": [reject_json(each) for each in view.rejects],
        "unrestored": record.unrestored,
        "unrestored_sample": [reject_json(each) for each in view.unrestored],
        "started_by": record.started_by,
        "started_at": record.started_at.isoformat(),
        "ended_at": None if record.ended_at is None else record.ended_at.isoformat(),
        "events": [
            {"at": event.at.isoformat(), "actor": event.actor, "kind": event.kind, "detail": event.detail}
            for event in view.events
        ],
    }


def brake_json(record: RunRecord) -> dict[str, object] | None:
    brake = record.brake
    if brake is None:
        return None
    return {
        "duty": brake.share,
        "reason": brake.reason,
        "by": brake.actor,
        "seconds_left": None if brake.left is None else round(brake.left, 1),
    }


def dry_run_text(dry: DryRun) -> str:
    target = dry.target
    lines = [
        f'backfill "{dry.spec.name}" would walk "{target.table.plain}" by {_way(target.key)}'
        + ("" if target.by_block else f', index "{target.index}"')
    ]
    if target.leaves:
        lines.append(f"leaf by leaf, {counted(len(target.leaves), 'partition')}")
    if dry.trial is None:
        lines.append("the table is empty: there is nothing to do")
        return "\n".join(lines)
    lines.append(dry.trial.statement)
    lines += [f"  {line}" for line in dry.trial.plan]
    lines.append(
        f"tried and rolled back: {dry.trial.changed:,} of {counted(dry.trial.rows, 'row')} written"
        f" in {dry.trial.milliseconds:.1f} ms"
    )
    if dry.trial.rejects:
        lines.append(counted(len(dry.trial.rejects), "row") + " cannot be written and would be set aside:")
        lines += [f"  ({', '.join(each.key)}) {each.message}" for each in dry.trial.rejects[:10]]
    if target.touched:
        lines.append(
            f"assigned to themselves as well: {', '.join(target.touched)};"
            " it spares the server a search in their indexes (--plain-sql leaves it out)"
        )
    lines.append("an undo journal would be kept" if dry.journal else "no undo journal would be kept")
    if dry.forecast is not None:
        lines += forecast_lines(dry.forecast)
    return "\n".join(lines)


def dry_run_json(dry: DryRun) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "event": "dry-run",
        "name": dry.spec.name,
        "table": dry.target.table.plain,
        "key": [column.name for column in dry.target.key],
        "index": dry.target.index,
        "newest_first": dry.target.key[0].falling,
        "leaves": [leaf.name.plain for leaf in dry.target.leaves],
        "statement": None if dry.trial is None else dry.trial.statement,
        "plan": [] if dry.trial is None else list(dry.trial.plan),
        "rows": 0 if dry.trial is None else dry.trial.rows,
        "changed": 0 if dry.trial is None else dry.trial.changed,
        "milliseconds": None if dry.trial is None else round(dry.trial.milliseconds, 3),
        "rejects": [] if dry.trial is None else [list(each.key) for each in dry.trial.rejects],
        "undo_journal": dry.journal,
        "rows_estimate": dry.target.rows_estimate,
        "seconds": None if dry.forecast is None else round(dry.forecast.seconds.likely, 3),
        "forecast": None if dry.forecast is None else forecast_json(dry.forecast),
    }


def _next(view: RunView) -> str | None:
    record = view.record
    if record.waits_for_approval:
        return f"let another person say: evolve backfill approve {record.name}"
    if record.shown in ("paused", "failed", "interrupted"):
        return f"evolve backfill resume {record.name}"
    if record.shown == "undo interrupted" or (record.shown == "undone" and record.unrestored):
        return f"evolve backfill undo {record.name}"
    if record.shown == "done" and record.rejects:
        return f"evolve backfill retry-rejects {record.name}"
    return None
