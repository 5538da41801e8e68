"""Run revisions for real: the project's own `env.py`, one revision at a time, with time limits on every connection.

`env.py` is the project's: it may build any engine, sync or async, and any number of connections. So the limits are set
by listeners on SQLAlchemy's `Pool` and `Engine` classes, which see every connection and every statement whoever made
them, hand-written `op.execute` included.
"""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from hashlib import sha256
from pathlib import Path
from sysconfig import get_path
from traceback import StackSummary, extract_tb, walk_stack
from typing import TYPE_CHECKING, Any, Literal, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import to_tuple
from alembic.util.exc import CommandError
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.gate_sql import MARKER, SHUT
from evolve.redaction import without_passwords
from evolve.revisions.history import RESERVED, BrokenRevision, read_history
from evolve.revisions.ledger import Ledger, Sent
from evolve.revisions.percent_signs import plain_percent_signs
from evolve.revisions.project import Project
from evolve.revisions.sql_text import split, words

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, Dialect

# Statements that wait for old snapshots and need longer than a lock that blocks others may take.
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
_DETACH = re.compile(r"\bDETACH\s+PARTITION\b", re.IGNORECASE)
_VALIDATE = re.compile(r"\bVALIDATE\s+CONSTRAINT\b", re.IGNORECASE)
# What leaves a session with the server's own limits, which are mostly none.
_FORGETS = re.compile(
    r"\b(?:RESET\s+(?:ALL|lock_timeout|statement_timeout)|DISCARD\s+ALL"
    r"|SET\s+(?:\w+\s+)?(?:lock|statement)_timeout\s*(?:=|\bTO\b)\s*DEFAULT)\b",
    re.IGNORECASE,
)
# What begins or ends a transaction, and changes nothing by itself.
_CONTROL = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"})
_COMMITS = frozenset({"COMMIT", "END"})
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE"})
_STAMPING = frozenset(
    {"_insert_version", "_update_version", "_delete_version"}
)  # of Alembic's HeadMaintainer
_INDEX_BUILD = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+"
    r'(?:(?:IF\s+NOT\s+EXISTS\s+)?((?:"(?:[^"]|"")+"|\w)+)\s+)?ON\s+(?:ONLY\s+)?((?:"(?:[^"]|"")+"|\w|\.)+)',
    re.IGNORECASE | re.DOTALL,
)

# Their detail names a key, or what depends on a thing; that of others may hold a whole row.
_TELLING = frozenset({"23503", "23505", "2BP01"})
# As `half_applied` shows it. A build clears away with it what an interrupted one left, and does so again.
_CLEARING = re.compile(r"DROP INDEX CONCURRENTLY IF EXISTS ", re.IGNORECASE)

# What Alembic says of a name that leads nowhere; of some it is sure that nobody would ask for them, such as "@".
_NO_SUCH_TARGET = (CommandError, RevisionError, AssertionError)

_STANDARD_LIBRARY = get_path("stdlib")

LOCK_NOT_AVAILABLE = "55P03"
DUPLICATE_TABLE = "42P07"  # an index of that name as well
# deadlock_detected, serialization_failure: rolled back whole, right to try again
_TRANSIENT = frozenset({LOCK_NOT_AVAILABLE, "40P01", "40001"})


# insufficient_privilege, read_only_sql_transaction: nothing is wrong with the revision
_FORBIDDEN = frozenset({"42501", "25006"})
# undefined_table, insufficient_privilege: where Alembic could read its table before the revision
_OUT_OF_SIGHT = frozenset({"42P01", "42501"})


class RevisionFailed(Refused):
    """A revision stopped with an error of the server.

    Args:
        half_applied: statements that this attempt had already made permanent when it failed.
        hint: what the server advises; that of a shut gate says what opens it.
        recorded: what is permanent is kept in the database, so that another attempt goes on after it.
        lost: the connection ended with it, and nobody heard whether the last statement was done.
        search_path: of the session, where the statement ran outside a transaction.
    """

    def __init__(
        self,
        step: Pending,
        place: str,
        statement: str,
        sqlstate: str,
        message: str,
        half_applied: tuple[str, ...],
        hint: str | None = None,
        *,
        recorded: bool = False,
        lost: bool = False,
        search_path: str | None = None,
    ) -> None:
        first = without_passwords(" ".join(statement.split()))
        shown = first if len(first) <= 160 else first[:157] + "…"
        why, fix = _after_failure(step, place, half_applied, recorded=recorded)
        if lost and (recorded or not half_applied):
            why = "the connection was lost, and with it the answer whether this was done"
            fix = "run it again: it looks at what was done, and goes on from there"
        if sqlstate in _FORBIDDEN and not half_applied:
            fix = "connect as a role that may do this, in a session that may write, then run it again"
        elif sqlstate == SHUT and hint is not None:
            fix = hint
        super().__init__(
            f"revision {step.revision} failed at {place}: {without_passwords(message)}\n  sql: {shown}",
            why=why,
            fix=fix,
        )
        self.revision = step.revision
        self.reason = message
        self.statement = statement
        self.sqlstate = sqlstate
        self.half_applied = half_applied
        self.recorded = recorded
        self.search_path = search_path

    @property
    def transient(self) -> bool:
        """Right to try again: the cause passes, and nothing that is permanent is in the way."""
        return self.sqlstate in _TRANSIENT and self.repeatable

    @property
    def repeatable(self) -> bool:
        """What of it is permanent will be skipped, or done again without harm."""
        return self.recorded or _repeatable(self.half_applied)

    @property
    def unfinished_index(self) -> tuple[str | None, str] | None:
        """(index, table) as written, where it failed in CREATE INDEX CONCURRENTLY, which may leave it invalid.

        The index is None where the server was to name it.
        """
        found = _INDEX_BUILD.match(self.statement)
        return (found[1], found[2]) if found else None


class RevisionRaised(Refused):
    """The Python code of a revision raised, with or without a part of it being permanent."""

    def __init__(
        self, step: Pending, cause: BaseException, half_applied: tuple[str, ...], *, recorded: bool = False
    ) -> None:
        lines = [frame.lineno for frame in _frames(cause) if frame.filename == str(step.file)]
        place = f"{step.file.name}:{lines[-1]}" if lines else step.file.name
        why, fix = _after_failure(step, place, half_applied, recorded=recorded)
        if isinstance(cause, AssertionError) and any(f.name == "autocommit_block" for f in _frames(cause)):
            why = (
                "autocommit_block() ends Alembic's transaction, and env.py has begun one of its own around it"
            )
            fix = "let env.py use engine.connect() in the place of engine.begin()"
        raised = f"{type(cause).__name__}: {without_passwords(str(cause))}"
        super().__init__(
            f"revision {step.revision} failed at {place}: {raised}".rstrip(": "),
            why=why,
            fix=fix,
        )


def _after_failure(
    step: Pending, place: str, half_applied: tuple[str, ...], *, recorded: bool
) -> tuple[str, str]:
    """Why and fix: what is in the database now, and what to do about it."""
    if not half_applied:
        why = "its transaction was rolled back; the database is as it was before this revision"
        return why, f"mend {place}, then run it again"
    if _repeatable(half_applied):
        why = f"what it did before is done again without harm: {'; '.join(half_applied)}"
        return why, f"mend what stopped it at {place}, then run it again"
    why = "it left the transaction (autocommit block or COMMIT) before it failed, so part of it is applied"
    if recorded:
        return why, (
            f"mend {place}, then run it again: it goes on after what is permanent already: {'; '.join(half_applied)}"
        )
    return why, (
        f"look at {place}; permanent already: {'; '.join(half_applied)}. Make the rest true by hand and "
        f"`alembic stamp {step.target}`, or undo it and run it again"
    )


def _repeatable(half_applied: tuple[str, ...]) -> bool:
    return all(_CLEARING.match(statement) for statement in half_applied)


def _frames(error: BaseException) -> StackSummary:
    return extract_tb(error.__traceback__)


class NotStamped(Refused):
    """What a revision has set in its session keeps Alembic from its version table."""

    def __init__(self, step: Pending, message: str, half_applied: tuple[str, ...]) -> None:
        permanent = f"permanent already: {'; '.join(half_applied)}" if half_applied else "all was rolled back"
        super().__init__(
            f"revision {step.revision} ran, and Alembic could not write its version: {without_passwords(message)}",
            why=f"Alembic writes it in the revision's session, with the search_path and role set there; {permanent}",
            fix=f"let {step.file.name} end with RESET search_path or RESET ROLE, as it has SET them; then run it again",
        )


class RollsBack(Refused):
    """Sent by a revision, it would take back what that has done, and Alembic would mark it as applied."""

    def __init__(self, place: str, taken_back: Sequence[str]) -> None:
        super().__init__(
            f"{place} rolls back what its revision has done before: {'; '.join(map(without_passwords, taken_back))}",
            why="the revision would be marked as applied without it",
            fix="take the ROLLBACK out; what is only tried belongs between a SAVEPOINT and ROLLBACK TO SAVEPOINT",
        )


class RevisionBroken(Misuse):
    def __init__(self, cause: BaseException) -> None:
        place = _innermost_place(cause)
        super().__init__(
            f"the project's migrations cannot be run: {type(cause).__name__}: {without_passwords(str(cause))}",
            why=f"raised at {place}" if place else None,
            fix="mend the file; `alembic history` shows the same error",
        )


class CannotReach(Misuse):
    """env.py has not got as far as its first statement."""

    def __init__(self, error: DBAPIError) -> None:
        said = str(error.orig or error).strip().splitlines()[0]
        super().__init__(
            f"the project's env.py cannot connect: {without_passwords(said)}",
            why="nothing was sent; what was applied before stays applied",
            fix="see that the server is up, and where env.py connects to; then run it again",
        )


class PooledByTransaction(Misuse):
    def __init__(self, pid: int) -> None:
        super().__init__(
            "the project's env.py connects to a pooler that hands out sessions by the transaction: two connections had "
            f"session {pid} of the server in turn",
            why="lock_timeout is the session's: it would hold for others, and not for the revisions",
            fix="let env.py connect to the server itself, by its own host and port: config.get_main_option("
            "'sqlalchemy.url') is what --database-url says",
        )


class WrongDatabase(Misuse):
    def __init__(self, theirs: str, ours: str) -> None:
        super().__init__(
            f"the project's env.py connects to {theirs}, but evolve was told {ours}",
            why="the lock that lets one runner through is held in one database while another would be migrated",
            fix="let env.py use config.get_main_option('sqlalchemy.url'), or give evolve the same --database-url",
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """Milliseconds; 0 is no limit.

    Args:
        lock_timeout: for every statement.
        concurrently_lock_timeout: for statements with CONCURRENTLY, which wait for old transactions without blocking
            anybody.
        statement_timeout: for every statement but those that take long and block nobody: with CONCURRENTLY, and
            VALIDATE CONSTRAINT.
    """

    lock_timeout: int
    concurrently_lock_timeout: int
    statement_timeout: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """A revision to run. `target` is what Alembic is told to go to; `below` are those that it stands on."""

    revision: str
    message: str
    file: Path
    target: str
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What tells one database from another through any road: name, and the microsecond its server started."""

    database: str
    started: str


@dataclass(slots=True)
class _Attempt:
    """What one attempt at one revision has sent and made permanent so far."""

    file: Path | None = None
    open: list[Sent] = field(default_factory=list)
    permanent: list[Sent] = field(default_factory=list)
    statement: str = ""
    place: str = ""
    ordinal: int = 0
    now: Sent | None = None
    sent: bool = False  # `now`, outside a transaction
    skipping: bool = False
    began: float = 0.0
    stamped: bool = False
    stamping: bool = False  # the last statement is Alembic's own, which writes the version
    lost: bool = False
    search_path: str | None = None  # of what is sent outside a transaction

    @property
    def half_applied(self) -> tuple[str, ...]:
        return tuple(map(str, self.permanent))


class Runner:
    """Runs single revisions of `project`.

    Args:
        url: overrides the project's `sqlalchemy.url`; None leaves it alone.
        expected: the database that evolve itself talks to; a connection of env.py to another one is refused.

    `on_backend` is told the pid of every backend that env.py opens, and when it began, in seconds since 1970; `ledger`
    of every statement on its way,
    and `on_statement` of each that is done, with the seconds that it took.
    """

    def __init__(
        self,
        project: Project,
        url: str | None,
        limits: Limits,
        *,
        expected: ServerIdentity,
    ) -> None:
        self._root = project.root
        self._config = alembic_config(project, url)
        self._limits = limits
        self._expected = expected
        self.on_backend: Callable[[int, str], None] | None = None
        self.on_statement: Callable[[Sent, float], None] | None = None
        self._opens: Callable[[], DBAPIConnection] | None = None
        self.ledger: Ledger | None = None
        self._attempt = _Attempt()
        self._script = load_scripts(project, self._config)

    def survey(self) -> tuple[tuple[str, ...], ...]:
        """The applied heads of every database or schema that env.py runs revisions in, in its order; nothing is run.

        As `alembic current` does, for projects whose version table only env.py knows: one that loops over tenants has
        one for each.

        Raises:
            WrongDatabase: env.py talks to another database. CannotReach: to none. RevisionBroken: it raised.
        """
        found: list[tuple[str, ...]] = []

        def look(heads: tuple[str, ...], _context: MigrationContext) -> list[object]:
            found.append(tuple(sorted(heads)))
            return []

        self._attempt = _Attempt()
        with self._listening(), chdir(self._root), redirect_stdout(sys.stderr):
            try:
                with EnvironmentContext(self._config, self._script, fn=look, dont_mutate=True):
                    self._script.run_env()
            except (Misuse, Refused):
                raise
            except (Exception, SystemExit) as error:
                if isinstance(error, DBAPIError) and not self._attempt.statement and error.statement is None:
                    raise CannotReach(error) from error
                raise RevisionBroken(error) from error
        return tuple(found)

    def unknown(self, revisions: Iterable[str]) -> tuple[str, ...]:
        """Those that no file declares."""
        known = {script.revision for script in self._script.walk_revisions()}
        return tuple(revision for revision in revisions if revision not in known)

    def applied(self, heads: tuple[str, ...]) -> frozenset[str]:
        """All revisions that a database at `heads` has."""
        found = self._script.iterate_revisions(heads, "base")
        return frozenset(script.revision for script in found)

    def pending(self, target: str, heads: tuple[str, ...]) -> list[Pending]:
        """Revisions between the applied `heads` and `target`, in the order they will run.

        Raises:
            Misuse: `target` names no revision, or several heads where one is meant.
        """
        try:
            found = list(
                self._script.iterate_revisions(target, heads, implicit_base=True, assert_relative_length=True)
            )
        except _NO_SUCH_TARGET as error:
            raise _no_such_target(target, error, self._script) from error
        return [_pending(script, script.revision) for script in reversed(found) if isinstance(script, Script)]

    def to_revert(self, target: str, heads: tuple[str, ...]) -> list[Pending]:
        """Revisions between the applied `heads` and `target`, newest first; each one's `target` is what is left after.

        Where `target` is a revision, all that stands on it goes, or depends on it; on other branches all stays.

        Raises:
            Misuse: `target` names no revision below the heads, or a number of steps where the way down branches.
        """
        counted = target.startswith(("+", "-"))
        if len(heads) > 1 and counted:
            raise SeveralApplied(heads)
        if len(heads) > 1 and "@" not in target:
            return self._standing_on(target, heads)
        try:
            found = list(
                self._script.iterate_revisions(
                    heads, target, inclusive=False, select_for_downgrade=True, assert_relative_length=True
                )
            )
        except _NO_SUCH_TARGET as error:
            raise _no_such_target(target, error, self._script) from error
        merge = next((script for script in found[:-1] if len(_below(script)) > 1), None)
        if merge is None:
            return [_reverting(script) for script in found]
        if counted or "@" in target:
            raise SeveralApplied(_below(merge))
        return self._standing_on(target, heads)

    def _standing_on(self, target: str, heads: tuple[str, ...]) -> list[Pending]:
        """The applied revisions that descend from `target` or depend on it, each before those that it stands on."""
        try:
            floor = self._script.get_revision(target)
        except _NO_SUCH_TARGET as error:
            raise _no_such_target(target, error, self._script) from error
        applied = self.applied(heads)
        if floor is not None and floor.revision not in applied:
            raise NoSuchTarget(target, "the database does not have it", heads)
        scripts = {each.revision: each for each in self._script.walk_revisions() if each.revision in applied}
        standing: dict[str, list[str]] = {name: [] for name in scripts}
        for name, script in scripts.items():
            for below in (*_below(script), *_dependencies(script)):
                standing[below].append(name)
        going = set(scripts) if floor is None else set()
        looked = [] if floor is None else [*standing[floor.revision]]
        while looked:
            if (name := looked.pop()) not in going:
                going.add(name)
                looked += standing[name]
        order = TopologicalSorter({name: standing[name] for name in scripts if name in going})
        return [_reverting(scripts[name]) for name in order.static_order()]

    def run(self, step: Pending, direction: Literal["upgrade", "downgrade"]) -> None:
        """Apply or revert one revision through env.py.

        Raises:
            RevisionFailed: the server refused a statement.
            RevisionRaised: the revision raised something else.
            NotStamped: what it has set in its session keeps Alembic from its version table.
            RevisionBroken: env.py did.
            WrongDatabase: env.py talks to another database; nothing was sent.
            CannotReach: env.py cannot connect.
        """
        self._attempt = _Attempt(file=step.file)
        act = command.upgrade if direction == "upgrade" else command.downgrade
        # Down its own branch: what it depends on may build on the same revision, and would go with it.
        target = step.target if direction == "upgrade" else f"{step.revision}@{step.target}"
        # env.py and relative script locations mean the directory that Alembic is run in. What they print is no result.
        with self._listening(), chdir(self._root), redirect_stdout(sys.stderr):
            try:
                act(self._config, target)
            except (Misuse, Refused):
                raise
            except DBAPIError as error:
                _raise_interruption(error)
                if not self._attempt.statement and error.statement is None:
                    raise CannotReach(error) from error
                failure = self._failed(step, error)
                if self._attempt.stamping and failure.sqlstate in _OUT_OF_SIGHT:
                    raise NotStamped(step, failure.reason, failure.half_applied) from error
                raise failure from error
            except (Exception, SystemExit) as error:
                _raise_interruption(error)
                if self._attempt.lost and (first := _server_error(error)) is not None:
                    raise self._failed(step, first) from error
                if self._attempt.stamping and isinstance(error, CommandError):
                    raise NotStamped(step, str(error), self._attempt.half_applied) from error
                if any(frame.filename == str(step.file) for frame in _frames(error)):
                    half_applied = self._attempt.half_applied
                    raise RevisionRaised(step, error, half_applied, recorded=self._keeps()) from error
                raise RevisionBroken(error) from error

    # -- listening ----------------------------------------------------------------------------------------------------
    @contextmanager
    def _listening(self) -> Iterator[None]:
        listeners: list[tuple[type[Pool] | type[Engine], str, Callable[..., object]]] = [
            (Engine, "do_connect", self._connects),
            (Pool, "checkout", self._checked_out),
            (Engine, "before_cursor_execute", self._before),
            (Engine, "do_execute", self._skips),
            (Engine, "do_execute_no_params", self._skips),
            (Engine, "do_executemany", self._skips),
            (Engine, "after_cursor_execute", self._after),
            (Engine, "commit", self._committed),
            (Engine, "rollback", self._rolled_back),
            (Engine, "handle_error", self._erred),
        ]
        for target, name, listener in listeners:
            event.listen(target, name, listener)
        try:
            yield
        finally:
            for target, name, listener in listeners:
                event.remove(target, name, listener)

    def _connects(
        self, dialect: Dialect, _: ConnectionPoolEntry, cargs: list[object], cparams: object
    ) -> None:
        self._opens = lambda: dialect.connect(*cargs, **cast("dict[str, Any]", cparams))

    def _checked_out(self, connection: DBAPIConnection, *_: object) -> None:
        """Each time, and not once: the application's own pool may have opened it before, and a revision changed it."""
        cursor = connection.cursor()
        try:
            cursor.execute(
                "SELECT pg_backend_pid(), current_database(), extract(epoch FROM pg_postmaster_start_time())::text,"
                " (SELECT extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid())"
            )
            row = cursor.fetchone()
            connection.commit()
            if row is not None:
                self._refuse_strangers(connection, int(str(row[0])), ServerIdentity(str(row[1]), str(row[2])))
            # No lock. The limits hold for the session until the project's own SET overrides them.
            cursor.execute(f"SET lock_timeout = {self._limits.lock_timeout:d}")
            cursor.execute(f"SET statement_timeout = {self._limits.statement_timeout:d}")
        finally:
            cursor.close()
        connection.commit()
        if self.on_backend is not None and row is not None:
            self.on_backend(int(str(row[0])), str(row[3]))

    def _refuse_strangers(self, connection: DBAPIConnection, pid: int, theirs: ServerIdentity) -> None:
        if theirs != self._expected:
            raise WrongDatabase(f'database "{theirs.database}"', f'database "{self._expected.database}"')
        # A pooler answers a connection with a key of its own in the place of the session's pid.
        if _told_pid(connection) not in (None, pid) and self._shares(connection, pid):
            raise PooledByTransaction(pid)

    def _shares(self, connection: DBAPIConnection, pid: int) -> bool:
        """Whether a second connection is given the same session of the server, or this one another."""
        if self._opens is None:
            return False
        other = self._opens()
        try:
            # Its transaction stays open, and with it the session that it was given.
            return any(_pid(other) == pid or _pid(connection, ends=True) != pid for _ in range(5))
        finally:
            other.close()

    def _before(
        self,
        connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: object,
        context: object,
        executemany: bool,
    ) -> None:
        attempt, ledger = self._attempt, self.ledger
        attempt.statement = statement
        attempt.place = self._place()
        attempt.now, attempt.skipping, attempt.sent, attempt.search_path = None, False, False, None
        alone = _outside_transaction(connection)
        starts = words(statement, 1)
        attempt.stamping = not attempt.place and _WRITES.issuperset(starts) and _stamping()
        if attempt.stamping:
            attempt.stamped = True
        if attempt.place and attempt.open and not alone and _rolls_back(statement):
            raise RollsBack(attempt.place, [" ".join(sent.text.split()) for sent in attempt.open])
        # A gate only looks, or fills what it may fill again.
        if attempt.place and MARKER not in statement and not _CONTROL.issuperset(starts):
            attempt.ordinal += 1
            digest = sha256(f"{statement}\0{parameters!r}".encode()).hexdigest()
            attempt.now = Sent(attempt.ordinal, statement, digest, attempt.place)
            if ledger is not None and ledger.skips(attempt.now, lambda: _search_path(cursor)):
                attempt.skipping = True
                return
        if not alone and _commits(statement):
            self._tell_of_commit(connection, attempt.now)
        if ledger is not None and attempt.now is not None and alone:
            attempt.search_path = _search_path(cursor)
            if is_concurrent(statement):
                ledger.waits(attempt.now, attempt.search_path)
            ledger.sends(attempt.now, attempt.search_path)
            attempt.sent = True
        if self._takes_long(statement):
            cursor.execute("SET statement_timeout = 0")
        # In a transaction, others queue behind what it has locked before. A detachment ends with ACCESS EXCLUSIVE
        # on the partition, which others queue behind as well.
        if alone and is_concurrent(statement) and not (self._keeps() and _DETACH.search(statement)):
            cursor.execute(f"SET lock_timeout = {self._limits.concurrently_lock_timeout:d}")
        attempt.began = time.perf_counter()

    def _skips(self, *_: object) -> bool | None:
        """True: SQLAlchemy takes the statement as executed."""
        return self._attempt.skipping or None

    def _after(self, connection: Connection, cursor: DBAPICursor, statement: str, *_: object) -> None:
        attempt = self._attempt
        now = attempt.now
        if now is not None and attempt.skipping:
            attempt.permanent.append(now)
            return
        if now is not None:
            now = replace(now, rows=bool(cursor.description))
            attempt.open.append(now)
            if self.on_statement is not None:
                self.on_statement(now, time.perf_counter() - attempt.began)
        if not _in_transaction(connection):
            last = split(statement)[-1:]
            if not last or words(last[0], 1) not in (["ROLLBACK"], ["ABORT"]):
                attempt.permanent += attempt.open
            attempt.open = []
        if now is not None and attempt.sent and self.ledger is not None:
            self.ledger.succeeded(now)
        if self._takes_long(statement) or _FORGETS.search(statement):
            self._restore(connection)

    def _erred(self, context: ExceptionContext) -> None:
        # The session may go on (an env.py that catches and retries), so the short limits come back. In a
        # transaction the rollback brings them back.
        connection = context.connection
        if (
            connection is not None
            and self._takes_long(context.statement or "")
            and not _in_transaction(connection)
            and not context.is_disconnect
        ):
            self._restore(connection)
        attempt = self._attempt
        if context.is_disconnect:
            attempt.lost = True  # whether it was done, only the server knows
        elif attempt.now is not None and attempt.sent and self.ledger is not None:
            self.ledger.failed(attempt.now)

    def _keeps(self) -> bool:
        return self.ledger is not None and self.ledger.keeps

    def _takes_long(self, statement: str) -> bool:
        """It may take as long as it takes, since others go on meanwhile."""
        return is_concurrent(statement) or _VALIDATE.search(statement) is not None

    def _restore(self, connection: Connection) -> None:
        raw = connection.connection.cursor()
        try:
            raw.execute(f"SET lock_timeout = {self._limits.lock_timeout:d}")
            raw.execute(f"SET statement_timeout = {self._limits.statement_timeout:d}")
        finally:
            raw.close()

    def _committed(self, connection: Connection) -> None:
        """About to be committed: SQLAlchemy tells of it before it does it."""
        self._tell_of_commit(connection)
        self._attempt.permanent += self._attempt.open
        self._attempt.open = []

    def _tell_of_commit(self, connection: Connection, with_it: Sent | None = None) -> None:
        """What is committed together with the version needs no record: the version is one.

        Args:
            with_it: several statements in one text, a COMMIT among them.
        """
        attempt = self._attempt
        stamped, attempt.stamped = attempt.stamped, False
        statements = (*attempt.open, with_it) if with_it is not None else tuple(attempt.open)
        if self.ledger is None or not (attempt.permanent if stamped else statements):
            return
        transaction = "pg_current_xact_id_if_assigned" if with_it is None else "pg_current_xact_id"
        cursor = connection.connection.cursor()
        try:
            # No lock. Null where the transaction has only read.
            cursor.execute(f"SELECT {transaction}()::text, current_setting('search_path')")
            row = cursor.fetchone()
        finally:
            cursor.close()
        if row is not None and row[0] is not None:
            if stamped:
                self.ledger.stamps(str(row[0]))
            else:
                self.ledger.commits(statements, str(row[0]), str(row[1]))
        if stamped:
            # An env.py that loops over tenants runs the revision once more, for the next of them.
            attempt.permanent, attempt.open, attempt.ordinal = [], [], 0

    def _rolled_back(self, _connection: Connection) -> None:
        self._attempt.open = []
        self._attempt.stamped = False

    def _place(self) -> str:
        """file:line of the revision on the stack; empty for what env.py and Alembic send by themselves."""
        wanted = str(self._attempt.file)
        for frame, line in walk_stack(None):
            if frame.f_code.co_filename == wanted:
                return f"{Path(wanted).name}:{line}"
        return ""

    def _failed(self, step: Pending, error: DBAPIError) -> RevisionFailed:
        original = error.orig
        state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None) or ""
        message = str(original).strip().splitlines()[0] if original else str(error)
        detail = getattr(getattr(original, "diag", None), "message_detail", None)
        if detail and state in _TELLING:
            message = f"{message}: {detail.splitlines()[0].rstrip('.')}"
        return RevisionFailed(
            step,
            self._attempt.place or step.file.name,
            error.statement or self._attempt.statement,
            str(state),
            message,
            self._attempt.half_applied,
            getattr(getattr(original, "diag", None), "message_hint", None),
            recorded=self._keeps(),
            lost=self._attempt.lost,
            search_path=self._attempt.search_path,
        )


def print_sql(project: Project, span: str, direction: Literal["upgrade", "downgrade"]) -> None:
    """Print the SQL of `span` (`to`, or `from:to`) on standard output, as `alembic upgrade --sql` does.

    Raises:
        NoSuchTarget: `span` names no revisions.
        RevisionBroken: env.py or a revision raised; one that reads rows cannot be written as SQL.
    """
    config = alembic_config(project)
    config.output_buffer = sys.stdout
    script = load_scripts(project, config)
    act = command.upgrade if direction == "upgrade" else command.downgrade
    try:
        with chdir(project.root), redirect_stdout(sys.stderr), plain_percent_signs():
            act(config, span, sql=True)
    except BrokenPipeError:
        raise  # whoever read the SQL has seen enough
    except _NO_SUCH_TARGET as error:
        raise _no_such_target(span, error, script) from error
    except (Exception, SystemExit) as error:
        raise RevisionBroken(error) from error


class SeveralApplied(Misuse):
    def __init__(self, revisions: tuple[str, ...]) -> None:
        commands = ", or ".join(f"`evolve downgrade {revision}@-1`" for revision in revisions)
        super().__init__(
            f"the way down branches: {', '.join(revisions)}",
            why="with several branches it is not certain which revision was applied last",
            fix=f"say which goes, and the others stay: {commands}; or name the revision down to which all goes",
        )


class NoSuchTarget(Misuse):
    def __init__(self, target: str, reason: str, heads: tuple[str, ...]) -> None:
        super().__init__(
            f'cannot go to "{target}": {reason}',
            fix=(
                f"name one of {', '.join(heads)}, say `heads` for all, or join them: alembic merge heads"
                if len(heads) > 1
                else "see `alembic history` for the revisions there are"
            ),
        )


def _raise_interruption(error: BaseException) -> None:
    """Whoever interrupts a statement hears that, and not what a block around it says when it is left."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, KeyboardInterrupt):
            raise found
        found = found.__cause__ or found.__context__


def _stamping() -> bool:
    """Whether it is Alembic that writes, into its version table, whatever that is called."""
    return any(frame.f_code.co_name in _STAMPING for frame, _ in walk_stack(None))


def _server_error(error: BaseException) -> DBAPIError | None:
    """What the server said first, where SQLAlchemy then stumbled over a connection that is gone."""
    found: BaseException | None = error
    while found is not None and (not isinstance(found, DBAPIError) or found.orig is None):
        found = found.__context__
    return found


def _told_pid(connection: DBAPIConnection) -> int | None:
    """What the server said when it was connected to; None where the driver does not tell."""
    driver = getattr(connection, "driver_connection", connection)
    told = getattr(getattr(driver, "info", None), "backend_pid", None)  # psycopg, psycopg2
    asked = getattr(driver, "get_server_pid", None)  # asyncpg
    if told is None and callable(asked):
        told = asked()
    return told if isinstance(told, int) else None


def _pid(connection: DBAPIConnection, *, ends: bool = False) -> int:
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT pg_backend_pid()")
        row = cursor.fetchone()
    finally:
        cursor.close()
    if ends:
        connection.commit()
    return int(str(row[0])) if row else 0


def _in_transaction(connection: Connection) -> bool:
    """Whether the server has one open. Only the driver knows after a COMMIT that a revision wrote itself."""
    driver = connection.connection.driver_connection
    status = getattr(getattr(driver, "info", None), "transaction_status", None)  # psycopg, psycopg2
    if status is not None:
        return int(status) != 0
    asked = getattr(driver, "is_in_transaction", None)  # asyncpg
    if callable(asked):
        return bool(asked())
    return connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT"


def _rolls_back(statement: str) -> bool:
    """One of its statements ends the transaction and takes back what was done in it."""
    return any(
        each[:1] in (["ROLLBACK"], ["ABORT"]) and not {"TO", "PREPARED"}.intersection(each)
        for each in map(words, split(statement))
    )


def _outside_transaction(connection: Connection) -> bool:
    """Whether what is sent next becomes permanent by itself: none is open, and the driver will not begin one."""
    if _in_transaction(connection):
        return False
    for raw in (connection.connection.driver_connection, connection.connection.dbapi_connection):
        autocommit = getattr(raw, "autocommit", None)
        if isinstance(autocommit, bool):
            return autocommit
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _search_path(cursor: DBAPICursor) -> str:
    # No lock.
    cursor.execute("SELECT current_setting('search_path')")
    row = cursor.fetchone()
    return str(row[0]) if row is not None else ""


def _commits(statement: str) -> bool:
    return any(_COMMITS.issuperset(words(piece, 1) or [""]) for piece in split(statement))


def is_concurrent(statement: str) -> bool:
    """By the keyword: a comment or a text that says the same gets no longer timeout, nor do several statements."""
    return (
        _CONCURRENTLY.search(statement) is not None
        and "CONCURRENTLY" in words(statement, len(statement))
        and len(split(statement)) == 1
    )


def _no_such_target(target: str, error: Exception, script: ScriptDirectory) -> NoSuchTarget:
    reason = " ".join(str(error).split()) or "that names no revision"
    return NoSuchTarget(target, reason, tuple(script.get_heads()))


def _pending(script: Script, target: str) -> Pending:
    return Pending(script.revision, (script.doc or "").strip(), Path(script.path), target, _below(script))


def _reverting(script: Script) -> Pending:
    """Of a merge, the branches stay applied, whichever of them is named."""
    return _pending(script, next(iter(_below(script)), "base"))


def _below(script: Script) -> tuple[str, ...]:
    return to_tuple(script.down_revision, default=())


def _dependencies(script: Script) -> tuple[str, ...]:
    return to_tuple(script._resolved_dependencies, default=())  # noqa: SLF001 - ids in the place of labels


def alembic_config(project: Project, url: str | None = None) -> Config:
    """Alembic's own configuration of `project`; `url` overrides `sqlalchemy.url`."""
    in_toml = project.configuration.suffix == ".toml"
    toml = project.configuration if in_toml else project.root / "pyproject.toml"
    config = Config(
        file_=None if in_toml else str(project.configuration),
        toml_file=str(toml) if toml.is_file() else None,
        ini_section=project.section,
    )
    if config.get_alembic_option("script_location") is None:  # Flask-Migrate tells it to Alembic itself
        config.set_main_option("script_location", str(project.script_directory).replace("%", "%%"))
    if url:
        config.set_main_option("sqlalchemy.url", sqlalchemy_url(url, project.database_url).replace("%", "%%"))
    return config


def sqlalchemy_url(url: str, configured: str | None) -> str:
    """`url` with the driver that the project itself names, psycopg where it names none."""
    try:
        given = make_url(url if "://" in url else "postgresql://")
        if "+" in given.drivername:
            return url
        own = make_url(configured) if configured else None
    except ArgumentError:
        own = None
    driver = (
        own.drivername
        if own is not None and own.drivername.startswith("postgresql+")
        else "postgresql+psycopg"
    )
    _, _, rest = url.partition("://")
    return f"{driver}://{rest}"


def load_scripts(project: Project, config: Config | None = None) -> ScriptDirectory:
    """Let Alembic read every revision of `project`, so that a broken one is told before anything runs.

    Raises:
        MissingRevision, DuplicateRevision, Cycle, BrokenRevision, RevisionBroken: it cannot.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with chdir(project.root), redirect_stdout(sys.stderr):
                script = ScriptDirectory.from_config(config or alembic_config(project))
                script.get_heads()
                if any(name in RESERVED for name in script.get_bases() + script.get_heads()):
                    read_history(project)  # which refuses such a revision by its file
        except EvolveError:
            raise
        except (Exception, SystemExit) as error:
            # Alembic's own error names no file where a revision is missing, doubled or has no id.
            broken = read_history(project).broken
            if broken and _innermost_place(error) is None:
                raise BrokenRevision(broken[0]) from error
            raise RevisionBroken(error) from error
    if any(issubclass(warning.category, UserWarning) for warning in caught):
        read_history(project)  # Alembic only warns of a revision that two files declare, and runs one of them
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return script


def _innermost_place(error: BaseException) -> str | None:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    trace = error.__traceback__
    place = None
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        foreign = "site-packages" in name or name.startswith(("<", _STANDARD_LIBRARY))
        if not foreign and __file__ != name:
            place = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
