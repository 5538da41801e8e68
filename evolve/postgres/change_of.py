"""Which change a run makes."""

from __future__ import annotations

from evolve.backfill.spec import Spec
from evolve.postgres.backfill_target import Target
from evolve.postgres.changing import Change, Updating
from evolve.postgres.recording import Recording


def change_of(spec: Spec, target: Target, undo_of: int | None) -> Change:
    """
    Args:
        undo_of: the run whose journal takes the before-images; None keeps none.
    """
    if undo_of is None:
        return Updating(spec, target)
    return Recording(spec, target, undo_of)
