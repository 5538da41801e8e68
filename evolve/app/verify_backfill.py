"""Look whether every row holds what a backfill was to give it, and write down what was seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from evolve.app.backfill_look import look
from evolve.app.backfill_work import actor, told
from evolve.backfill.happenings import Begun, Ended, Looked, Observer, nobody
from evolve.backfill.ports import Stop, Watch
from evolve.backfill.progress import Snapshot
from evolve.backfill.record import RunRecord
from evolve.backfill.status import State
from evolve.backfill.verify import CannotVerify, Verdict
from evolve.errors import Refused
from evolve.postgres import journal, replayed
from evolve.postgres.comparing import predicate_of
from evolve.postgres.session import Session
from evolve.postgres.writable import refuse_read_only

POLL = 0.2  # seconds between two looks at a standby that is behind


class StandbyBehind(Refused):
    def __init__(self, name: str, seconds: float, behind: int) -> None:
        super().__init__(
            f'the standby has not replayed the end of backfill "{name}" after {seconds:.0f} s:'
            f" {behind / 1e6:.1f} MB are left",
            why="rows that it does not show yet would count as missing",
            fix="wait longer (--wait SECONDS), or verify on the primary: leave out --on",
        )


class VerificationStopped(Refused):
    def __init__(self, name: str, signal: str, rows: int) -> None:
        super().__init__(
            f'the verification of backfill "{name}" was stopped by {signal} after {rows:,} rows',
            why="only one that has seen every row is kept",
            fix=f"begin again: evolve backfill verify {name}",
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """
    Args:
        before: the last one that was written down before, if any.
        doubles: to run it once more would write rows a second time, to another value.
    """

    verdict: Verdict
    before: Verdict | None
    doubles: bool = False

    @property
    def same(self) -> bool | None:
        """Keys and values are those of the time before; None where nothing tells."""
        if self.before is None or self.before.checksum is None or self.verdict.checksum is None:
            return None
        return self.before.checksum == self.verdict.checksum and self.before.rows == self.verdict.rows


def verify_backfill(
    url: str,
    name: str,
    *,
    stop: Stop,
    watch: Watch,
    on: str | None = None,
    wait: float = 300.0,
    observer: Observer = nobody,
) -> Verified:
    """Count what is missing over the whole table; the result is kept with the run, as evidence with its time.

    Args:
        on: URL of a standby to read; None reads the primary.
        wait: seconds to wait until that standby has replayed the end of the run.

    Raises:
        NoSuchRun
        CannotVerify: no predicate can tell a row that was done from one that was not.
        NotAStandby, OtherCluster, StandbyBehind: what `on` names cannot show it.
        VerificationStopped: by a signal; nothing is written down.
    """
    with (
        closing(Session(url, f"evolve backfill verify {name}")) as session,
        told(f'backfill "{name}" could not be verified', session),
    ):
        connection = session.current()
        refuse_read_only(connection)
        journal.bring_up_to_date(connection)
        record = journal.named_run(connection, name)
        predicate = predicate_of(connection, record.spec, tuple(column.name for column in record.key))
        if predicate is None:
            raise CannotVerify(record.spec)
        began = time.monotonic()
        observer(Begun(record, State.VERIFYING))
        watch = _Observed(watch, observer, record)
        if on is None:
            verdict = _look(session, record, predicate, stop, watch)
        else:
            moment = replayed.now(connection)
            end = journal.end_of(connection, record.run_id) or moment.lsn
            with _caught_up(on, name, moment, end, wait, stop, watch) as standby:
                verdict = replace(
                    _look(standby, record, predicate, stop, watch),
                    at=replayed.shows(standby.current(), moment),
                    server=_place(standby),
                )
        journal.store_verdict(connection, record.run_id, verdict, actor())
        observer(
            Ended(
                record.state,
                rows=record.changed,
                batches=record.batches,
                seconds=time.monotonic() - began,
                stopped_by=None,
                rejects=record.rejects,
                conflicts=0,
                misses=verdict.misses,
            )
        )
        return Verified(verdict, record.verify, record.doubles)


@dataclass(frozen=True, slots=True)
class _Observed:
    """Shows how far it is to whoever looks on as well."""

    watch: Watch
    observer: Observer
    record: RunRecord

    def report(self, snapshot: Snapshot) -> None:
        self.watch.report(snapshot)
        self.observer(Looked(self.record, snapshot.fraction))

    def say(self, message: str) -> None:
        self.watch.say(message)


@contextmanager
def _caught_up(
    url: str, name: str, primary: replayed.Moment, end: str, wait: float, stop: Stop, watch: Watch
) -> Iterator[Session]:
    """A session with the standby at `url`, once it has replayed what was written up to `end`."""
    with closing(Session(url, f"evolve backfill verify {name}")) as session:
        with told("the standby could not be asked", session):
            standby = session.current()
            replayed.refuse_other(standby, primary)
            began, said = time.monotonic(), False
            while behind := replayed.bytes_behind(standby, end):
                waited = time.monotonic() - began
                signal = stop.requested()
                if signal is not None:
                    raise VerificationStopped(name, signal, 0)
                if waited >= wait:
                    raise StandbyBehind(name, waited, behind)
                if not said:
                    watch.say(f"waiting until the standby has replayed {behind / 1e6:.1f} MB more")
                    said = True
                stop.wait(POLL)
        yield session


def _look(session: Session, record: RunRecord, predicate: str, stop: Stop, watch: Watch) -> Verdict:
    def asked(shown: Snapshot) -> None:
        signal = stop.requested()
        if signal is not None:
            raise VerificationStopped(record.name, signal, shown.scanned)

    with told(f'backfill "{record.name}" could not be verified', session):
        return look(session.current(), record, predicate, watch=watch, clock=time.monotonic, asked=asked)


def _place(session: Session) -> str:
    info = session.current().info
    return f"{info.host}:{info.port}"
