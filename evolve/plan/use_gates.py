"""Gates before whatever takes something away: no code that is deployed may use it, whichever recipe takes it."""

from __future__ import annotations

from dataclasses import replace

from evolve.plan.model import NotMapped, Phase, Plan
from evolve.plan.retired import retired


def with_use_gates(plan: Plan) -> Plan:
    """`plan` with these gates before each phase that takes something away, and in the first of its revisions.

    So `evolve advance` asks them where the phase begins, and plain `alembic upgrade head` where its revision runs.
    """
    return replace(plan, phases=tuple(_gated(phase) for phase in plan.phases))


def _gated(phase: Phase) -> Phase:
    places = retired(phase)
    if not places:
        return phase
    unmapped = NotMapped(phase.name, places)
    first, *rest = phase.parts
    guarded = replace(first, conditions=(*first.conditions, unmapped))
    return replace(phase, gates=(*phase.gates, unmapped), parts=(guarded, *rest))
