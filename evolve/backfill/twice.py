"""Whether all rows may be walked once more without writing one a second time that a run has written."""

from __future__ import annotations

from typing import assert_never

from evolve.backfill.spec import Spec, has_effects
from evolve.backfill.transform import Transform
from evolve.backfill.undo import null_before
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
    if spec.mismatch is not None or all(null_before(spec.where, column) for column in spec.columns):
        return True
    if journal or isinstance(spec.work, Transform):
        return False
    expressions = [expression for _, expression in spec.assignments]
    return any(mentions(spec.where, column) for column in spec.columns) and not any(
        another_each_time(expression) or any(mentions(expression, column) for column in spec.columns)
        for expression in expressions
    )
