"""What operators say of the pace of a run, written into the journal; its workers read it with their next commit.

Each function is one transaction that locks the run's row, so that two terminals at once cannot lose a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from evolve.backfill.settings import Settings
from evolve.backfill.steering import Brake
from evolve.backfill.terms import Terms
from evolve.postgres import journal
from evolve.postgres.connect import Connection


def set_pace(
    connection: Connection, run_id: int, settings: Settings, *, forget: Iterable[str], actor: str
) -> None:
    """Set these from now on, and take back what was set of those to be forgotten."""
    forgotten = [name for name in forget if name not in settings.said]
    with connection.transaction():
        # A row lock in the journal.
        connection.execute(
            "UPDATE evolve.backfill_run SET settings = (settings - %s::text[]) || %s::jsonb WHERE run_id = %s",
            (forgotten, json.dumps(settings.to_json()), run_id),
        )
        back = f"back to the command line's: {', '.join(forgotten)}" if forgotten else ""
        detail = "; ".join(filter(None, (str(settings), back)))
        journal.write_event(connection, run_id, actor, "set", detail)


def begin(connection: Connection, run_id: int, said: Settings, terms: Terms, actor: str) -> None:
    """Remember what the command line says that leads the run from now on; it takes the place of what was set before."""
    with connection.transaction():
        # A row lock in the journal.
        changed = connection.execute(
            "UPDATE evolve.backfill_run SET pace = pace || %(said)s::jsonb, settings = settings - %(names)s::text[]"
            " WHERE run_id = %(run)s AND (settings ?| %(names)s::text[] OR pace || %(said)s::jsonb <> pace)",
            {
                "said": json.dumps(said.to_json() | terms.to_json()),
                "names": list(said.said),
                "run": run_id,
            },
        ).rowcount
        if changed:
            journal.write_event(connection, run_id, actor, "pace", " ".join((*said.words, *terms.words)))


def brake(connection: Connection, run_id: int, new: Brake) -> None:
    """Hold or slow the workers of the run, for `new.left` seconds of the server's clock; one brake is in force."""
    until = "without an end" if new.left is None else f"for {new.left:g} s"
    what = "held" if new.share == 0 else f"slowed to {new.share:.0%}"
    with connection.transaction():
        # A row lock in the journal.
        connection.execute(
            "UPDATE evolve.backfill_run SET brake = %s::jsonb,"
            " brake_until = clock_timestamp() + make_interval(secs => %s) WHERE run_id = %s",
            (
                json.dumps({"share": new.share, "reason": new.reason, "actor": new.actor}),
                new.left,
                run_id,
            ),
        )
        detail = f"{what} {until}" + (f": {new.reason}" if new.reason else "")
        journal.write_event(connection, run_id, new.actor, "throttle", detail)


def release(connection: Connection, run_id: int, actor: str) -> bool:
    """Let go of the brake; False where none was in force."""
    with connection.transaction():
        # A row lock in the journal.
        row = connection.execute(
            "UPDATE evolve.backfill_run r SET brake = NULL, brake_until = NULL FROM evolve.backfill_run was"
            " WHERE r.run_id = %s AND was.run_id = r.run_id AND r.brake IS NOT NULL"
            " RETURNING coalesce(was.brake_until > clock_timestamp(), true)",
            (run_id,),
        ).fetchone()
        released = row == (True,)
        if released:
            journal.write_event(connection, run_id, actor, "throttle off", "")
    return released


def approve(connection: Connection, run_id: int, actor: str) -> bool:
    """False where it was approved already, or needs no approval."""
    with connection.transaction():
        # A row lock in the journal.
        approved = connection.execute(
            "UPDATE evolve.backfill_run SET approval = approval || jsonb_build_object('by', %s::text,"
            " 'at', to_jsonb(clock_timestamp())) WHERE run_id = %s AND approval IS NOT NULL AND NOT approval ? 'by'",
            (actor, run_id),
        ).rowcount
        if approved:
            journal.write_event(connection, run_id, actor, "approve", "")
    return approved == 1
