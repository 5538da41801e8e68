"""A statement at its place in a revision, and the operations it stands for."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from evolve.sql.operations import Operation
from evolve.values import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement comes from. `line` counts from 1; 0 where no line of the file issued it."""

    file: Path
    line: int


@dataclass(frozen=True, slots=True)
class CapturedStatement:
    """One statement as a revision sent it.

    Args:
        sql: the text that the server would get, parameters rendered as literals.
        place: the innermost line of the revision file on the call stack.
        transaction: ordinal of the transaction it runs in, counted over the whole captured range, so that two
            statements with equal numbers share a transaction (and its locks); None in autocommit mode.
        database: its name, where each revision runs on several; None where there is one.
        undone: numbers of the stretches of a script that ROLLBACK takes back and it stands in, the outermost first.
        looks_first: whoever sends it looks first whether it is done already, so that it can be sent again.
    """

    sql: str
    place: Place
    transaction: int | None
    undone: tuple[int, ...] = ()
    database: str | None = None
    looks_first: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One operation at its place. A statement with several clauses gives several steps with the same
    `statement`.

    Args:
        sql_line: of the text that was sent, where the statement begins that the operation is of; counts from 1.
    """

    operation: Operation
    statement: CapturedStatement
    revision: str
    sql_line: int = 1

    @property
    def place(self) -> Place:
        return self.statement.place

    @property
    def sql(self) -> str:
        return self.statement.sql

    @property
    def transaction(self) -> int | None:
        return self.statement.transaction


class Mark(Enum):
    """What its statements do not tell of a revision; mostly why it may be read in part, which is never silent."""

    RAISED = "upgrade() raised before its end"
    TIMED_OUT = "upgrade() did not end in time"
    NOT_LOADED = "the file could not be loaded"
    READ_ROWS = "what it does depends on rows it reads"
    READ_CATALOG = "what it does depends on the catalog it reads"
    TOUCHED_STUB = "it uses a module that could not be imported"
    UNKNOWN_OPERATION = "it calls an operation that evolve does not know"
    UNREACHED = "an operation in its source was never reached"
    SIDE_EFFECT = "it tries to act on more than its database"
    OUTER_TRANSACTION = "it leaves the transaction that env.py opened"
    IMPORTS_MODELS = "it imports the application's models"
    NO_DOWNGRADE = "its downgrade() does nothing"
    CLIENT_DEFAULT = "it adds a column whose default only Python knows"
    LEFTOVER = "the comments of autogenerate are still in it"
    FORKED = "another revision builds on the same one"
    EDITED = "it was changed after others may have applied it"


_HIDING = frozenset(
    {
        Mark.RAISED,
        Mark.TIMED_OUT,
        Mark.NOT_LOADED,
        Mark.READ_ROWS,
        Mark.READ_CATALOG,
        Mark.TOUCHED_STUB,
        Mark.UNKNOWN_OPERATION,
        Mark.UNREACHED,
        Mark.SIDE_EFFECT,
    }
)


@dataclass(frozen=True, slots=True)
class Remark:
    """A mark with its place and its particulars, e.g. the exception or the module's name."""

    mark: Mark
    place: Place
    detail: str


@dataclass(frozen=True, slots=True)
class Recording:
    """All that one revision sent while its `upgrade()` (or `downgrade()`) ran against a recording connection.

    Args:
        revision: its id.
        down_revisions: ids it builds on, `depends_on` not among them.
        statements: in the order they were sent, Alembic's own version-table statements left out.
        remarks: what could not be seen.
        metadata: the file's module attribute `evolve`, such as {"change": …, "phase": …}; empty where it has
        none.
    """

    revision: str
    down_revisions: tuple[str, ...]
    file: Path
    statements: tuple[CapturedStatement, ...]
    remarks: tuple[Remark, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def whole(self) -> bool:
        """True where all that it may ever send was seen."""
        return not any(remark.mark in _HIDING for remark in self.remarks)
