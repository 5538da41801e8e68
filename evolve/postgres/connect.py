"""Open connections, and turn what the driver says into errors a person can act on."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import quote, unquote

import psycopg
from psycopg import conninfo, sql
from psycopg.abc import Params, Query
from psycopg.rows import Row

from evolve.errors import Misuse

Connection = psycopg.Connection[tuple[object, ...]]

# Behind each of our statements, where every server keeps it: what reads pg_stat_statements tells them apart by it.
OWN = "/* evolve */"
_MARK = f"\n{OWN}".encode()


class CannotConnect(Misuse):
    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"cannot connect to {redact(url)}: {reason}",
            fix="check host, port, user and password in --database-url, EVOLVE_DATABASE_URL or sqlalchemy.url",
        )


class BadUrl(Misuse):
    def __init__(self, url: str, reason: str, fix: str | None = None) -> None:
        super().__init__(
            f"the database URL {redact(url)} cannot be read: {reason}",
            fix=fix or "write it as postgresql://user@host:5432/database",
        )


_SCHEME = re.compile(r"([^\s=]*?)://")  # settings written as key=value may hold :// too
# User and password as SQLAlchemy reads them: a "/" in a password is part of it, where libpq would see a database.
_USER_AND_PASSWORD = re.compile(r"(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@(?P<rest>.*)", re.DOTALL)


def libpq_url(url: str) -> str:
    """Turn SQLAlchemy's forms (`postgresql+psycopg://`, `+asyncpg`, `postgres://`) into the one libpq reads.

    Raises:
        BadUrl: it is for another kind of database, or its password holds an @ that is not written as %40.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return url  # a libpq key/value string, or empty: PG* variables
    if scheme[1].split("+")[0] not in ("postgresql", "postgres"):
        raise BadUrl(url, f'"{scheme[1]}" is not PostgreSQL')
    rest = url[scheme.end() :]
    found = _USER_AND_PASSWORD.match(rest)
    if found is None or _libpq_agrees(rest):
        return f"postgresql://{rest}"
    if "@" in found["rest"].split("?")[0]:
        raise BadUrl(
            url,
            "it has more than one @",
            fix="write an @ in a user name as %40, and in a password @ as %40, : as %3A, / as %2F",
        )
    user, password = (quote(unquote(part or ""), safe="") for part in (found["user"], found["password"]))
    return f"postgresql://{user}{':' if password else ''}{password}@{found['rest']}"


def _libpq_agrees(rest: str) -> bool:
    """True where libpq reads what stands behind :// as it was meant."""
    try:
        read = conninfo.conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.Error:
        return False
    ports = str(read.get("port") or "").split(",")
    misread = "@" in f"{read.get('host') or ''}{read.get('dbname') or ''}"
    return not misread and all(not port or port.isdecimal() for port in ports)


def redact(url: str) -> str:
    """The URL without its password, for messages; rather less of it than a part of the password."""
    text = " ".join(url.split())
    if not text:
        return "the server of the PG* variables"
    scheme = _SCHEME.match(text)
    # In key=value settings a blank may belong to a password that nobody has quoted.
    text = re.sub(r"(?i)(password\s*=)" + ("[^&]*" if scheme else ".*"), r"\1***", text)
    start = scheme.end() if scheme else 0
    # All up to the last @ may be a password that nobody has encoded; the user's name ends at the first colon.
    before, at, place = text[start:].rpartition("@")
    user = re.split("[:/?]", before)[0]
    return f"{text[:start]}{user}{at}{place}"


def connect(url: str, *, application_name: str = "evolve", autocommit: bool = False) -> Connection:
    """Open a connection to `url`; an empty one means libpq's PG* variables.

    Raises:
        BadUrl: it is not a PostgreSQL URL.
        CannotConnect: the server is down, refuses the password, or has no such database.
    """
    target = libpq_url(url)
    try:
        # A caller's own application_name in the URL wins; a server that never answers is an error, not a wait.
        given = conninfo.conninfo_to_dict(target)
    except psycopg.Error as error:
        # libpq quotes what it does not understand, which can be the password.
        reason = re.sub(r'(token: |found in |after |option (?=".*[@:]))".*"', r'\1"…"', _sentence(error))
        raise BadUrl(url, reason) from error
    settings = {"application_name": application_name, "connect_timeout": "10", **given}
    # Whatever the role or the database has set: names come as text, and with all their letters.
    settings["client_encoding"] = "utf8"
    try:
        return psycopg.connect(
            conninfo.make_conninfo("", **settings), autocommit=autocommit, cursor_factory=_OwnCursor
        )
    except psycopg.OperationalError as error:
        raise CannotConnect(url, _sentence(error)) from error


class _OwnCursor(psycopg.Cursor[Row]):
    """Marks what it sends as ours."""

    def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        # A line of its own: the last of the statement may end in a comment.
        if isinstance(query, sql.Composable):
            text = query.as_bytes(self)
        elif isinstance(query, str):
            text = query.encode()
        elif isinstance(query, bytes):
            text = query
        else:
            raise TypeError("template strings are not sent here")
        return super().execute(text + _MARK, params, prepare=prepare, binary=binary)


def _sentence(error: psycopg.Error) -> str:
    """The last thing libpq said, on one line, without its prefixes."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = next((line for line in lines if "FATAL" in line or "failed" in line or "could not" in line), "")
    text = text or (lines[0] if lines else type(error).__name__)
    return re.sub(r"^.*?(FATAL|ERROR):\s*", "", text)
