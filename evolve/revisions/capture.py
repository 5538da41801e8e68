"""Every statement that revisions send, without a server: each `upgrade()` runs on an engine that only writes down.

The project's `env.py` never runs; its settings come from `environment.py`. Alembic's own MigrationContext and
Operations run, so that batch mode, autocommit blocks, commits and sessions do what they do in earnest. What cannot be
seen this way is marked on the recording, never passed over.
"""

from __future__ import annotations

import inspect
import re
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Literal

import alembic.op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from evolve.revisions.guard import Guard
from evolve.revisions.history import CONFLICT, RevisionFile, conflict_line
from evolve.revisions.isolation import isolated
from evolve.revisions.library_shims import accept_libraries
from evolve.revisions.memory import After, Memory, NoMemory
from evolve.revisions.patches import Patches
from evolve.revisions.project import Project
from evolve.revisions.recording_dbapi import (
    MOST_STATEMENTS,
    Account,
    Recorder,
    RecordingConnection,
    TooManyStatements,
)
from evolve.revisions.recording_dialect import recording_engine
from evolve.revisions.recording_operations import RecordingOperations
from evolve.revisions.reflection import Reflection
from evolve.revisions.shims import accept_old_idioms
from evolve.revisions.stub_shims import accept_stubs
from evolve.revisions.stubs import Importer, Stub, StubModule, UnknownValue
from evolve.revisions.unreached import unreached
from evolve.revisions.watchdog import TimedOut, within
from evolve.sql.steps import Mark, Recording

Direction = Literal["upgrade", "downgrade"]

# Alembic's `op` is one per process.
_one_at_a_time = threading.Lock()


def capture(
    project: Project,
    revisions: Sequence[RevisionFile],
    *,
    direction: Direction = "upgrade",
    time_limit: float = 10.0,
    reflect: Reflection | None = None,
    memory: Memory | None = None,
    beat: Callable[[], None] = lambda: None,
) -> list[Recording]:
    """Read `revisions` in the order given, as one run of Alembic would run them.

    A revision that fails, loops or does not load costs its own remainder only; the next goes on in the transaction in
    which it would have run.

    Args:
        time_limit: seconds for each revision, its imports included.
        reflect: answers questions about the schema; without it each is answered as by an empty database.
        memory: what it recalls is not read.
        beat: called before each reading; a revision may need several.
    """
    with _one_at_a_time:
        return _Reader(project, direction, time_limit, reflect, memory or NoMemory(), beat).read(revisions)


def account_of(database_url: str | None, *, asynchronous: bool = False) -> Account:
    """How the project's driver keeps account of transactions; from its URL, else from what is installed here.

    Args:
        asynchronous: env.py could use an asynchronous driver.
    """
    scheme = (database_url or "").partition("://")[0]
    driver = scheme.partition("+")[2]
    if driver:
        return Account.OWN if driver in ("psycopg2", "psycopg2cffi", "asyncpg") else Account.SERVER
    if database_url is None:
        drivers = ("psycopg2", "asyncpg") if asynchronous else ("psycopg2",)
        installed = any(find_spec(name) is not None for name in drivers)
        return Account.OWN if installed else Account.SERVER
    # A URL without a driver means psycopg2 until SQLAlchemy 2.1, psycopg since.
    with suppress(PackageNotFoundError, ValueError):
        major, minor = version("sqlalchemy").split(".")[:2]
        return Account.OWN if (int(major), int(minor)) < (2, 1) else Account.SERVER
    return Account.SERVER


@dataclass(frozen=True, slots=True)
class _Before:
    """Where a reading began: its open transaction, how many there had been, and the way back to its schema."""

    transaction: int | None
    transactions: int
    bring_back: Callable[[], None]


class _NothingToRun(Exception):
    def __init__(self, direction: str) -> None:
        super().__init__(f"it defines no {direction}()")


class _Reader:
    def __init__(
        self,
        project: Project,
        direction: Direction,
        time_limit: float,
        reflect: Reflection | None,
        memory: Memory,
        beat: Callable[[], None],
    ) -> None:
        self._memory = memory
        self._own: set[Path] = set()
        self._looked_at: set[str] = set()
        self._beat = beat
        self._project = project
        self._direction: Direction = direction
        self._time_limit = time_limit
        self._recorder = Recorder()
        self._recorder.told = reflect.sent if reflect is not None else None
        self._account = account_of(project.database_url, asynchronous=project.environment.asynchronous)
        self._reflect = reflect
        self._resume: int | None = None
        self._engine = recording_engine(self._recorder, self._account, reflect, self._resumed)

    def read(self, revisions: Sequence[RevisionFile]) -> list[Recording]:
        project = self._project
        self._importer = importer = Importer(
            own=(project.root,),
            sources=project.source_paths,
            beside=(project.script_directory, *project.version_directories),
        )
        guard = Guard(
            lambda: recording_engine(self._recorder, self._account, self._reflect),
            importer.is_own,
            lambda what: self._recorder.remark(Mark.SIDE_EFFECT, what),
        )
        with Patches() as patches:
            later = accept_old_idioms(patches, self._recorder, project.environment.given)
            later |= accept_libraries(patches)
            accept_stubs(patches, self._engine)
            with isolated(project, importer, guard, later):
                return self._read_all(revisions)

    def _read_all(self, revisions: Sequence[RevisionFile]) -> list[Recording]:
        recordings: list[Recording] = []
        left = deque(revisions)
        self._go_on(self._memory.start)
        recordings += self._recalled(left)
        while left:
            failed: tuple[RevisionFile, Recording, _Before] | None = None
            with self._run() as context:
                while left:
                    file = left.popleft()
                    before = self._before()
                    recording, sound = self._recorded(file, context)
                    if not sound:
                        failed = file, recording, before
                        break  # whatever it left behind, the next one gets a connection in order
                    recordings.append(self._learned(file, recording))
                    recalled = self._recalled(left)
                    if recalled:
                        recordings += recalled
                        break
            if failed is not None:
                recordings.append(self._learned(failed[0], self._read_again(*failed)))
                recordings += self._recalled(left)
        return recordings

    def _recalled(self, left: deque[RevisionFile]) -> list[Recording]:
        """Take what is remembered from the front of `left`; the next session goes on behind it."""
        recordings: list[Recording] = []
        while left and (recalled := self._memory.recall(left[0])) is not None:
            left.popleft()
            recording, after = recalled
            recordings.append(recording)
            self._go_on(after)
            if self._reflect is not None:
                for statement in recording.statements:
                    self._reflect.sent(statement)
        return recordings

    def _go_on(self, after: After) -> None:
        self._recorder.transactions = after.transactions
        self._resume = after.open

    def _learned(self, file: RevisionFile, recording: Recording) -> Recording:
        driver = self._driver_connection
        # A session that was given up leaves no more than its transaction.
        left_open = self._resume if driver.closed else self._left_open()
        after = After(self._recorder.transactions, left_open, driver.closed or driver.settled)
        self._memory.learn(file, recording, after, self._own_modules)
        return recording

    def _own_modules(self) -> list[Path]:
        """The files of the project's modules that revisions have loaded by now."""
        for name in sys.modules.keys() - self._looked_at:
            module = sys.modules[name]
            file = getattr(module, "__dict__", {}).get("__file__")
            if isinstance(file, str) and self._importer.is_own(file):
                self._own.add(Path(file))
            if not isinstance(module, StubModule):  # in whose place the module may come yet
                self._looked_at.add(name)
        return sorted(self._own)

    def _before(self) -> _Before:
        keep = self._reflect.keep if self._reflect is not None else None
        return _Before(
            self._driver_connection.transaction,
            self._recorder.transactions,
            keep() if keep is not None else lambda: None,
        )

    def _back_to(self, before: _Before, resume: int | None) -> None:
        before.bring_back()
        self._recorder.transactions = before.transactions
        self._resume = resume

    def _recorded(self, file: RevisionFile, context: MigrationContext) -> tuple[Recording, bool]:
        self._beat()
        self._recorder.start(file.path)
        sound = self._read_one(file, context)
        recording = self._recording(file)
        self._recorder.stop()
        return recording, sound

    def _read_again(self, file: RevisionFile, first: Recording, before: _Before) -> Recording:
        """Suppose something else where a reading failed; it stands all the same unless another comes to the end.

        A revision may need rows, which no empty database has, or an application that runs, which its source is not.
        """
        marks = {remark.mark for remark in first.remarks}
        if Mark.TIMED_OUT in marks:
            return first
        after = self._before()
        resume = self._resume
        suppositions: list[AbstractContextManager[None]] = [self._importer.without_application()]
        if marks & {Mark.READ_ROWS, Mark.READ_CATALOG}:
            suppositions.insert(0, nullcontext())
        self._recorder.made_up = lambda column: UnknownValue.named(f"row.{column}")
        try:
            for supposed in suppositions:
                self._back_to(before, before.transaction)
                with supposed, self._run() as context:
                    recording, sound = self._recorded(file, context)
                    if sound:
                        self._resume = self._left_open()
                        return recording
        finally:
            self._recorder.made_up = None
        self._back_to(after, resume)
        return first

    def _read_one(self, file: RevisionFile, context: MigrationContext) -> bool:
        """Read one revision in its transaction; False where connection and context may be left in disorder."""
        sound = True
        try:
            with context.begin_transaction(_per_migration=True):
                sound = self._upgrade(file)
        except Exception as error:  # noqa: BLE001  # what SQLAlchemy says of a transaction the revision ended itself
            if sound:
                self._recorder.remark(Mark.RAISED, f"at its end, {_said(error)}", line=0)
            sound = False
        if not sound:
            self._resume = self._left_open()
        return sound

    def _left_open(self) -> int | None:
        """The transaction that the next revision would have gone on in."""
        shared = not self._project.transaction_per_migration or self._outer
        return self._driver_connection.transaction if shared else None

    def _upgrade(self, file: RevisionFile) -> bool:
        recorder = self._recorder
        stage = Mark.NOT_LOADED
        source = b""

        def run() -> None:
            nonlocal stage
            with _loaded(file.path, source) as module:
                function = getattr(module, self._direction, None)
                if not callable(function):
                    raise _NothingToRun(self._direction)
                stage = Mark.RAISED
                with _touches(recorder):
                    calls = _calls(function, module, self._direction, self._project.databases)
                    for database, arguments in calls:
                        self._turn_to(database)
                        function(*arguments)

        self._turn_to(None)
        try:
            source = file.path.read_bytes() if file.text is None else file.text
            within(self._time_limit, run)
        except TimedOut as error:
            line = _line_of(error, file.path) or self._last_line()
            recorder.remark(Mark.TIMED_OUT, f"after {self._time_limit:g} s", line=line)
        except TooManyStatements:
            recorder.remark(Mark.TIMED_OUT, f"after {MOST_STATEMENTS:,} statements", line=self._last_line())
        except _NothingToRun as error:
            recorder.remark(Mark.NOT_LOADED, str(error), line=0)
            return True
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a revision may raise anything
            conflict = conflict_line(source) if isinstance(error, SyntaxError) else 0
            if conflict:
                recorder.remark(stage, CONFLICT, line=conflict)
            else:
                recorder.remark(stage, _said(error), line=_line_of(error, file.path))
        else:
            self._note_unreached(source)
            return True
        if stage is Mark.RAISED:
            self._note_unreached(source)
        return False

    def _turn_to(self, database: str | None) -> None:
        self._recorder.database = database
        if self._reflect is not None:
            self._reflect.turn_to(database)

    def _note_unreached(self, source: bytes) -> None:
        for call in unreached(source, self._direction, self._recorder.reached):
            self._recorder.remark(Mark.UNREACHED, call.name, line=call.line)

    def _last_line(self) -> int:
        statements = self._recorder.statements
        return statements[-1].place.line if statements else 0

    def _recording(self, file: RevisionFile) -> Recording:
        return Recording(
            revision=file.revision,
            down_revisions=file.down_revisions,
            file=file.path,
            statements=tuple(self._recorder.statements),
            remarks=tuple(sorted(self._recorder.remarks.values(), key=lambda remark: remark.place.line)),
            metadata=file.metadata,
        )

    # -- one run of Alembic -----------------------------------------------------------------------------
    @property
    def _outer(self) -> bool:
        return self._project.environment.outer_transaction is not None

    def _resumed(self) -> int | None:
        number, self._resume = self._resume, None
        return number

    @contextmanager
    def _run(self) -> Iterator[MigrationContext]:
        settings = self._project.environment
        self._connection = connection = self._engine.connect()
        self._driver_connection = _driver_connection(connection)
        if settings.outer_may_end:
            connection.exec_driver_sql("SELECT 1")  # nothing is being written down yet
        elif self._outer:
            connection.begin()
        environment = EnvironmentContext(_config(self._project), None)  # type: ignore[arg-type]  # no revision asks for it
        environment.configure(
            connection=connection,
            transaction_per_migration=settings.transaction_per_migration,
            transactional_ddl=settings.transactional_ddl,
            include_schemas=settings.include_schemas,
            version_table=settings.version_table,
            version_table_schema=settings.version_table_schema,
        )
        context = environment.get_context()
        context.opts = _Options(context.opts)
        if self._outer:
            self._autocommit_block = context.autocommit_block
            context.autocommit_block = self._refused_autocommit  # type: ignore[method-assign]
        operations = RecordingOperations(context, self._recorder)
        proxy = alembic.op.__dict__
        proxy["_proxy"] = operations
        proxy["migration_context"] = context
        proxy["impl"] = context.impl
        proxy["__getattr__"] = operations.__getattr__
        with environment:
            transaction = context.begin_transaction()
            transaction.__enter__()
            try:
                yield context
            finally:
                with suppress(Exception):
                    transaction.__exit__(None, None, None)
                with suppress(Exception):
                    connection.close()

    @contextmanager
    def _refused_autocommit(self) -> Iterator[None]:
        """Where `env.py` has a transaction open, Alembic's autocommit block fails; what is in it shows as meant."""
        if not self._connection.in_transaction():  # the revision has ended it
            with self._autocommit_block():
                yield
            return
        line = self._project.environment.outer_transaction
        self._recorder.remark(Mark.OUTER_TRANSACTION, f"env.py opens one on its line {line}")
        self._driver_connection.outside = True
        try:
            yield
        finally:
            self._driver_connection.outside = False


@contextmanager
def _loaded(path: Path, source: bytes) -> Iterator[ModuleType]:
    """Run one revision file as a module, under the name that Alembic gives it."""
    module = ModuleType(re.sub(r"\W", "_", path.name))
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102  # reading it is running it
        yield module
    finally:
        if before is None:
            sys.modules.pop(module.__name__, None)
        else:
            sys.modules[module.__name__] = before


@contextmanager
def _touches(recorder: Recorder) -> Iterator[None]:
    """Stubs count as touched while `upgrade()` runs, not while its file loads."""
    Stub.touched = lambda name: recorder.remark(Mark.TOUCHED_STUB, name)
    try:
        yield
    finally:
        Stub.touched = None


def _calls(
    function: Callable[..., object], module: ModuleType, direction: Direction, databases: Sequence[str]
) -> list[tuple[str | None, list[object]]]:
    """What `env.py` may hand to `upgrade()`, for each time it would call it, and the database that it would do so for.

    Only running it would tell more. The templates for several databases call `upgrade(engine_name)` for each, which
    calls `upgrade_NAME()`; Flask-Migrate's first database has the name "".
    """
    if isinstance(function, FunctionType) and not vars(function):
        code = function.__code__
        if code.co_argcount + code.co_kwonlyargcount == 0:
            return [(None, [])]  # as in nearly all revisions
    required = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    prefix = f"{direction}_"
    engines = [name.removeprefix(prefix) for name in vars(module) if name.startswith(prefix)]
    engines = [name for name in engines if name in databases] or engines
    if len(required) == 1 and required[0].name != "op" and (engines or databases):
        return [(engine, [engine]) for engine in engines or databases]
    arguments: list[object] = [
        alembic.op if parameter.name == "op" else Stub.named(f"argument {parameter.name}")
        for parameter in required
    ]
    return [(None, arguments)]


class _Options(dict[str, object]):
    """Options of the context; those that `env.py` would add are known only when it runs."""

    def __missing__(self, name: str) -> Stub:
        return Stub.named(f"context option {name}").use()


def _config(project: Project) -> Config:
    file = project.configuration
    toml = file.suffix == ".toml"
    config = Config(
        file_=None if toml else str(file), toml_file=str(file) if toml else None, ini_section=project.section
    )
    config.set_main_option("script_location", str(project.script_directory).replace("%", "%%"))
    return config


def _driver_connection(connection: Connection) -> RecordingConnection:
    driver: object = connection.connection.dbapi_connection
    if not isinstance(driver, RecordingConnection):
        raise TypeError(driver)
    return driver


def _line_of(error: BaseException, path: Path) -> int:
    """The innermost line of the file that the error came through."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == str(path)), 0)


def _said(error: BaseException) -> str:
    """The error in one line, without the statement that SQLAlchemy repeats."""
    text = " ".join(str(error).split("\n[SQL")[0].split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
