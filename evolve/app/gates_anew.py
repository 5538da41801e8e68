"""Looks once more, right before a revision takes something away: what was seen when its phase began is past."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from evolve.app.backfill_work import actor as default_actor
from evolve.errors import Refused
from evolve.plan.gate_sql import Conditions, parse_place
from evolve.plan.gates import Observation, Rules
from evolve.plan.model import PHASES, Gate, NotMapped, NotUsed, PhaseName
from evolve.plan.wording import describe_gate, gate_name
from evolve.postgres import evidence, tripwire
from evolve.postgres.connect import Connection


class GateShut(Refused):
    def __init__(self, change: str, observation: Observation) -> None:
        super().__init__(
            f"the gate of change {change} is shut: {describe_gate(observation.gate)}: {observation.observed}",
            why="it was looked at again, right before something is taken away; nothing of the revision was applied",
            fix=f"{observation.fix}; or: evolve advance {change} --override {gate_name(observation.gate)} "
            '--because "..."',
        )


def ask_anew(
    connection: Connection,
    change: str,
    conditions: Conditions,
    in_use: Callable[[str], bool],
    rules: Callable[[], Rules],
) -> Conditions:
    """Look at what SQL cannot see, keep what was seen, and return what is left for SQL to ask.

    Tripwires are taken away where nobody has met them: what they hang on is about to go.

    Args:
        connection: in autocommit mode.
        in_use: whether a table holds more rows than one of a new database; where none does and nobody has ever looked,
            statements are not asked.
        rules: what the project asks of its gates; only read where there is something to look at.

    Raises:
        GateShut: somebody uses it, or nobody can tell.
        Denied, EvidenceDenied, ServerRefused, TableBusy.
    """
    phase: PhaseName | None = next((name for name in PHASES if name == conditions.phase), None)
    if phase is None or not conditions.unused:
        return conditions
    places = tuple(parse_place(text) for text in conditions.unused)
    asked = rules()
    actor = default_actor()
    with evidence.telling(connection):
        gates: list[Gate] = []
        if evidence.judged(connection, change, phase) or any(in_use(str(table)) for table, _ in places):
            if asked.statements != "off":
                gates.append(NotUsed(places))
            if asked.registry == "required":
                gates.append(NotMapped(phase, places))
        gates += evidence.probed(connection, change, places)
        overridden = evidence.passed(connection, change, phase)
        seen = tuple(
            _passing(evidence.observe(connection, change, gate, asked), overridden) for gate in gates
        )
        seen = evidence.watch(connection, change, seen, asked)
    shut = next((observation for observation in seen if not observation.open), None)
    if seen:
        # Who may migrate need not be one who may keep evidence.
        with (
            suppress(*() if shut else (evidence.EvidenceDenied, evidence.Denied)),
            evidence.telling(connection),
        ):
            if any(isinstance(gate, NotUsed) for gate in gates):
                evidence.judge(connection, change, phase, seen, actor, asked)
            evidence.witness(connection, change, phase, seen, actor)
    if shut is not None:
        raise GateShut(change, shut)
    with evidence.telling(connection):
        tripwire.disarm(connection, change)
    return replace(conditions, unused=())


def _passing(observation: Observation, overridden: dict[str, str]) -> Observation:
    because = overridden.get(gate_name(observation.gate), "")
    return (
        replace(observation, open=True, because=because) if because and not observation.open else observation
    )
