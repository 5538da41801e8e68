"""A conversion as it is planned, shown, journalled and carried out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from evolve.partition.inventory import Inventory
from evolve.partition.naming import Names
from evolve.partition.obstacles import UniqueAnswer
from evolve.partition.steps import Step, Track
from evolve.plugin_api import Options
from evolve.sql.names import QualifiedName

Move = Literal["drain", "split", "merge", "rehash"]
"""Some partitions of a table give way to others that take the same keys."""

Recipe = Literal["copy", "attach", "drain", "split", "merge", "rehash"]
State = Literal["running", "swapped", "swapped back", "finished", "abandoned"]

ENDED: tuple[State, ...] = ("finished", "abandoned")


@dataclass(frozen=True, slots=True)
class Planned:
    """A partition that will exist, for people to read.

    Args:
        bound: as SQL.
    """

    name: str
    bound: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of the unique key `name`."""

    name: str
    becomes: UniqueAnswer


@dataclass(frozen=True, slots=True)
class Conversion:
    """Args:
    reason: why this recipe.
    options: of the partitioner, as JSON.
    inventory: the table as it was.
    notes: what changes for the application, and what is not carried.
    own: names of what the conversion adds to the old table; not counted as a change of it.
    unique: what the user answered for unique keys that lack the partition key.
    bytes_needed: additional space on disk.
    sub: how `partitions` are cut once more: method and options, as JSON.
    cut: names of the tables that they are cut into.
    replaced: partitions that `partitions` take the place of; none where a whole table is converted.
    plan_id: the same for all plans made of one wish, whatever database they were made in.
    """

    table: QualifiedName
    recipe: Recipe
    reason: str
    method: str
    options: str
    key: tuple[str, ...]
    inventory: Inventory
    partitions: tuple[Planned, ...]
    notes: tuple[str, ...]
    own: tuple[str, ...]
    unique: tuple[Answer, ...]
    bytes_needed: int
    forward: tuple[Step, ...]
    abandon: tuple[Step, ...]
    back: tuple[Step, ...]
    finish: tuple[Step, ...]
    replaced: tuple[Planned, ...] | None = None
    sub: str | None = None
    cut: tuple[str, ...] | None = None
    plan_id: str = ""

    @property
    def command(self) -> str:
        """Of `evolve partition`."""
        return "convert" if self.recipe in ("copy", "attach") else self.recipe

    @property
    def names(self) -> Names:
        return Names(self.table, self.inventory.oid)

    def steps(self, track: Track) -> tuple[Step, ...]:
        match track:
            case "forward":
                return self.forward
            case "abandon":
                return self.abandon
            case "back":
                return self.back
            case "finish":
                return self.finish

    def sub_options(self) -> object:
        """How partitions are cut once more; None where they are not."""
        found: object = None if self.sub is None else json.loads(self.sub)
        return found

    def partitioner_options(self) -> Options:
        found: object = json.loads(self.options)
        if not isinstance(found, dict):
            raise TypeError(self.options)
        return found


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Args:
    number: from 0, within its track.
    rows: copied or compared so far.
    seconds: None where it has not begun; up to now where it is not done.
    """

    track: Track
    number: int
    name: str
    title: str
    rows: int
    done: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Record:
    """A conversion as the journal knows it."""

    id: int
    conversion: Conversion
    state: State
    track: Track
    steps: tuple[StepRecord, ...]

    def done(self, track: Track) -> int:
        """How many steps of `track` are done; they are done in order."""
        return sum(step.done for step in self.steps if step.track == track)

    def steps_rows(self, track: Track, number: int) -> int:
        """Rows that earlier runs of the step got through."""
        return next((step.rows for step in self.steps if (step.track, step.number) == (track, number)), 0)

    def complete(self, track: Track) -> bool:
        return self.done(track) == len(self.conversion.steps(track))
