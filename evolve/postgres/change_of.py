"""Which change a run makes."""

from __future__ import annotations

from typing import assert_never

from evolve.backfill.calling import Computing
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Mode, Transform
from evolve.backfill.works import Delete, InsertSelect, JoinedUpdate, Update
from evolve.postgres.backfill_target import Target
from evolve.postgres.changing import Change, Sharing, Stating
from evolve.postgres.outbox import Noting
from evolve.postgres.recording import Recording
from evolve.postgres.transforming import Transforming
from evolve.postgres.unkeyed import Unkeyed


def change_of(
    spec: Spec, target: Target, undo_of: int | None, compute: Computing | None, *, lease_seconds: float
) -> Change:
    """
    Args:
        undo_of: the run whose journal takes the before-images; None keeps none.
        compute: calls the function, where one does the work.
        lease_seconds: see `Transforming`.
    """
    match spec.work:
        case Transform() as work:
            if compute is None:
                raise ValueError("a function does the work of this run, and none was given")
            if work.mode is Mode.OUTBOX:
                return Noting(spec, work, target)
            return Transforming(spec, work, target, undo_of, compute, lease_seconds=lease_seconds)
        case Update() | JoinedUpdate() if target.by_block:
            return Unkeyed(spec, target)
        case Update() | JoinedUpdate() if undo_of is not None:
            return Recording(spec, target, undo_of)
        case JoinedUpdate(lock=True):
            return Sharing(spec, target)
        case Update() | JoinedUpdate() | InsertSelect() | Delete():
            return Stating(spec, target)
        case _:
            assert_never(spec.work)
