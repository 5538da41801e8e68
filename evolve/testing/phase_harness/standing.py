"""Where a change stands, as `evolve status CHANGE --format json` tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """`begun` is of the project's files: its revisions need not be in the database."""

    name: str
    begun: bool
    revisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Args:
        not_applied: revisions that the database does not have.
        following: the phase that begins next; None at the end.
        next: the command to run now, or what to do where it is no command; "" at the end.
    """

    change: str
    phases: tuple[Phase, ...]
    not_applied: frozenset[str]
    following: str | None
    next: str

    @classmethod
    def read(cls, report: str) -> Standing | None:
        """None where no change is in flight."""
        changes = json.loads(report)["changes"]
        if not changes:
            return None
        (change,) = changes
        phases = tuple(
            Phase(phase["name"], phase["state"] == "begun", tuple(phase["revisions"]))
            for phase in change["phases"]
        )
        return cls(
            change["change"],
            phases,
            frozenset(change["not_applied"] or ()),
            change["following"],
            change["next"] or "",
        )

    def position(self, name: str | None) -> int | None:
        """Of a phase among all; None where there is none of that name."""
        return next((number for number, phase in enumerate(self.phases) if phase.name == name), None)

    @property
    def applied(self) -> tuple[tuple[Phase, str], ...]:
        """The revisions that the database has, each with its phase, oldest first."""
        return tuple(
            (phase, revision)
            for phase in self.phases
            for revision in phase.revisions
            if revision not in self.not_applied
        )

    def entered(self, name: str | None) -> bool:
        """The database has a revision of that phase, or of a later one."""
        position = self.position(name)
        if position is None:
            return False
        later = {phase.name for phase in self.phases[position:]}
        return any(phase.name in later for phase, _ in self.applied)

    def entering(self) -> tuple[str, ...]:
        """The phases that the next command goes into, or goes on with."""
        waiting = tuple(
            phase.name for phase in self.phases if not self.not_applied.isdisjoint(phase.revisions)
        )
        if waiting:
            return waiting
        if self.following is not None and self.next.startswith("evolve advance"):
            return (self.following,)
        return tuple(phase.name for phase in self.phases if phase.begun)[-1:]
