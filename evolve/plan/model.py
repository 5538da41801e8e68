"""A change, how it is done in phases, and what must be true before each phase."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from evolve.backfill.spec import Spec
from evolve.plan.change import Change, Place, Uses
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.statements import Statement

PhaseName = Literal["expand", "backfill", "validate", "switch", "contract", "purge"]
PHASES: tuple[PhaseName, ...] = ("expand", "backfill", "validate", "switch", "contract", "purge")


# -- gates --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class TriggerArmed:
    """The sync trigger is there and fires, also for sessions with `session_replication_role = replica`.

    Args:
        fires: pg_trigger.tgtype, the sum of: 1 for each row, 2 before, 4 insert, 8 delete, 16 update.
    """

    table: QualifiedName
    trigger: str
    fires: int = 23


@dataclass(frozen=True, slots=True)
class NoOlderTransaction:
    """No transaction that began before the sync trigger was committed is still open."""

    table: QualifiedName
    trigger: str


@dataclass(frozen=True, slots=True)
class BackfillDone:
    """The journal's last run of `name` ended well, or there never was a row to work on."""

    name: str


@dataclass(frozen=True, slots=True)
class NoRows:
    """No row of `table` satisfies `predicate`; `meaning` says what such a row is.

    Args:
        backfill: the one that brings such rows up to date; None: that of the change's own name.
        fix: what to do about such rows where no backfill does it.
    """

    table: QualifiedName
    predicate: str
    meaning: str
    backfill: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class LostRows:
    """No more rows of `table` satisfy `predicate` than somebody has accepted to lose something.

    Args:
        meaning: what such a row holds, as in "more in name than given and family tell".
        accepted: as many as the change accepts wherever it goes; in one database somebody may accept more there, by
            a word that names the number: see `lost_rows.word`.
        fix: how such rows are mended.
    """

    table: QualifiedName
    predicate: str
    meaning: str
    accepted: int
    fix: str


@dataclass(frozen=True, slots=True)
class Validated:
    table: QualifiedName
    constraint: str


@dataclass(frozen=True, slots=True)
class ColumnNotNull:
    table: QualifiedName
    column: str


@dataclass(frozen=True, slots=True)
class ValidIndex:
    index: QualifiedName


@dataclass(frozen=True, slots=True)
class Holds:
    """A condition that the catalogs, or one small query, can answer.

    Args:
        condition: SQL that is true where the gate is open; it may not fail where something is missing.
        meaning: what is then true, in a few words.
        fix: what to do where it is not.
    """

    condition: str
    meaning: str
    fix: str


@dataclass(frozen=True, slots=True)
class NotMapped:
    """No deployed version that is alive maps any of `places`, as far as versions tell: see `evolve.client`.

    Args:
        phase: the one that takes the places away.
        places: columns, and relations as a whole.
    """

    phase: PhaseName
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class NotUsed:
    """No statement that the server counts has used any of `places` for a window of time: see pg_stat_statements.

    Args:
        places: columns, and relations as a whole.
    """

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class NotMissed:
    """Nobody missed any of `places` in the last brown-out, and none is under way."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class NotTripped:
    """No statement has written any of `places` since a tripwire was armed on them."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class RegretOver:
    """`phase` began in this database so long ago that nobody will want to go back behind it.

    Args:
        seconds: how long one waits for regrets.
        revisions: those of `phase`; one waits from when they were applied, where that is known.
    """

    phase: PhaseName
    seconds: float
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """Something only a person can know; `option` of `evolve advance` says it; who said it when is kept.

    Args:
        name: one or more words joined by dashes.
        question: what is confirmed.
    """

    name: str
    question: str

    @property
    def option(self) -> str:
        return f"--{self.name}" if self.name in (OLD_CODE_GONE, PURGE_APPROVED) else f"--confirm {self.name}"


Gate = (
    TriggerArmed
    | NoOlderTransaction
    | BackfillDone
    | NoRows
    | LostRows
    | Validated
    | ColumnNotNull
    | ValidIndex
    | Holds
    | NotMapped
    | NotUsed
    | NotMissed
    | NotTripped
    | RegretOver
    | Word
)

OLD_CODE_GONE = "old-code-gone"
PURGE_APPROVED = "purge-approved"


# -- phases -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Part:
    """What one revision holds.

    Statements run in order; those that are not `transactional` come first and each commits alone, so they
    must bear being run again after a failure half way. The others commit with the revision's number.

    Args:
        title: continues "Expand: …" in the revision's message.
        undo: takes the part back, in the order given; same rule.
        conditions: gates that the revision itself checks before its first statement.
        fills: rows that it brings up to date itself where they are few; more of them shut it.
    """

    title: str
    statements: tuple[Statement, ...]
    undo: tuple[Statement, ...] = ()
    conditions: tuple[Gate, ...] = ()
    fills: tuple[Spec, ...] = ()


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a plan.

    Args:
        summary: one sentence: what is true when it is over.
        parts: revisions, oldest first; empty for a phase that changes no schema.
        gates: what must hold before this phase may begin.
        backfills: the rows to bring up to date in this phase, in this order.
        instructions: what people have to do in it, one sentence each.
        go_back: how to leave the phase again.
        undo_loses: what going back would lose; None: nothing.
    """

    name: PhaseName
    summary: str
    parts: tuple[Part, ...] = ()
    gates: tuple[Gate, ...] = ()
    backfills: tuple[Spec, ...] = ()
    instructions: tuple[str, ...] = ()
    go_back: str = ""
    undo_loses: str | None = None

    @property
    def statements(self) -> tuple[Statement, ...]:
        return tuple(statement for part in self.parts for statement in part.statements)

    @property
    def undo(self) -> tuple[Statement, ...]:
        """Takes the whole phase back, newest part first."""
        return tuple(statement for part in reversed(self.parts) for statement in part.undo)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a change is done.

    Args:
        id: names the change: manifest, backfill, trigger and function carry it.
        notes: what the reader should know and no phase says.
        facts: where the facts came from: the database, or the revisions alone.
        also: what it needs for itself beside what the change names: only the facts told.
    """

    id: str
    change: Change
    phases: tuple[Phase, ...]
    notes: tuple[str, ...] = ()
    facts: Literal["database", "revisions"] = "database"
    also: Uses = field(default=Uses(frozenset()), kw_only=True)
    schema: int = field(default=1, kw_only=True)  # of its JSON form

    @property
    def uses(self) -> Uses:
        """All that it needs for itself while it is in flight."""
        named = self.change.uses()
        return Uses(named.writes | self.also.writes, named.reads | self.also.reads)

    def phase(self, name: PhaseName) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)

    def after(self, name: PhaseName) -> Phase | None:
        """The phase that follows `name`; None after the last."""
        names = [phase.name for phase in self.phases]
        position = names.index(name) + 1
        return self.phases[position] if position < len(self.phases) else None

    @property
    def backfills(self) -> tuple[Spec, ...]:
        return tuple(spec for phase in self.phases for spec in phase.backfills)

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with anything that would run: what one approves over a fleet."""
        runs = [
            [phase.name, [asdict(part) for part in phase.parts], [asdict(spec) for spec in phase.backfills]]
            for phase in self.phases
        ]
        return hashlib.sha256(json.dumps(runs, sort_keys=True, default=str).encode()).hexdigest()[:12]


# -- names of what a change makes ---------------------------------------------------------------------------
def function_name(identifier: str) -> QualifiedName:
    return QualifiedName(shorten("sync", identifier), "evolve")


def trigger_name(identifier: str) -> str:
    """The sync trigger's name.

    Row triggers fire in the order of their names: `zz` puts ours after the application's own, so that it sees
    the values which will be stored.
    """
    return shorten(SYNC_TRIGGER, identifier)


SYNC_TRIGGER = "zz_evolve"
QUARANTINE = "_evolve_q_"


def quarantine_name(identifier: str) -> str:
    return shorten(QUARANTINE.rstrip("_"), identifier)
