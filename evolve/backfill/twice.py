"""Whether a row may be written a second time, and all rows be walked once more."""

from __future__ import annotations

from typing import assert_never

from evolve.backfill.nulls import null_before
from evolve.backfill.spec import Spec, has_effects
from evolve.backfill.transform import Transform
from evolve.backfill.verify import another_each_time, mentions
from evolve.backfill.works import Delete, InsertSelect, JoinedUpdate, Update


def may_walk_again(spec: Spec, *, journal: bool) -> bool:
    """`where` finds no row that was written, or what it finds gets the same values again.

    Args:
        journal: old values are kept. A second walk keeps those of its own rows, and undo knows the last walk only.
    """
    if spec.where is None or has_effects(spec):
        return False
    match spec.work:
        case InsertSelect() | Delete():
            return False
        case Update() | JoinedUpdate() | Transform():
            pass
        case _:
            assert_never(spec.work)
    if spec.mismatch is not None or _only_nulls(spec):
        return True
    if journal or isinstance(spec.work, Transform):
        return False
    return any(mentions(spec.where, column) for column in spec.columns) and not adds_up(spec)


def adds_up(spec: Spec) -> bool:
    """A row that is written a second time may hold something else than after the first."""
    if has_effects(spec):
        return True
    if spec.mismatch is not None or _only_nulls(spec):
        return False
    if isinstance(spec.work, Transform):
        return bool(set(spec.work.reads) & set(spec.work.writes))
    return any(
        another_each_time(expression) or any(mentions(expression, column) for column in spec.columns)
        for _, expression in spec.assignments
    )


def _only_nulls(spec: Spec) -> bool:
    return all(null_before(spec.where, column) for column in spec.columns)
