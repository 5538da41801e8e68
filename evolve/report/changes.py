"""Changes in flight, for people and for programs. It speaks of what it is given; it looks at nothing itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from evolve.plan.change import Place
from evolve.plan.gates import Observation
from evolve.plan.manifest import Manifest
from evolve.plan.model import Phase
from evolve.plan.wording import describe_gate, exact_gate, gate_name, look_query

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Line:
    """One change.

    Args:
        following: the phase to come; None at the end.
        missing: revisions the manifest names and no file holds.
        not_applied: revisions the database does not have; None where no database was looked at.
        seen: the gates before `following`.
        history: (moment, what happened, who), oldest first.
        command: to run next.
    """

    manifest: Manifest
    following: str | None
    missing: tuple[str, ...]
    not_applied: tuple[str, ...] | None
    seen: tuple[Observation, ...]
    history: tuple[tuple[datetime, str, str], ...]
    command: str


def to_text(lines: Sequence[Line], *, detailed: bool) -> str:
    """Each change with what it waits for; `detailed` shows open gates and its history too."""
    if not lines:
        return "no change is in flight"
    return "\n\n".join("\n".join(_text(line, detailed=detailed)) for line in lines)


def _text(line: Line, *, detailed: bool) -> Iterator[str]:
    manifest = line.manifest
    phases = [f"[{phase.name}]" if phase == manifest.current else phase.name for phase in manifest.phases]
    yield f"{manifest.id}  ({manifest.change.kind})"
    yield f"    {' > '.join(phases)}"
    if line.missing:
        yield f"    revision {', '.join(line.missing)} was named and never written"
    elif line.not_applied:
        yield f"    written, not applied here: revision {', '.join(line.not_applied)}"
    elif line.following is None:
        yield "    at its end" if line.not_applied is not None else "    written to its end"
    else:
        yield from gates(line.seen, detailed=detailed)
    if detailed:
        for at, what, who in line.history:
            yield f"    {at:%Y-%m-%d %H:%M} {what} ({who})"
    if line.command:
        yield f"    next: {line.command}"


def to_graph(manifests: Sequence[Manifest]) -> str:
    """Who works where: each table and column with the changes in flight that write or read it."""
    places: dict[str, list[str]] = {}
    for manifest in manifests:
        uses = manifest.plan.uses
        for verb, found in (("writes", uses.writes), ("reads", uses.reads)):
            for place in found:
                places.setdefault(_place(place), []).append(f"{manifest.id} {verb}")
    if not places:
        return "no change is in flight"
    width = max(map(len, places)) + 2
    return "\n".join(f"{place:<{width}}{'; '.join(sorted(names))}" for place, names in sorted(places.items()))


def _place(place: Place) -> str:
    table, column = place
    return table.plain if column is None else f"{table.plain}.{column}"


def gates(seen: Sequence[Observation], *, detailed: bool) -> Iterator[str]:
    """Each gate with what was seen; open ones only where `detailed`."""
    for observation in seen:
        if observation.open and not detailed:
            continue
        word = "over" if observation.because else "ok  " if observation.open else "shut"
        yield f"    {word} {describe_gate(observation.gate)}: {observation.observed}"
        if observation.because:
            yield f"         overridden: {observation.because}"
        look = look_query(observation.gate)
        if not observation.open and look:
            yield f"         look: {look}"
        if not observation.open and observation.fix:
            yield f"         {observation.fix}"


def onward(
    identifier: str, phase: Phase, *, written: bool, last: bool, upgrade: str = "evolve upgrade"
) -> str:
    """What to do once `phase` has begun; empty where that was all.

    Args:
        written: revisions were, and not a manifest alone.
        last: no phase follows.
        upgrade: the command that applies them.
    """
    advance = "" if last else f"evolve advance {identifier}"
    if written:
        return "review and commit, then: " + "; ".join(filter(None, (upgrade, advance)))
    return f"once that is done: {advance}" if advance and phase.instructions else advance


def to_json(lines: Sequence[Line]) -> str:
    return json.dumps({"schema": SCHEMA, "changes": [_data(line) for line in lines]}, indent=2)


def _data(line: Line) -> dict[str, object]:
    manifest = line.manifest
    return {
        "change": manifest.id,
        "kind": manifest.change.kind,
        "table": manifest.change.table.plain,
        "writes": sorted(_place(place) for place in manifest.plan.uses.writes),
        "reads": sorted(_place(place) for place in manifest.plan.uses.reads),
        "phase": manifest.current.name,
        "following": line.following,
        "phases": [
            {"name": phase.name, "state": phase.state, "revisions": list(phase.revisions)}
            for phase in manifest.phases
        ],
        "missing": list(line.missing),
        "not_applied": None if line.not_applied is None else list(line.not_applied),
        "gates": [gate_data(observation) for observation in line.seen],
        "history": [{"at": at.isoformat(), "what": what, "actor": who} for at, what, who in line.history],
        "next": line.command or None,
    }


def gate_data(observation: Observation) -> dict[str, object]:
    """One gate, as JSON reports show it."""
    return {
        "name": gate_name(observation.gate),
        "gate": exact_gate(observation.gate),
        "open": observation.open,
        "observed": observation.observed,
        "overridden": observation.because or None,
        "fix": observation.fix or None,
    }
