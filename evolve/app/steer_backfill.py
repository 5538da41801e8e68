"""Say how fast a backfill goes while it goes on: set limits, hold or slow its workers, approve it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from evolve.app.backfill_work import actor, told
from evolve.backfill.record import RunEnded, RunRecord
from evolve.backfill.settings import Settings
from evolve.backfill.status import ENDED
from evolve.backfill.steering import Brake
from evolve.errors import Misuse, Refused
from evolve.postgres import journal, steering
from evolve.postgres.connect import Connection
from evolve.postgres.session import Session
from evolve.postgres.writable import refuse_read_only


class NothingToApprove(Refused):
    def __init__(self, record: RunRecord) -> None:
        by = None if record.approval is None else record.approval.by
        super().__init__(
            f'backfill "{record.name}" needs no approval'
            if by is None
            else f'backfill "{record.name}" was approved',
            why=None if by is None else f"by {by}",
            fix=f"look at it: evolve backfill status {record.name}",
        )


class ApprovedByOneself(Refused):
    def __init__(self, record: RunRecord, who: str) -> None:
        super().__init__(
            f'backfill "{record.name}" was started by {record.started_by}; {who} cannot approve it as well',
            why="two people are to look at it",
            fix="let another person say it; where all are one user, LOGNAME tells them apart: LOGNAME=name evolve …",
        )


class TooSlow(Misuse):
    def __init__(self, share: float) -> None:
        super().__init__(
            f"--duty {share:g} does not work",
            fix="give a share above 0, below 1; leave it out to hold all workers",
        )


def set_backfill(
    url: str, name: str, settings: Settings, *, reset: bool = False
) -> tuple[RunRecord, RunRecord]:
    """Let the run go by `settings` from its next commits on, on every machine; what they leave open stays as it is.

    Args:
        reset: take back all that was set before.

    Returns:
        The run before and after.

    Raises:
        NoSuchRun
        RunEnded: nobody works on it.
    """
    with _steered(url, name) as (connection, record):
        if settings.said or reset:
            forgotten = record.settings.said if reset else ()
            steering.set_pace(connection, record.run_id, settings, forget=forgotten, actor=actor())
        return record, journal.named_run(connection, name)


def throttle_backfill(
    url: str, name: str, *, seconds: float | None, share: float = 0.0, reason: str = ""
) -> RunRecord:
    """Hold all workers of the run, or slow them, until `seconds` have passed or somebody lets go.

    Args:
        seconds: by the server's clock; None: without an end.
        share: of the time that they may work; 0 holds them.

    Raises:
        NoSuchRun, RunEnded
        TooSlow: `share` is none.
    """
    if not 0 <= share < 1:
        raise TooSlow(share)
    with _steered(url, name) as (connection, record):
        steering.brake(connection, record.run_id, Brake(share, reason, actor(), seconds))
        return journal.named_run(connection, name)


def let_go(url: str, name: str) -> bool:
    """End what `throttle_backfill` began; False where nothing was held.

    Raises:
        NoSuchRun, RunEnded
    """
    with _steered(url, name) as (connection, record):
        return steering.release(connection, record.run_id, actor())


def approve_backfill(url: str, name: str) -> RunRecord:
    """Let a run begin that waits for another person.

    Raises:
        NoSuchRun, RunEnded, NothingToApprove
        ApprovedByOneself: who started it cannot approve it.
    """
    with _steered(url, name) as (connection, record):
        if not record.waits_for_approval:
            raise NothingToApprove(record)
        if _person(record.started_by) == _person(actor()):
            raise ApprovedByOneself(record, actor())
        if not steering.approve(connection, record.run_id, actor()):
            raise NothingToApprove(journal.named_run(connection, name))
        return journal.named_run(connection, name)


def _person(actor: str) -> str:
    """Without the machine: a person on another one is the same."""
    return actor.partition("@")[0]


@contextmanager
def _steered(url: str, name: str) -> Iterator[tuple[Connection, RunRecord]]:
    with (
        closing(Session(url, "evolve backfill control")) as session,
        told(f'backfill "{name}" could not be reached', session),
    ):
        refuse_read_only(session.current())
        journal.bring_up_to_date(session.current())
        record = journal.named_run(session.current(), name)
        if record.state in ENDED and not record.held:
            raise RunEnded(
                record,
                why="no worker is there to heed it",
                fix=f"see what it did: evolve backfill status {name}",
            )
        yield session.current(), record
