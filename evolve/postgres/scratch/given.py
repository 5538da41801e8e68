"""Use a server that somebody else runs: databases are made in it, and dropped."""

from __future__ import annotations

import contextlib
import secrets

import psycopg
from psycopg import sql

from evolve.postgres.connect import Connection, connect

# A database belongs to the session whose application_name holds the same token; when no such session is there
# its owner is gone. This holds across machines, where neither locks on files nor process ids would.
_DATABASES = "evolve_scratch_"
_SESSION = "evolve scratch "
_KEPT = "kept by evolve"


class Lease:
    """The right to make databases on a given server, held by an open session: its end is the owner's."""

    def __init__(self, admin: Connection, token: str) -> None:
        self.admin = admin
        self._token = token

    def database_name(self) -> str:
        return f"{_DATABASES}{self._token}_{secrets.token_hex(4)}"

    def keep(self, database: str) -> None:
        """Mark `database` as left on purpose, for `lease` of later processes."""
        # Locks the database's catalog entry against drop and rename for an instant.
        self.admin.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), sql.Literal(_KEPT))
        )


def lease(url: str) -> Lease:
    """Connect to `url`, and drop what crashed owners left there.

    Raises:
        CannotConnect, BadUrl: as `connect`.
    """
    token = secrets.token_hex(4)
    admin = connect(url, application_name=f"{_SESSION}{token}", autocommit=True)
    # No lock: a setting of this session. An idle session must stay, or its databases look abandoned.
    admin.execute("SELECT set_config('idle_session_timeout', '0', false)")
    _drop_abandoned(admin)
    return Lease(admin, token)


def _drop_abandoned(admin: Connection) -> None:
    # Reads catalogs only. Databases of other roles are left alone: we cannot see their sessions.
    rows = admin.execute(
        """
        SELECT d.datname
          FROM pg_database AS d
         WHERE starts_with(d.datname, %(databases)s)
           AND pg_get_userbyid(d.datdba) = current_user
           AND shobj_description(d.oid, 'pg_database') IS DISTINCT FROM %(kept)s
           AND NOT EXISTS (
                 SELECT FROM pg_stat_activity AS a
                  WHERE a.usename = current_user
                    AND a.application_name = %(session)s || split_part(d.datname, '_', 3))
        """,
        {"databases": _DATABASES, "kept": _KEPT, "session": _SESSION},
    ).fetchall()
    for (name,) in rows:
        # Somebody may be in it under a role that we may not disconnect: then it is theirs to drop.
        with contextlib.suppress(psycopg.Error):
            # Locks a database that nobody owns any more; IF EXISTS because another process may sweep as well.
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(str(name)))
            )
