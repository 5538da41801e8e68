"""Which change a run makes."""

from __future__ import annotations

from evolve.backfill.calling import Computing
from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.postgres.backfill_target import Target
from evolve.postgres.changing import Change, Updating
from evolve.postgres.recording import Recording
from evolve.postgres.transforming import Transforming


def change_of(
    spec: Spec, target: Target, undo_of: int | None, compute: Computing | None, *, lease_seconds: float
) -> Change:
    """
    Args:
        undo_of: the run whose journal takes the before-images; None keeps none.
        compute: calls the function, where one does the work.
        lease_seconds: see `Transforming`.
    """
    if isinstance(spec.work, Transform):
        if compute is None:
            raise ValueError("a function does the work of this run, and none was given")
        return Transforming(spec, spec.work, target, undo_of, compute, lease_seconds=lease_seconds)
    if undo_of is None:
        return Updating(spec, target)
    return Recording(spec, target, undo_of)
