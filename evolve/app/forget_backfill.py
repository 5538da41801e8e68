"""Drop what ended runs keep for undo: of one, or of all that are old enough."""

from __future__ import annotations

from contextlib import closing

from evolve.app.backfill_work import actor, told
from evolve.backfill.forgetting import StillGoesOn, StillNeeded, may_forget
from evolve.backfill.record import RunRecord
from evolve.postgres import forgetting, journal
from evolve.postgres.connect import Connection
from evolve.postgres.forgetting import Kept
from evolve.postgres.session import Session
from evolve.postgres.writable import refuse_read_only
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Forgotten:
    """
    Args:
        kept: what went, or what would go.
        refusal: why it stays; None where it went.
    """

    name: str
    kept: Kept
    refusal: str | None = None


def forget_backfill(url: str, name: str, *, force: bool, dry_run: bool) -> Forgotten:
    """Drop the old values of that run, its events, and the runs of that name before it; that it was done stays known.

    Raises:
        NoSuchRun
        StillGoesOn: it has not ended.
        StillNeeded: without `force`, where the old values may be wanted.
    """
    with (
        closing(Session(url, "evolve backfill control")) as session,
        told(f'backfill "{name}" could not be forgotten', session),
    ):
        connection = session.current()
        refuse_read_only(connection)
        journal.bring_up_to_date(connection)
        record = journal.named_run(connection, name)
        may_forget(record, force=force)
        return Forgotten(name, _forget(connection, record, force=force, dry_run=dry_run))


def forget_expired(url: str, seconds: float, *, force: bool, dry_run: bool) -> list[Forgotten]:
    """The same for each run that ended longer ago than `seconds` and keeps old values; those that must stay are told,
    each with its reason.
    """
    found: list[Forgotten] = []
    with (
        closing(Session(url, "evolve backfill control")) as session,
        told("the runs could not be forgotten", session),
    ):
        connection = session.current()
        refuse_read_only(connection)
        journal.bring_up_to_date(connection)
        for record in forgetting.expired(connection, seconds):
            try:
                may_forget(record, force=force)
                kept = _forget(connection, record, force=force, dry_run=dry_run)
            except (StillGoesOn, StillNeeded) as refused:
                found.append(Forgotten(record.name, forgetting.kept(connection, record.name), refused.what))
            else:
                found.append(Forgotten(record.name, kept))
    return found


def _forget(connection: Connection, record: RunRecord, *, force: bool, dry_run: bool) -> Kept:
    if dry_run:
        return forgetting.kept(connection, record.name)
    return forgetting.forget(connection, record, actor(), lambda now: may_forget(now, force=force))
