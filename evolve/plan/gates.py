"""What was seen at a gate."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.plan.model import Gate


@dataclass(frozen=True, slots=True)
class Observation:
    """One gate, looked at once.

    Args:
        open: the change may pass.
        observed: what was seen, in a few words.
        fix: what to do where it is shut; empty where it is open.
    """

    gate: Gate
    open: bool
    observed: str
    fix: str = ""
