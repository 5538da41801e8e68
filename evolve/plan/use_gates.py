"""Gates before whatever takes something away: no code that is deployed may use it, whichever recipe takes it, and what
stands in for it is as whole as it was when the last code was told to go there.
"""

from __future__ import annotations

from dataclasses import replace

from evolve.plan.model import ColumnNotNull, Gate, NotMapped, NotUsed, Phase, Plan, Validated, ValidIndex
from evolve.plan.retired import retired


def with_use_gates(plan: Plan) -> Plan:
    """`plan` with these gates before each phase that takes something away, and in the first of its revisions.

    So `evolve advance` asks them where the phase begins, and plain `alembic upgrade head` where its revision runs.
    """
    before = (None, *plan.phases)
    return replace(plan, phases=tuple(_gated(*pair) for pair in zip(before, plan.phases, strict=False)))


def _gated(before: Phase | None, phase: Phase) -> Phase:
    places = retired(phase)
    if not places:
        return phase
    first, *rest = phase.parts
    asked: tuple[Gate, ...] = (*_proofs(before), NotMapped(phase.name, places))
    guarded = replace(first, conditions=_more(first.conditions, (*asked, NotUsed(places))))
    return replace(phase, gates=_more(phase.gates, asked), parts=(guarded, *rest))


def _proofs(before: Phase | None) -> tuple[Gate, ...]:
    """What had to be valid when `before` began, where that has changed nothing in the schema since."""
    if before is None or before.parts:
        return ()
    return tuple(gate for gate in before.gates if isinstance(gate, Validated | ValidIndex | ColumnNotNull))


def _more(gates: tuple[Gate, ...], asked: tuple[Gate, ...]) -> tuple[Gate, ...]:
    return (*gates, *(gate for gate in asked if gate not in gates))
