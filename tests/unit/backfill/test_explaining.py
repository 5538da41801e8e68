"""Why a run is no faster, by what its journal and the server show."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from evolve.backfill.explaining import Seen, Waits, causes
from evolve.backfill.keyset import KeyColumn
from evolve.backfill.ports import Want
from evolve.backfill.record import Approval, Busy, Holder, RunRecord
from evolve.backfill.settings import OFF, Settings
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.steering import Brake, Doing
from evolve.sql.names import QualifiedName

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(target=20, duty=1, rows=OFF, wal=OFF, batch=50_000, lag=64e6)
SEEN = Seen(looks=8, rate=1000, written=1000)
RUN = RunRecord(
    run_id=1,
    name="users.age",
    spec=Spec("users.age", QualifiedName("users"), (("age", "1"),)),
    fingerprint="",
    table_oid=1,
    key=(KeyColumn("id", "bigint"),),
    state=State.RUNNING,
    want=Want.RUN,
    cut=True,
    low=None,
    ranges=1,
    open=(),
    batches=1,
    scanned=1,
    changed=1,
    rows_estimate=None,
    journal=False,
    fence=1,
    verify=None,
    error=None,
    lead=Holder("me@here#1#a", NOW),
    workers=(),
    started_by="me@here",
    started_at=NOW,
    ended_at=None,
    doing=(Busy("me@here, pid 1", 77, Doing(1000, 20.0, None)),),
)


def kinds(run: RunRecord = RUN, settings: Settings = SETTINGS, seen: Seen = SEEN) -> list[str]:
    return [cause.kind for cause in causes(run, settings, seen)]


def doing(size: int, milliseconds: float, hold: str | None = None) -> RunRecord:
    return replace(RUN, doing=(Busy("me@here, pid 1", 77, Doing(size, milliseconds, hold)),))


def test_a_run_that_nothing_holds_has_no_cause() -> None:
    assert kinds() == []


def test_a_run_at_rest_has_one_cause_and_the_way_out_of_it() -> None:
    alone = replace(RUN, lead=None)
    for run, kind, fix in (
        (replace(alone, state=State.PAUSED), "paused", "evolve backfill resume users.age"),
        (replace(alone, state=State.FAILED, error="no"), "failed", "evolve backfill resume users.age"),
        (alone, "nobody", "evolve backfill resume users.age"),
        (replace(alone, state=State.UNDOING), "nobody", "evolve backfill undo users.age"),
        (replace(alone, state=State.DONE), "ended", None),
        (replace(alone, approval=Approval("large")), "approval", "evolve backfill approve users.age"),
    ):
        assert [(cause.kind, cause.fix) for cause in causes(run, SETTINGS, SEEN)] == [(kind, fix)]


def test_a_brake_is_told_once_and_before_limits() -> None:
    brake = Brake(0, "lunch", "me@here", 60)
    run = replace(doing(1000, 20.0, brake.shown), brake=brake)
    assert kinds(run, replace(SETTINGS, duty=0.5)) == ["throttle", "duty"]


def test_a_lock_names_its_holder_and_the_server_what_it_waited_for() -> None:
    seen = replace(SEEN, waits=(Waits(77, (("IO/WALSync", 5), ("IO/DataFileRead", 1)), ("pid 9",)),))
    assert [cause.text for cause in causes(RUN, SETTINGS, seen)] == [
        "worker 77 waits for a lock that another session holds: pid 9",
        "worker 77 waited for IO/WALSync in 5 of 8 looks",
    ]


def test_limits_are_causes_where_the_run_is_at_them() -> None:
    assert kinds(settings=replace(SETTINGS, rows=1050, duty=0.3, wal=1e6)) == ["duty", "rows", "wal"]
    assert kinds(settings=replace(SETTINGS, rows=5000)) == []
    assert kinds(doing(100, 2.0), replace(SETTINGS, batch=100)) == ["batch"]
    assert kinds(doing(100, 19.0), replace(SETTINGS, batch=1000)) == []


def test_commits_that_take_too_long_a_standby_and_rejects_are_causes() -> None:
    run = replace(doing(50, 45.0), rejects=2)
    seen = replace(SEEN, lag=63_000_000, retries=("40P01: deadlock detected",))
    assert kinds(run, seen=seen) == ["batches", "retry", "lag", "rejects"]
