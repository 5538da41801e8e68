"""Open connections, and turn what the driver says into errors a person can act on."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import conninfo

from evolve.errors import Misuse

Connection = psycopg.Connection[tuple[object, ...]]


class CannotConnect(Misuse):
    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"cannot connect to {redact(url)}: {reason}",
            fix="check host, port, user and password in --database-url, EVOLVE_DATABASE_URL or sqlalchemy.url",
        )


class BadUrl(Misuse):
    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"the database URL {redact(url)} cannot be read: {reason}",
            fix="write it as postgresql://user@host:5432/database",
        )


def libpq_url(url: str) -> str:
    """Turn SQLAlchemy's forms (`postgresql+psycopg://`, `+asyncpg`, `postgres://`) into the one libpq reads."""
    scheme, sep, rest = url.partition("://")
    if not sep:
        return url  # a libpq key/value string, or empty: PG* variables
    dialect = scheme.split("+")[0]
    if dialect not in ("postgresql", "postgres"):
        raise BadUrl(url, f'"{scheme}" is not PostgreSQL')
    return f"postgresql://{rest}"


def redact(url: str) -> str:
    """The URL without its password, for messages."""
    if not url:
        return "the server of the PG* variables"
    if "://" not in url:
        return re.sub(r"(password\s*=\s*)('[^']*'|\S+)", r"\1***", url)
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")
        user = host[0].split(":")[0]
        query = re.sub(r"(password=)[^&]*", r"\1***", parts.query)
        return urlunsplit((parts.scheme, f"{user}@{host[2]}" if user else host[2], parts.path, query, ""))
    except ValueError:
        return "postgresql://…"


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
        raise BadUrl(url, _sentence(error)) from error
    settings = {"application_name": application_name, "connect_timeout": "10", **given}
    try:
        return psycopg.connect(conninfo.make_conninfo("", **settings), autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise CannotConnect(url, _sentence(error)) from error


def _sentence(error: psycopg.Error) -> str:
    """The last thing libpq said, on one line, without its prefixes."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = next((line for line in lines if "FATAL" in line or "failed" in line or "could not" in line), "")
    text = text or (lines[0] if lines else type(error).__name__)
    return re.sub(r"^.*?(FATAL|ERROR):\s*", "", text)
