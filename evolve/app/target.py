"""Which database a command works on."""

from __future__ import annotations

import os
from collections.abc import Mapping

from evolve.errors import Misuse

_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE", "PGPORT", "PGUSER")


class NoDatabase(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "no database is named",
            fix="give --database-url postgresql://user@host/name, set EVOLVE_DATABASE_URL, [tool.evolve] database_url, "
            "sqlalchemy.url of the Alembic project, or libpq's PGHOST and PGDATABASE",
        )


def database_url(
    given: str | None,
    configured: str | None,
    alembic: str | None,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """The first that is named: the option (or EVOLVE_DATABASE_URL), `[tool.evolve]`, Alembic's own setting, PG*.

    Args:
        given: of --database-url, whose environment variable the command line has read already.
        configured: `database_url` of `[tool.evolve]`.
        alembic: `sqlalchemy.url` of the project, None where its env.py finds its URL by itself.

    Returns:
        A URL as the user wrote it; "" where libpq's own variables name the server.

    Raises:
        NoDatabase: nothing names one.
    """
    named = next((url for url in (given, configured, alembic) if url), None)
    if named is not None:
        return named
    if any(environment.get(name) for name in _LIBPQ):
        return ""
    raise NoDatabase
