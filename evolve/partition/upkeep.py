"""What upkeep did with a partitioned table, and what it found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evolve.errors import EvolveError
from evolve.partition.health import Ailment, Health, Level
from evolve.sql.names import QualifiedName

Done = Literal["detached", "dropped", "finalized"]


@dataclass(frozen=True, slots=True)
class Let:
    """
    Args:
        reason: why; as one sentence without a full stop.
    """

    partition: str
    what: Done
    reason: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays although its time is up, or for now.

    Args:
        waits: it is only a matter of time, or of the archive; else a person has to do something.
    """

    partition: str
    reason: str
    waits: bool


@dataclass(frozen=True, slots=True)
class Retained:
    """
    Args:
        done: in order; what would be done, in a dry run.
        error: what stopped the work on this table.
    """

    table: QualifiedName
    done: tuple[Let, ...]
    kept: tuple[Kept, ...]
    dry_run: bool
    error: EvolveError | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """
    Args:
        health: None where it could not be told.
        error: why not.
    """

    table: QualifiedName
    health: Health | None
    error: EvolveError | None = None

    @property
    def level(self) -> Level:
        return Level.CRITICAL if self.health is None else self.health.level

    @property
    def ailments(self) -> tuple[Ailment, ...]:
        if self.health is not None:
            return self.health.ailments
        if self.error is None:
            return ()
        return (Ailment("unknown", Level.CRITICAL, self.error.what, self.error.fix or ""),)
