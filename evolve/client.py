"""Tell the database which version of an application runs, and which tables and columns it maps.

One line where the engine is made:

    evolve.client.register(engine, version="2026.11.3", models=Base)

From then on a thread of its own says every few seconds that this process is alive, over a connection that it opens for
that and closes again; what a live version maps is not taken away, neither by `evolve advance` nor by the revisions that
it has written. Where the database has no registry, see `evolve registry install`, it looks again later. What goes wrong
here is logged as "evolve.client" at level DEBUG; nothing of it is raised into the application, nor makes it wait.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from typing import Any

    # Statements with their values go out, the first value of each answer comes back.
    Talk = Generator[tuple[str, tuple[str | None, ...]], object, None]
    Places = dict[tuple[str | None, str], set[str] | None]  # (schema, relation) → columns; None: all of them

log = logging.getLogger("evolve.client")

INTERVAL = 15.0
_MISSED = 4  # heartbeats that may fail before a version counts as dead
_STUCK = 3  # heartbeats that may hang, on a server that is gone, before no more are begun
_PATIENCE = 30.0  # seconds that a heartbeat may take
_FAREWELL = 1.0  # seconds that the end of the process waits for it at most
_KINDS = 10  # of denials that one heartbeat tells
_NAMELESS = "app"
_NAME_BYTES = 63  # of application_name; PostgreSQL cuts the rest
_MAPPING_BYTES = 1_000_000  # a little less than the registry takes
_DENIED = frozenset(
    {"42501", "42703", "42P01"}
)  # a privilege, a column or a relation that is not there any more

# No error, which the server's log would repeat every few seconds, on a standby, or where there is no registry for us.
_READY = (
    "SELECT current_setting('transaction_read_only') = 'off' AND has_schema_privilege(n.oid, 'USAGE')"
    " AND has_function_privilege(p.oid, 'EXECUTE')"
    " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
    " WHERE n.nspname = 'evolve_client' AND p.proname = 'heartbeat'"
)
_HEARTBEAT = "SELECT evolve_client.heartbeat({0}, {1}, current_schemas(false))"
_GOODBYE = "SELECT evolve_client.farewell({0})"


def register(
    engine: Any,
    *,
    version: str,
    models: Any = (),
    maps: Mapping[str, Iterable[str] | None] | None = None,
    application: str = "",
    interval: float = INTERVAL,
    lives: float | None = None,
) -> Heart:
    """Tell the database of `engine` that this version runs, and name its connections `application@version`.

    It begins with the first connection that the application makes, in each process.

    Args:
        engine: of SQLAlchemy, sync or async, for PostgreSQL; any other is left alone, as that of a test.
        version: as a person names it; at most 40 characters.
        models: declarative base, registry or MetaData, or several. What is mapped later is told later. Without them
            and without `maps` the version counts as mapping everything.
        maps: what hand-written SQL uses beside them: "table" or "schema.table" → its columns, None for all of them.
        application: its name; that of its connections (application_name) where none is given.
        interval: seconds between heartbeats, a fifth more or less.
        lives: seconds for which it counts as deployed after its last heartbeat, also where it has ended well: for jobs
            that only run now and then. Otherwise four intervals, or until it ends.
    """
    heart = Heart(version, lambda: _mapped(models, maps), application, interval, lives)
    try:
        sync = getattr(engine, "sync_engine", engine)
        if sync.dialect.name == "postgresql":
            _attach(heart, sync)
    except Exception:
        log.debug("not registered", exc_info=True)
    return heart


def heartbeat(
    connect: Callable[[], Any],
    *,
    version: str,
    maps: Mapping[str, Iterable[str] | None],
    application: str = "",
    interval: float = INTERVAL,
    lives: float | None = None,
) -> Heart:
    """The same for code without SQLAlchemy.

    Args:
        connect: opens a connection: of psycopg, psycopg2 or another driver of the DB-API, or a coroutine of asyncpg.
        version: as a person names it; at most 40 characters.
        maps: what the code uses: "table" or "schema.table" → its columns, None for all of them.
        application: its name.
        interval: seconds between heartbeats, a fifth more or less.
        lives: as for `register`.
    """
    heart = Heart(version, lambda: _mapped((), maps), application, interval, lives)
    try:
        heart.transact = _through(connect)
        heart.start()
        os.register_at_fork(after_in_child=heart.start_again)
    except Exception:
        log.debug("not registered", exc_info=True)
    return heart


def name(application: str, version: str) -> str:
    """The application_name of a connection, within PostgreSQL's 63 bytes; the version is kept whole."""
    mark = f"@{_version(version)}"
    room = _NAME_BYTES - len(mark.encode())
    return application.removesuffix(mark).encode()[:room].decode(errors="ignore") + mark


class Heart:
    """What tells the database that this process is alive."""

    def __init__(
        self,
        version: str,
        mapped: Callable[[], Places],
        application: str = "",
        interval: float = INTERVAL,
        lives: float | None = None,
    ) -> None:
        self.version = _version(version)
        self.application = application
        self.transact: Callable[[Talk], None] | None = None
        self._mapped = mapped
        self._interval = max(float(interval), 0.1)
        self._lives = lives
        self._process = 0  # whose thread it is: a fork takes none along
        self._starting = threading.Lock()

    def start(self) -> None:
        """Begin; once in each process, however often it is called."""
        if self._process == os.getpid():
            return
        if self._process:
            self._starting = threading.Lock()  # another thread may have held it when the process was forked
        with self._starting:
            if self._process == os.getpid():
                return
            self._instance = os.urandom(16).hex()
            self._counting = threading.Lock()
            self._denials: dict[tuple[str, str], int] = {}
            self._wake, self._leaving, self._left = threading.Event(), threading.Event(), threading.Event()
            self._spoke = False
            self._text = self._digest = ""
            self._process = os.getpid()
            atexit.register(self.leave)
            threading.Thread(target=self._live, name="evolve-heart", daemon=True).start()

    def start_again(self) -> None:
        """Begin in a process that was forked, unless it had ended before."""
        if not self._leaving.is_set():
            self.start()

    def leave(self) -> None:
        """End: this instance counts as gone from now on. Waits a second at most."""
        if self._process == os.getpid() and not self._leaving.is_set():
            self._leaving.set()
            self._wake.set()
            self._left.wait(_FAREWELL)

    def stop(self) -> None:
        """End without a word."""
        if self._process == os.getpid():
            atexit.unregister(self.leave)
            self._leaving.set()
            self._wake.set()

    def denied(self, error: BaseException | None) -> None:
        """Count an error of the driver, where it says that a privilege, a column or a relation is not there."""
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if state not in _DENIED or self._process != os.getpid():
            return
        message = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
        self._count({(str(state), (message.splitlines() or [""])[0][:200]): 1})
        self._wake.set()  # somebody may be watching for it

    def _count(self, denials: Mapping[tuple[str, str], int]) -> None:
        with self._counting:
            for key, count in denials.items():
                if key in self._denials or len(self._denials) < _KINDS:
                    self._denials[key] = self._denials.get(key, 0) + count

    # -- its thread -----------------------------------------------------------------------------------------
    def _live(self) -> None:
        beats: list[threading.Thread] = []
        pause = random.uniform(0, min(1.0, self._interval))  # noqa: S311 - fifty processes start at once
        while True:
            if self._wake.wait(pause):
                self._wake.clear()
                self._leaving.wait(1.0)  # errors come in crowds
            if self._leaving.is_set():
                break
            beats = [beat for beat in beats if beat.is_alive()]
            if len(beats) < _STUCK:
                beat = threading.Thread(target=self._beat, name="evolve-heartbeat", daemon=True)
                try:
                    beat.start()
                    beats.append(beat)
                except RuntimeError:
                    log.debug("no thread for a heartbeat", exc_info=True)
            pause = self._interval * random.uniform(0.8, 1.2)  # noqa: S311 - not to beat together
        for beat in beats:
            beat.join(_FAREWELL / 2)  # else it could speak after the goodbye
        if self._spoke and self._lives is None:
            self._try(self._farewell())
        self._left.set()

    def _beat(self) -> None:
        with self._counting:
            denials, self._denials = self._denials, {}
        self._read()
        told: list[bool] = []
        self._try(self._heartbeat(denials, told))
        if told:
            self._spoke = True
        else:
            self._count(denials)

    def _try(self, talk: Talk) -> None:
        try:
            if self.transact is not None:
                self.transact(talk)
        except Exception:
            log.debug("not told", exc_info=True)

    def _heartbeat(self, denials: Mapping[tuple[str, str], int], told: list[bool]) -> Talk:
        if (yield _READY, ()) is not True:
            return
        known = yield _HEARTBEAT, (self._said(denials), None)
        if known is not True and self._text:
            yield _HEARTBEAT, (self._said({}), self._text)
        told.append(True)

    def _farewell(self) -> Talk:
        yield _GOODBYE, (self._instance,)

    def _read(self) -> None:
        try:
            text = _text(self._mapped())
        except Exception:  # a module is being imported meanwhile, or these are no models
            log.debug("models not read", exc_info=True)
            return
        if text != self._text:
            import hashlib

            self._digest, self._text = hashlib.sha256(text.encode()).hexdigest(), text

    def _said(self, denials: Mapping[tuple[str, str], int]) -> str:
        import json
        import socket

        told = {
            "instance": self._instance,
            "application": self.application or _NAMELESS,
            "version": self.version,
            "process": f"{socket.gethostname()}:{os.getpid()}",
            "digest": self._digest,
            "lives": self._lives if self._lives is not None else _MISSED * self._interval,
            "denied": [
                {"sqlstate": state, "message": message, "count": count}
                for (state, message), count in denials.items()
            ],
        }
        return json.dumps(told).replace("\\u0000", "")


# -- what is mapped -----------------------------------------------------------------------------------------
def _mapped(models: Any, maps: Mapping[str, Iterable[str] | None] | None) -> Places:
    if models == () and maps is None:
        raise TypeError("neither models nor maps: nobody knows what this version maps")
    places: Places = {}
    for relation, columns in (maps or {}).items():
        schema, _, table = relation.rpartition(".")
        places[schema or None, table] = None if columns is None else set(columns)
    for model in models if isinstance(models, (list, tuple, set, frozenset)) else (models,):
        _add_models(places, model)
    return places


def _add_models(places: Places, model: Any) -> None:
    """Add what `model`, a declarative base, registry or MetaData, maps.

    Nothing here makes SQLAlchemy configure its mappers: while modules are being imported, that would fail for good.
    """
    registry = model if hasattr(model, "mappers") else getattr(model, "registry", None)
    metadata = model if hasattr(model, "tables") else getattr(model, "metadata", None)
    if registry is None and metadata is None:
        raise TypeError(f"{model!r} is no declarative base, registry or MetaData")
    told = set()
    for mapper in list(registry.mappers) if registry is not None else ():
        columns = [*mapper.columns, *mapper.primary_key]
        columns += [mapper.inherit_condition, mapper.polymorphic_on, mapper.version_id_col]
        if mapper.persist_selectable not in mapper.tables:
            columns.append(mapper.persist_selectable)
        for table in mapper.tables:
            told.add(table)
            _columns_of(places, table)
        for column in columns:
            _add_columns(places, column)
    # Association tables, and those that are used without a class.
    for table in list(metadata.tables.values()) if metadata is not None else ():
        if table not in told:
            _add_columns(places, *table.columns)


def _add_columns(places: Places, *expressions: Any) -> None:
    """Add the columns of tables that these expressions use."""
    from sqlalchemy import Table
    from sqlalchemy.sql.visitors import iterate

    for expression in expressions:
        for each in iterate(expression) if expression is not None else ():
            for column in getattr(each, "base_columns", ()):
                table = getattr(column, "table", None)
                if isinstance(table, Table):
                    found = _columns_of(places, table)
                    if found is not None:
                        found.add(str(column.name))


def _columns_of(places: Places, table: Any) -> set[str] | None:
    schema = None if table.schema is None else str(table.schema)
    return places.setdefault((schema, str(table.name)), set())


def _text(places: Places) -> str:
    import json

    def written(*, columns: bool) -> str:
        rows = [
            [schema, relation, sorted(names) if columns and names is not None else None]
            for (schema, relation), names in sorted(
                places.items(), key=lambda each: (each[0][0] or "", each[0][1])
            )
        ]
        return json.dumps(rows, separators=(",", ":"))

    text = written(columns=True)
    return text if len(text) < _MAPPING_BYTES else written(columns=False)


def _version(version: object) -> str:
    """As it can be written: an application is not stopped for the want of a variable that should hold it."""
    plain = str(version or "").encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in plain).strip()[:40] or "unknown"


# -- SQLAlchemy ---------------------------------------------------------------------------------------------
def _attach(heart: Heart, engine: Any) -> None:
    import weakref

    from sqlalchemy import event

    def mark(dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        try:
            _mark(heart, dialect.driver, options)
        except Exception:
            log.debug("connection not marked", exc_info=True)

    def connected(_connection: Any, _record: Any) -> None:
        try:
            heart.start()
        except Exception:
            log.debug("no heart", exc_info=True)

    def failed(context: Any) -> None:
        try:
            heart.denied(context.original_exception)
        except Exception:
            log.debug("error not counted", exc_info=True)

    heart.transact = _through_engine(engine)
    # Not before the application has connected: whoever does it first sets the dialect up, which others rely on.
    if getattr(engine.dialect, "server_version_info", None) is not None:
        heart.start()
    event.listen(engine, "do_connect", mark)
    event.listen(engine, "connect", connected)
    event.listen(engine, "handle_error", failed)
    # An engine that nobody has any more, as that of a test, keeps no thread.
    weakref.finalize(engine, heart.stop).atexit = False


def _mark(heart: Heart, driver: str, options: dict[str, Any]) -> None:
    """Put the version behind the name that the application gives its connections."""
    settings = options
    if driver == "asyncpg":
        settings = options["server_settings"] = dict(options.get("server_settings") or {})
    elif driver not in ("psycopg", "psycopg_async", "psycopg2", "pg8000"):
        return
    if "application_name" in str(options.get("options", "")):
        return  # set in a way that ours would override
    own = (
        settings.get("application_name")
        or os.environ.get("PGAPPNAME")
        or options.get("fallback_application_name")
    )
    if own and not heart.application:
        heart.application = str(own).removesuffix(f"@{heart.version}")[:64]
    settings["application_name"] = name(str(own or heart.application or _NAMELESS), heart.version)


def _through_engine(engine: Any) -> Callable[[Talk], None]:
    """Connections that are made as the application's are, and that its pool does not count."""
    import weakref

    placeholder = "${}" if engine.dialect.paramstyle == "numeric_dollar" else "%s"
    is_async = engine.dialect.is_async
    known = weakref.ref(engine)

    def transact(talk: Talk) -> None:
        engine = known()
        if engine is None or _shares(engine):
            return
        pool = engine.pool.recreate()
        try:
            connection = pool.connect()
            try:
                _talk(connection, talk, placeholder)
            except BaseException:
                connection.invalidate()  # else the pool would log that it cannot roll back
                raise
            connection.close()
        finally:
            pool.dispose()

    def transact_async(talk: Talk) -> None:
        import asyncio

        from sqlalchemy.util import greenlet_spawn

        asyncio.run(asyncio.wait_for(greenlet_spawn(transact, talk), _PATIENCE))

    return transact_async if is_async else transact


def _shares(engine: Any) -> bool:
    """Whether each new connection may be the very one that the application works with: a `creator` hands it out."""
    from sqlalchemy.pool import StaticPool

    own = getattr(getattr(engine.pool, "_creator", None), "__module__", "")
    return isinstance(engine.pool, StaticPool) and own != "sqlalchemy.engine.create"


# -- drivers ------------------------------------------------------------------------------------------------
def _through(connect: Callable[[], Any]) -> Callable[[Talk], None]:
    def transact(talk: Talk) -> None:
        connection = connect()
        if hasattr(connection, "__await__"):
            import asyncio

            asyncio.run(asyncio.wait_for(_talk_async(connection, talk), _PATIENCE))
            return
        try:
            _talk(connection, talk, "%s")
        finally:
            connection.close()

    return transact


def _talk(connection: Any, talk: Talk, placeholder: str) -> None:
    """Over a connection of the DB-API."""
    cursor = connection.cursor()
    row: Any = None
    try:
        while True:
            statement, values = talk.send(row and row[0])
            cursor.execute(_numbered(statement, placeholder), values)
            row = cursor.fetchone()
    except StopIteration:
        connection.commit()
    finally:
        cursor.close()


async def _talk_async(connecting: Any, talk: Talk) -> None:
    """Over a connection of asyncpg; each statement commits alone."""
    connection = await connecting
    answer = None
    try:
        while True:
            statement, values = talk.send(answer)
            answer = await connection.fetchval(_numbered(statement, "${}"), *values)
    except StopIteration:
        pass
    finally:
        await connection.close()


def _numbered(statement: str, placeholder: str) -> str:
    return statement.format(*(placeholder.format(number) for number in (1, 2)))
