"""A database driver that sends nothing: it writes down every statement with the transaction it would run in.

Statements, remarks and the count of transactions live in one `Recorder` for a whole range of revisions; each
`RecordingConnection` is one session of a server that has no rows.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from types import FrameType, TracebackType

from evolve.revisions.answers import NO_ROWS, answer, reads_catalog
from evolve.revisions.literals import CannotAdapt, render
from evolve.revisions.sql_text import leading_word, split, words
from evolve.sql.steps import CapturedStatement, Mark, Place, Remark

MOST_STATEMENTS = 100_000
_MOST_MADE_UP = 4  # rows for one query on one line
_NUMERIC_OID = 1700  # SQLAlchemy asks for the type of numbers only, and takes this one as it comes

# -- what PEP 249 asks of a driver's module -------------------------------------------------------------
apilevel = "2.0"
threadsafety = 1
paramstyle = "pyformat"
Binary = bytes


class Warning(Exception):  # noqa: A001  # PEP 249 names it
    pass


class Error(Exception):
    pass


class InterfaceError(Error):
    pass


class DatabaseError(Error):
    pass


class DataError(DatabaseError):
    pass


class OperationalError(DatabaseError):
    pass


class IntegrityError(DatabaseError):
    pass


class InternalError(DatabaseError):
    pass


class ProgrammingError(DatabaseError):
    pass


class NotSupportedError(DatabaseError):
    pass


class IsolationLevel(Enum):
    READ_UNCOMMITTED = 1
    READ_COMMITTED = 2
    REPEATABLE_READ = 3
    SERIALIZABLE = 4


class TooManyStatements(BaseException):
    """A loop that never ends; no `except Exception` of a revision may swallow it."""


class Account(Enum):
    """How a driver knows whether it has to send BEGIN first; it shows after a revision sends COMMIT as text."""

    SERVER = "psycopg and pg8000 ask the server: the next statement begins a new transaction"
    OWN = "psycopg2 and asyncpg keep their own account: the next statements run outside any transaction"


class Recorder:
    """Collects what the revision that is running now sends.

    `file` is the revision file; while it is None nothing is written down, as when an engine is set up.
    `database` is the one that statements go to, where each revision runs on several.
    `made_up` makes one value of a row that no database gave; where it is set, each query has one row, a few times.
    """

    def __init__(self) -> None:
        self.file: Path | None = None
        self.statements: list[CapturedStatement] = []
        self.remarks: dict[tuple[Mark, int, str], Remark] = {}
        self.reached: set[int] = set()
        self.database: str | None = None
        self.looks_first = False  # an operation sends, which asks a real database before it does
        self.line: int | None = None  # stands for the stack where Alembic runs a batch operation late
        self.told: Callable[[CapturedStatement], None] | None = None
        self.made_up: Callable[[str], object] | None = None
        self._given: Counter[tuple[int, str]] = Counter()
        self._filename = ""
        self.transactions = 0
        self._keys = 0

    def start(self, file: Path) -> None:
        self.file = file
        self._filename = str(file)
        self.statements = []
        self.remarks = {}
        self.reached = set()
        self.line = None
        self.looks_first = False
        self.database = None
        self._keys = 0
        self._given = Counter()

    def stop(self) -> None:
        self.file = None

    def place(self) -> Place:
        return Place(self.file or Path(), self.line_now())

    def line_now(self) -> int:
        """The innermost line of the revision file on the stack; 0 where it is not on it."""
        if self.line is not None:
            return self.line
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way to one's own stack
        while frame is not None:
            if frame.f_code.co_filename == self._filename:
                return frame.f_lineno
            frame = frame.f_back
        return 0

    def reach(self) -> None:
        """Note that the line that calls now was reached."""
        if self.file is not None:
            self.reached.add(self.line_now())

    def remark(self, mark: Mark, detail: str, line: int | None = None) -> None:
        """Note what cannot be seen; the same remark on the same line counts once, a stub once in all."""
        if self.file is not None:
            at = self.line_now() if line is None else line
            key = (mark, 0 if mark is Mark.TOUCHED_STUB else at, detail)
            self.remarks.setdefault(key, Remark(mark, Place(self.file, at), detail))

    @property
    def uses_stubs(self) -> bool:
        """Whether the revision has used something that only stands in for what is missing."""
        return self.made_up is not None or any(mark is Mark.TOUCHED_STUB for mark, _, _ in self.remarks)

    def record(self, sql: str, transaction: int | None) -> None:
        if self.file is not None:
            if len(self.statements) >= MOST_STATEMENTS:
                raise TooManyStatements
            statement = CapturedStatement(
                sql, self.place(), transaction, database=self.database, looks_first=self.looks_first
            )
            self.statements.append(statement)
            if self.told is not None:
                self.told(statement)

    def row(self, columns: Sequence[str], sql: str) -> tuple[object, ...] | None:
        """A made-up row for a query that has none; some time, as in a loop until none are left, there is none."""
        asked = (self.line_now(), sql)
        if self.made_up is None or self.file is None or self._given[asked] == _MOST_MADE_UP:
            return None
        self._given[asked] += 1
        return tuple(self.made_up(column) for column in columns)

    def next_key(self) -> int:
        """A key for a row that an INSERT makes, unlike any other of this revision."""
        self._keys += 1
        return self._keys

    def next_transaction(self) -> int:
        self.transactions += 1
        return self.transactions


class RecordingConnection:
    """One session. Its transaction gets a number with the first statement that is written down in it.

    Args:
        resume: number of a transaction that an earlier session left open and this one carries on.
    """

    def __init__(self, recorder: Recorder, account: Account, resume: int | None = None) -> None:
        self.recorder = recorder
        self.closed = False
        self.broken = False
        self.isolation_level: IsolationLevel | None = None
        self.read_only: bool | None = None
        self.deferrable: bool | None = None
        self.encoding = "UTF8"
        self.notices: list[str] = []
        self._account = account
        self._autocommit = False
        # Set while what is sent is to be written down as if it stood outside the open transaction.
        self.outside = False
        self._begun = False  # what the driver believes
        self._open = False  # what the server knows
        self._implied = False  # open only until the end of a text of several statements
        self._number = resume
        self._resumed = resume is not None

    @property
    def autocommit(self) -> bool:
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if value != self._autocommit and self._open:
            message = "can't change 'autocommit' now: connection is in a transaction"
            raise ProgrammingError(message)
        self._autocommit = value

    def set_session(self, *, autocommit: bool | None = None, **_: object) -> None:
        """Of psycopg2, as far as transactions go."""
        if autocommit is not None:
            self.autocommit = autocommit

    def set_isolation_level(self, level: object) -> None:
        """Of psycopg2: 0 is autocommit, and any change rolls back what is open."""
        self.rollback()
        self._autocommit = level == 0

    @property
    def transaction(self) -> int | None:
        """Number of the open transaction; None where none is open, or nothing was written down in it."""
        return self._number if self._open or self._resumed else None

    @property
    def settled(self) -> bool:
        """True where another session that carried on the open transaction would do what this one does."""
        asked = (self.isolation_level, self.read_only, self.deferrable)
        astray = self._account is Account.OWN and self._begun != self._open
        return not (astray or self._autocommit or self._implied or self.closed) and asked == (
            None,
            None,
            None,
        )

    def send(self, sql: str, pieces: Sequence[str] | None = None) -> None:
        """Write one text down as the server would run it: statement by statement where it ends a transaction itself.

        Args:
            pieces: its statements, where the caller has split it already.
        """
        pieces = split(sql) if pieces is None else pieces
        if not pieces:
            return
        self._begin_as_driver()
        implied = len(pieces) > 1
        if implied and not any(_control(piece) for piece in pieces):
            pieces = [sql.strip()]
        for piece in pieces:
            self._run(piece, implied=implied)
        if self._implied:
            self._end()

    def _run(self, sql: str, *, implied: bool) -> None:
        """`implied`: several statements in one text share a transaction even where none was begun."""
        control = _control(sql)
        if control == "begin":
            if not self._open:
                self._begin()
            self._implied = False
        elif control is None and implied and not self._open:
            self._begin()
            self._implied = True
        self._record(sql)
        if control == "end":
            self._end()

    def _begin_as_driver(self) -> None:
        if self._autocommit:
            return
        begun = self._open if self._account is Account.SERVER else self._begun
        if not begun:
            self._begun = True
            self._begin()

    def _begin(self) -> None:
        self._open = True
        self._implied = False
        if self._resumed:
            self._resumed = False
        else:
            self._number = None

    def _end(self) -> None:
        self._open = False
        self._implied = False
        self._number = None

    def _record(self, sql: str) -> None:
        if self.recorder.file is None:
            return
        inside = self._open and not self.outside
        if inside and self._number is None:
            self._number = self.recorder.next_transaction()
        self.recorder.record(sql, self._number if inside else None)

    def commit(self) -> None:
        if not self._autocommit or self._account is Account.SERVER:
            self._begun = False
            # What SQLAlchemy rolls back while it sets a connection up is not the transaction that is carried on.
            if self._open or (self._resumed and self.recorder.file is not None):
                self._resumed = False
                self._end()

    def rollback(self) -> None:
        self.commit()

    def close(self) -> None:
        self.rollback()
        self.closed = True

    def cursor(self, *_: object, **__: object) -> RecordingCursor:
        return RecordingCursor(self)

    def execute(self, sql: object, parameters: object = None) -> RecordingCursor:
        """Of psycopg: a cursor and its first statement in one call."""
        return RecordingCursor(self).execute(sql, parameters)

    def add_notice_handler(self, _: object) -> None:
        """Nothing is ever noticed."""

    def get_dsn_parameters(self) -> dict[str, str]:
        return {"dbname": "recorded"}

    def __enter__(self) -> RecordingConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.commit()


class RecordingCursor:
    """Writes statements down and answers as a database without rows does; who fetches gets a remark."""

    def __init__(self, connection: RecordingConnection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.rowcount = -1
        self.lastrowid = None
        self.closed = False
        self.name: str | None = None
        self._sql = ""
        self._answer = NO_ROWS
        self._rows: list[tuple[object, ...]] = []

    @property
    def description(self) -> list[tuple[object, ...]] | None:
        if self._answer.columns is None:
            return None
        return [(name, _NUMERIC_OID, None, None, None, None, None) for name in self._answer.columns]

    def execute(self, sql: object, parameters: object = None, **options: object) -> RecordingCursor:
        columns = options.get("columns")
        text = self._rendered(sql, parameters)
        pieces = split(text)
        self.connection.send(text, pieces)
        self._sql = text
        self._answer = (
            answer(pieces[-1], columns if isinstance(columns, tuple) else None) if pieces else NO_ROWS
        )
        self._rows = list(self._answer.rows)
        if self._answer.made_up:
            key = self.connection.recorder.next_key()
            self._rows = [tuple(key for _ in row) for row in self._rows]
        if not self._rows and self._answer.columns:
            row = self.connection.recorder.row(self._answer.columns, text)
            self._rows = [row] if row is not None else []
        self.rowcount = len(self._rows)
        return self

    def executemany(self, sql: object, sequence: Iterable[object], **options: object) -> None:
        rows: list[tuple[object, ...]] = []
        for parameters in sequence:
            self.execute(sql, parameters, **options)
            rows += self._rows
        self._rows = rows
        self.rowcount = len(rows)

    def mogrify(self, sql: object, parameters: object = None) -> bytes:
        """The text that would be sent; of psycopg2, whose `execute_values` builds on it."""
        return self._rendered(sql, parameters).encode()

    def _rendered(self, sql: object, parameters: object) -> str:
        text = _text(sql)
        try:
            return render(text, parameters)
        except CannotAdapt as error:
            raise ProgrammingError(str(error)) from error
        except (KeyError, IndexError) as error:
            message = f"the query asks for a parameter that is not given: {error}"
            raise ProgrammingError(message) from error
        except ValueError as error:
            raise DataError(str(error)) from error

    def fetchone(self) -> tuple[object, ...] | None:
        self._note()
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[object, ...]]:
        self._note()
        count = size or self.arraysize
        found, self._rows = self._rows[:count], self._rows[count:]
        return found

    def fetchall(self) -> list[tuple[object, ...]]:
        self._note()
        found, self._rows = self._rows, []
        return found

    def _note(self) -> None:
        if self._answer.columns is None:
            return  # nothing to read: SQLAlchemy looks all the same where `yield_per` is set
        first = " ".join(self._sql.split())
        shown = first if len(first) <= 100 else f"{first[:99]}…"
        catalog = not self._answer.made_up and reads_catalog(self._sql)
        self.connection.recorder.remark(Mark.READ_CATALOG if catalog else Mark.READ_ROWS, shown)

    def copy(self, sql: object, *_: object, **__: object) -> RecordingCopy:
        """Of psycopg: COPY as a context manager that takes rows."""
        self.connection.send(_text(sql))
        return RecordingCopy()

    def copy_expert(self, sql: object, *_: object, **__: object) -> None:
        self.connection.send(_text(sql))

    def copy_from(
        self,
        file: object,
        table: str,
        sep: str = "\t",
        null: str = "\\N",
        size: int = 0,
        columns: Sequence[str] | None = None,
    ) -> None:
        del file, sep, null, size
        listed = f" ({', '.join(_quoted(column) for column in columns)})" if columns else ""
        self.connection.send(f"COPY {_quoted(table)}{listed} FROM STDIN")

    def setinputsizes(self, *_: object) -> None:
        """Types of parameters make no difference to what is written down."""

    def close(self) -> None:
        self.closed = True

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return iter(self.fetchall())

    def __enter__(self) -> RecordingCursor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RecordingCopy:
    """Takes rows and forgets them; gives none."""

    def write(self, data: object) -> None:
        del data

    def write_row(self, row: object) -> None:
        del row

    def set_types(self, types: object) -> None:
        del types

    def rows(self) -> Iterator[tuple[object, ...]]:
        return iter(())

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def __enter__(self) -> RecordingCopy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


_OF_TRANSACTIONS = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"})


def _control(sql: str) -> str | None:
    """Answer "begin" or "end" where the statement begins or ends a transaction."""
    first = leading_word(sql)
    if first is not None and first not in _OF_TRANSACTIONS:
        return None
    match words(sql, 3):
        case ["BEGIN", *_] | ["START", "TRANSACTION", *_]:
            return "begin"
        case ["ROLLBACK", "TO", *_] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO"]:
            return None
        case ["COMMIT" | "ROLLBACK", "PREPARED", *_]:
            return None
        case ["COMMIT" | "END" | "ROLLBACK" | "ABORT", *_] | ["PREPARE", "TRANSACTION", *_]:
            return "end"
        case _:
            return None


def _text(sql: object) -> str:
    if isinstance(sql, bytes):
        return sql.decode()
    if isinstance(sql, str):
        return sql
    as_string = getattr(sql, "as_string", None)  # psycopg's and psycopg2's composed SQL
    if callable(as_string):
        return str(as_string(None))
    return str(sql)


def _quoted(name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
