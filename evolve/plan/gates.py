"""Gates: what was seen at them, what a project asks of them, and what an operator overrides."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from evolve.errors import Misuse, Refused
from evolve.plan.model import (
    Gate,
    NoOlderTransaction,
    NotMapped,
    NotMissed,
    NotTripped,
    NotUsed,
    Phase,
    RegretOver,
)
from evolve.plan.retired import retired
from evolve.plan.wording import gate_name

Registry = Literal["where-there", "required"]
Statements = Literal["where-there", "required", "off"]

# Those that guard against time and use, where a person may know better. The others guard values and statements: behind
# them a row would be lost, or a revision fail.
_OVERRIDABLE = (NoOlderTransaction, NotMapped, NotUsed, NotMissed, NotTripped, RegretOver)


@dataclass(frozen=True, slots=True)
class Observation:
    """One gate, looked at once.

    Args:
        open: the change may pass.
        observed: what was seen, in a few words.
        fix: what to do where it is shut; empty where it is open.
        because: why somebody passed it all the same; empty where nobody did.
    """

    gate: Gate
    open: bool
    observed: str
    fix: str = ""
    because: str = ""

    @property
    def overridable(self) -> bool:
        return isinstance(self.gate, _OVERRIDABLE)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a project asks of its gates.

    Args:
        regret_window: seconds between contract and purge.
        registry: "required" shuts the gate that asks deployed versions where none tells anything.
        statements: whether pg_stat_statements is asked before something is taken away.
        statement_window: seconds without a call before nobody counts as using it.
        replicas: URLs of the standbys that take reads.
        standbys_without_reads: names (application_name) of those that take none.
        verdict_age: seconds for which a revision believes what was seen of statements.
    """

    regret_window: float = 0.0
    registry: Registry = field(default="where-there", kw_only=True)
    statements: Statements = "where-there"
    statement_window: float = 900.0
    replicas: tuple[str, ...] = field(default=(), repr=False)
    standbys_without_reads: tuple[str, ...] = ()
    verdict_age: float = 86400.0


@dataclass(frozen=True, slots=True)
class Override:
    """Gates to pass though they are shut, and why."""

    names: frozenset[str]
    because: str


class NotOverridable(Refused):
    def __init__(self, observation: Observation) -> None:
        super().__init__(
            f'gate "{gate_name(observation.gate)}" cannot be overridden: {observation.observed}',
            why="it guards values that would be lost, or a statement that would fail",
            fix=observation.fix or "see: evolve status",
        )


class NothingToOverride(Misuse):
    def __init__(self, name: str, seen: Sequence[Observation]) -> None:
        shut = sorted({gate_name(o.gate) for o in seen if not o.open and o.overridable})
        super().__init__(
            f"--override {name}: no gate of that name is shut before the next phase",
            why="an override given too early would open a gate that nobody looks at again",
            fix=f"what can be overridden now: {', '.join(shut)}"
            if shut
            else "see what is shut: evolve status CHANGE",
        )


class NoReason(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "--override needs --because, and --because needs --override",
            why="who passes a shut gate says why; it is kept in the database with what was seen",
            fix='for example: --override sessions --because "the old report only reads archive tables"',
        )


def override_of(names: Collection[str], because: str | None) -> Override | None:
    """What somebody asked to pass, and why, on one line: `evolve history` gives each event one. None: nothing.

    Raises:
        NoReason: one of the two was given without the other.
    """
    reason = " ".join((because or "").split())
    if bool(names) != bool(reason):
        raise NoReason
    return Override(frozenset(names), reason) if names else None


def gates_before(phase: Phase, rules: Rules, contract: tuple[str, ...] = ()) -> tuple[Gate, ...]:
    """What must hold before `phase`: its own gates, then those that the project asks for.

    Args:
        contract: the revisions of that phase.
    """
    asked: list[Gate] = list(phase.gates)
    if rules.statements != "off" and (places := retired(phase)):
        asked.append(NotUsed(places))
    if rules.regret_window and phase.name == "purge":
        asked.append(RegretOver("contract", rules.regret_window, contract))
    return tuple(asked)


def overridden(seen: Sequence[Observation], override: Override | None) -> tuple[Observation, ...]:
    """What was seen, with the gates that somebody passes all the same open.

    Raises:
        NothingToOverride: a name is none of a shut gate; NotOverridable.
    """
    if override is None:
        return tuple(seen)
    for name in sorted(override.names):
        if not any(not o.open and gate_name(o.gate) == name for o in seen):
            raise NothingToOverride(name, seen)
    return tuple(_passed(o, override.names, override.because) for o in seen)


def _passed(observation: Observation, names: Collection[str], because: str) -> Observation:
    if observation.open or gate_name(observation.gate) not in names:
        return observation
    if not observation.overridable:
        raise NotOverridable(observation)
    return replace(observation, open=True, because=because)
