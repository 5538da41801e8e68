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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal

import alembic.op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from evolve.revisions.guard import Guard
from evolve.revisions.history import RevisionFile
from evolve.revisions.isolation import isolated
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
from evolve.revisions.stubs import Importer, Stub
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
) -> list[Recording]:
    """Read `revisions` in the order given, as one run of Alembic would run them.

    A revision that fails, loops or does not load costs its own remainder only; the next goes on in the transaction in
    which it would have run.

    Args:
        time_limit: seconds for each revision, its imports included.
        reflect: answers questions about the schema; without it each is answered as by an empty database.
    """
    with _one_at_a_time:
        return _Reader(project, direction, time_limit, reflect).read(revisions)


def account_of(database_url: str | None) -> Account:
    """How the project's driver keeps account of transactions; from its URL, else from what is installed here."""
    scheme = (database_url or "").partition("://")[0]
    driver = scheme.partition("+")[2]
    if driver:
        return Account.OWN if driver in ("psycopg2", "psycopg2cffi", "asyncpg") else Account.SERVER
    if database_url is None:
        installed = any(find_spec(name) is not None for name in ("psycopg2", "asyncpg"))
        return Account.OWN if installed else Account.SERVER
    # A URL without a driver means psycopg2 until SQLAlchemy 2.1, psycopg since.
    with suppress(PackageNotFoundError, ValueError):
        major, minor = version("sqlalchemy").split(".")[:2]
        return Account.OWN if (int(major), int(minor)) < (2, 1) else Account.SERVER
    return Account.SERVER


class _NothingToRun(Exception):
    def __init__(self, direction: str) -> None:
        super().__init__(f"it defines no {direction}()")


class _Reader:
    def __init__(
        self, project: Project, direction: Direction, time_limit: float, reflect: Reflection | None
    ) -> None:
        self._project = project
        self._direction = direction
        self._time_limit = time_limit
        self._recorder = Recorder()
        self._recorder.told = reflect.sent if reflect is not None else None
        self._account = account_of(project.database_url)
        self._reflect = reflect
        self._resume: int | None = None
        self._engine = recording_engine(self._recorder, self._account, reflect, self._resumed)

    def read(self, revisions: Sequence[RevisionFile]) -> list[Recording]:
        project = self._project
        importer = Importer(
            own=(project.root, project.script_directory, *project.version_directories),
            sources=project.source_paths,
        )
        guard = Guard(lambda: recording_engine(self._recorder, self._account, self._reflect))
        with Patches() as patches:
            later = accept_old_idioms(patches, self._recorder)
            with isolated(project, importer, guard, later):
                return self._read_all(revisions)

    def _read_all(self, revisions: Sequence[RevisionFile]) -> list[Recording]:
        recordings: list[Recording] = []
        left = list(revisions)
        while left:
            with self._run() as context:
                while left:
                    file = left.pop(0)
                    self._recorder.start(file.path)
                    sound = self._read_one(file, context)
                    recordings.append(self._recording(file))
                    self._recorder.stop()
                    if not sound:
                        break  # whatever it left behind, the next one gets a connection in order
        return recordings

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
            open_transaction = not self._project.transaction_per_migration or self._outer
            self._resume = self._driver_connection.transaction if open_transaction else None
        return sound

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
                    function(*_arguments(function))

        try:
            source = file.path.read_bytes()
            within(self._time_limit, run)
        except TimedOut:
            recorder.remark(Mark.TIMED_OUT, f"after {self._time_limit:g} s", line=self._last_line())
        except TooManyStatements:
            recorder.remark(Mark.TIMED_OUT, f"after {MOST_STATEMENTS:,} statements", line=self._last_line())
        except _NothingToRun as error:
            recorder.remark(Mark.NOT_LOADED, str(error), line=0)
            return True
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a revision may raise anything
            recorder.remark(stage, _said(error), line=_line_of(error, file.path))
        else:
            self._note_unreached(source)
            return True
        if stage is Mark.RAISED:
            self._note_unreached(source)
        return False

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
        connection = self._engine.connect()
        self._driver_connection = _driver_connection(connection)
        if self._outer:
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
        if self._outer:
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
        """Where `env.py` has a transaction open, Alembic's autocommit block fails; what is in it shows all the same."""
        line = self._project.environment.outer_transaction
        self._recorder.remark(
            Mark.RAISED,
            f"autocommit_block() fails inside the transaction that env.py opens on its line {line}",
        )
        yield


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


def _arguments(function: Callable[..., object]) -> list[object]:
    """`env.py` may hand further arguments to `upgrade()`; what they are only running it would tell."""
    arguments: list[object] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        arguments.append(alembic.op if parameter.name == "op" else Stub.named(f"argument {parameter.name}"))
    return arguments


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
