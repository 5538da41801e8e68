"""A change, how it is done in phases, and what must be true before each phase."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal, assert_never

from evolve.backfill.spec import Spec
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.parse import ExpressionNotRead, expression
from evolve.sql.statements import Statement

PhaseName = Literal["expand", "backfill", "validate", "switch", "contract", "purge"]
PHASES: tuple[PhaseName, ...] = ("expand", "backfill", "validate", "switch", "contract", "purge")

OnConflict = Literal["raise", "new wins", "old wins"]


# -- changes ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RenameColumn:
    """Give a column another name.

    Args:
        on_conflict: what the sync trigger does with a statement that writes different values to both names.
    """

    kind: ClassVar[str] = "rename-column"
    table: QualifiedName
    column: str
    to: str
    on_conflict: OnConflict = "raise"


@dataclass(frozen=True, slots=True)
class SetNotNull:
    """Make a column NOT NULL.

    Args:
        fill: SQL expression over the row's columns that replaces a null, in rows that exist and in rows that
            old code still writes; None where no null is left and no code writes one.
    """

    kind: ClassVar[str] = "set-not-null"
    table: QualifiedName
    column: str
    fill: str | None = None


@dataclass(frozen=True, slots=True)
class AddRequiredColumn:
    """Add a column that holds a value in every row.

    Args:
        type: as written by the operator, e.g. "numeric(10,2)".
        up: SQL expression over the row's other columns: the value for rows that exist and for rows that old
            code writes.
        default: SQL expression that stays as the column's default for good; None leaves it without one.
    """

    kind: ClassVar[str] = "add-required-column"
    table: QualifiedName
    column: str
    type: str
    up: str
    default: str | None = None


Change = RenameColumn | SetNotNull | AddRequiredColumn


def change_id(change: Change) -> str:
    """A name for `change` that is also an identifier: `rename_users_name_to_full_name`.

    It has at most 40 characters, so that names made from it stay readable within PostgreSQL's 63 bytes.
    """
    match change:
        case RenameColumn(table, column, to):
            words = ["rename", *_table_words(table), column, "to", to]
        case SetNotNull(table, column):
            words = ["set_not_null", *_table_words(table), column]
        case AddRequiredColumn(table, column):
            words = ["add", *_table_words(table), column]
        case _:
            assert_never(change)
    whole = "_".join(words)
    plain = re.sub(r"[^a-z0-9]+", "_", whole.lower()).strip("_")
    if plain == whole and len(plain) <= _ID_LENGTH:
        return plain
    # What was cut or folded away is told apart by a digest of the whole.
    digest = hashlib.sha256("\0".join(words).encode()).hexdigest()[:8]
    return f"{plain[: _ID_LENGTH - 9].rstrip('_')}_{digest}"


_ID_LENGTH = 40


def _table_words(table: QualifiedName) -> list[str]:
    return [table.name] if table.schema == "public" else [table.schema, table.name]


def columns_read(change: Change) -> frozenset[str]:
    """The columns of `change.table` that no other change may write meanwhile; none of an expression that is broken."""
    match change:
        case RenameColumn() | SetNotNull(fill=None):
            text = None
        case SetNotNull(fill=text) | AddRequiredColumn(up=text):
            pass
        case _:
            assert_never(change)
    try:
        return columns_of(change) if text is None else columns_of(change).union(expression(text).columns)
    except ExpressionNotRead:
        return columns_of(change)


def columns_of(change: Change) -> frozenset[str]:
    """The columns of `change.table` that no other change may read or write meanwhile."""
    match change:
        case RenameColumn(column=column, to=to):
            return frozenset({column, to})
        case SetNotNull(column=column) | AddRequiredColumn(column=column):
            return frozenset({column})
        case _:
            assert_never(change)


# -- gates --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class TriggerArmed:
    """The sync trigger is there and fires, also for sessions with `session_replication_role = replica`."""

    table: QualifiedName
    trigger: str


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
    """No row of `table` satisfies `predicate`; `meaning` says what such a row is."""

    table: QualifiedName
    predicate: str
    meaning: str


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
class Word:
    """Something only a person can know; `option` of `evolve advance` says it; who said it when is kept."""

    name: str
    question: str

    @property
    def option(self) -> str:
        return f"--{self.name}"


Gate = (
    TriggerArmed | NoOlderTransaction | BackfillDone | NoRows | Validated | ColumnNotNull | ValidIndex | Word
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
        fill: rows that it brings up to date itself where they are few; more of them shut it.
    """

    title: str
    statements: tuple[Statement, ...]
    undo: tuple[Statement, ...] = ()
    conditions: tuple[Gate, ...] = ()
    fill: Spec | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a plan.

    Args:
        summary: one sentence: what is true when it is over.
        parts: revisions, oldest first; empty for a phase that changes no schema.
        gates: what must hold before this phase may begin.
        backfill: the rows to bring up to date in this phase.
        instructions: what people have to do in it, one sentence each.
        go_back: how to leave the phase again.
        undo_loses: what going back would lose; None: nothing.
    """

    name: PhaseName
    summary: str
    parts: tuple[Part, ...] = ()
    gates: tuple[Gate, ...] = ()
    backfill: Spec | None = None
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
    """

    id: str
    change: Change
    phases: tuple[Phase, ...]
    notes: tuple[str, ...] = ()
    facts: Literal["database", "revisions"] = "database"
    schema: int = field(default=1, kw_only=True)  # of its JSON form

    def phase(self, name: PhaseName) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)

    def after(self, name: PhaseName) -> Phase | None:
        """The phase that follows `name`; None after the last."""
        names = [phase.name for phase in self.phases]
        position = names.index(name) + 1
        return self.phases[position] if position < len(self.phases) else None

    @property
    def backfill(self) -> Spec | None:
        return next((phase.backfill for phase in self.phases if phase.backfill), None)

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with anything that would run: what one approves over a fleet."""
        runs = [
            [phase.name, [asdict(part) for part in phase.parts], phase.backfill and asdict(phase.backfill)]
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
