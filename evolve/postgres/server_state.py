"""Reads what decides whether a live server is ready for pending revisions; writes nothing, and waits for nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import LiteralString, cast

from psycopg import sql

from evolve.lint.readiness import Server, Session, Slot
from evolve.postgres.connect import Connection
from evolve.postgres.publications import of_all_tables
from evolve.postgres.sensors.replica_lag import lag_bytes
from evolve.redaction import legible, shown
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.privileges import Privilege

LOCK_TIMEOUT = 1_000  # milliseconds
STATEMENT_TIMEOUT = 60_000


def read_only_because(connection: Connection) -> str | None:
    """Why no transaction may write here; None where one may."""
    # No lock.
    row = connection.execute(
        "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')"
    ).fetchone()
    if row is not None and row[0] is True:
        return "this server is a standby"
    return "default_transaction_read_only is on" if row is not None and row[1] == "on" else None


def read_server(connection: Connection, privileges: Iterable[Privilege], *, read_only: str | None) -> Server:
    """Look at the server once, in one transaction that writes nothing and neither waits nor works for long.

    Needs no privilege beyond that of connecting; what the role may not see is counted in `Server.hidden`.

    Args:
        connection: in autocommit mode.
        privileges: that are asked about.
        read_only: as `Server.read_only_because`.
    """
    with connection.transaction():
        # SET LOCAL by function: takes no lock, and nothing outlives the transaction.
        connection.execute(
            "SELECT set_config('transaction_read_only', 'on', true), set_config('lock_timeout', %s::text, true),"
            " set_config('statement_timeout', %s::text, true)",
            (LOCK_TIMEOUT, STATEMENT_TIMEOUT),
        )
        return _read(connection, privileges, read_only)


def _read(connection: Connection, privileges: Iterable[Privilege], read_only: str | None) -> Server:
    # Catalogs and shared memory only, no lock on a table of users; the same below.
    row = connection.execute(
        """
        SELECT current_user, u.rolsuper, pg_has_role('pg_signal_backend', 'USAGE'),
               least(2147483648 - age(d.datfrozenxid), 2147483648 - mxid_age(d.datminmxid))::bigint,
               current_setting('autovacuum_freeze_max_age')::bigint
          FROM pg_database d, pg_roles u WHERE d.datname = current_database() AND u.rolname = current_user
        """
    ).fetchone()
    role, superuser, may_signal, left, freeze_age = cast("tuple[str, bool, bool, int, int]", row)
    sessions, freezing = _sessions(connection)
    return Server(
        version=connection.info.server_version // 10_000,
        role=role,
        read_only_because=read_only,
        missing=() if superuser else _missing(connection, role, tuple(dict.fromkeys(privileges))),
        sessions=(*sessions, *_prepared(connection)),
        hidden=_hidden(connection),
        freezing=freezing,
        transactions_left=left,
        freeze_age=freeze_age,
        slots=_slots(connection),
        lag=None if read_only == "this server is a standby" else lag_bytes(connection),
        tablespaces=_tablespaces(connection),
        may_end=superuser or may_signal,
        all_tables=of_all_tables(connection),
        sent=_sent(connection),
    )


_HELD = sql.SQL(
    """
    ARRAY(SELECT ARRAY[n.nspname::text, c.relname::text, l.mode]
            FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE l.locktype = 'relation' AND l.granted AND c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_'
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND {by})
    """
)


def _sessions(connection: Connection) -> tuple[tuple[Session, ...], frozenset[QualifiedName]]:
    """Open transactions of others, oldest first; and the tables that autovacuum keeps from wraparound."""
    rows = connection.execute(
        sql.SQL(
            """
        SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(a.state, ''),
               extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
               left(split_part(ltrim(coalesce(a.query, '')), E'\\n', 1), 80), coalesce(a.backend_type, ''),
               coalesce(a.datname = current_database(), false), a.backend_xmin IS NOT NULL,
               coalesce(a.query, '') LIKE '%(to prevent wraparound)', {held}
          FROM pg_stat_activity a
         WHERE a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid() AND a.backend_type <> 'walsender'
         ORDER BY a.xact_start
            """
        ).format(held=_HELD.format(by=sql.SQL("l.pid = a.pid")))
    ).fetchall()
    found: list[Session] = []
    freezing: set[QualifiedName] = set()
    for pid, user, application, state, seconds, query, kind, here, snapshot, wraparound, held in rows:
        session = Session(
            pid=cast("int", pid),
            user=str(user),
            application=str(application),
            state=str(state),
            seconds=cast("float", seconds),
            what=shown(str(query)),
            kind=str(kind),
            here=bool(here),
            snapshot=bool(snapshot),
            holds=_held(held),
        )
        found.append(session)
        if wraparound and session.kind == "autovacuum worker":
            freezing.update(session.holds)
    return tuple(found), frozenset(freezing)


def _prepared(connection: Connection) -> Sequence[Session]:
    rows = connection.execute(
        sql.SQL(
            """
            SELECT p.gid, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::float8,
                   p.database = current_database(), {held}
              FROM pg_prepared_xacts p ORDER BY p.prepared
            """
        ).format(
            held=_HELD.format(
                # Found by the lock on its own id: it goes by the number of the session that has prepared it, and from
                # a restart of the server on by another.
                by=sql.SQL(
                    "l.pid IS NULL AND l.virtualtransaction IN (SELECT own.virtualtransaction FROM pg_locks own"
                    " WHERE own.pid IS NULL AND own.locktype = 'transactionid' AND own.transactionid = p.transaction)"
                )
            )
        )
    ).fetchall()
    return [
        Session(
            pid=None,
            user=str(owner),
            application="",
            state="",
            seconds=cast("float", seconds),
            what=legible(str(gid)),
            kind="prepared transaction",
            here=bool(here),
            holds=_held(held),
        )
        for gid, owner, seconds, here, held in rows
    ]


def _held(rows: object) -> dict[QualifiedName, frozenset[LockMode]]:
    found: dict[QualifiedName, frozenset[LockMode]] = {}
    for schema, name, mode in cast("list[list[str]]", rows):
        table = QualifiedName(name, schema)
        if mode != "SIReadLock":  # of SERIALIZABLE: nobody waits for it
            found[table] = found.get(table, frozenset()) | {LockMode.from_pg_locks(mode)}
    return found


def _hidden(connection: Connection) -> int:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE query = '<insufficient privilege>' AND usesysid IS NOT NULL"
    ).fetchone()
    return int(str(row[0])) if row else 0


def _slots(connection: Connection) -> tuple[Slot, ...]:
    rows = connection.execute(
        """
        SELECT slot_name, active, coalesce(wal_status, ''), pg_wal_lsn_diff(
                   CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                   restart_lsn)::bigint
          FROM pg_replication_slots WHERE NOT temporary ORDER BY slot_name
        """
    ).fetchall()
    return tuple(
        Slot(str(name), bool(active), cast("int | None", kept), str(status))
        for name, active, status, kept in rows
    )


def _sent(connection: Connection) -> tuple[QualifiedName, ...]:
    rows = connection.execute(
        "SELECT DISTINCT tablename::text, schemaname::text FROM pg_publication_tables"
        " WHERE schemaname IN ('evolve', 'evolve_client') ORDER BY 2, 1"
    ).fetchall()
    return tuple(QualifiedName(str(name), str(schema)) for name, schema in rows)


def _tablespaces(connection: Connection) -> dict[QualifiedName, str]:
    rows = connection.execute(
        """
        SELECT n.nspname, c.relname, s.spcname
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_database d ON d.datname = current_database()
          JOIN pg_tablespace s ON s.oid = coalesce(nullif(c.reltablespace, 0), d.dattablespace)
         WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        """
    ).fetchall()
    return {QualifiedName(str(name), str(schema)): str(place) for schema, name, place in rows}


# -- privileges -------------------------------------------------------------------------------------------------------
def _missing(
    connection: Connection, connected: str, privileges: Sequence[Privilege]
) -> tuple[Privilege, ...]:
    """Those that the role has not; what a privilege would be on and is not there yet is not among them."""
    known = {str(name) for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    return tuple(
        privilege
        for privilege in privileges
        if (privilege.role or connected) in known and _has(connection, privilege, connected) is False
    )


def _has(connection: Connection, privilege: Privilege, connected: str) -> bool | None:
    """None where it is not there."""
    row = connection.execute(
        _QUESTIONS[privilege.kind],
        {
            "role": privilege.role or connected,
            "right": privilege.right,
            "name": privilege.name.name,
            "schema": privilege.name.schema,
        },
    ).fetchone()
    return None if row is None or row[0] is None else bool(row[0])


_QUESTIONS: dict[str, LiteralString] = {
    "table": """
        SELECT pg_has_role(%(role)s::name, c.relowner, 'USAGE')
               OR CASE %(right)s WHEN 'OWNER' THEN false
                       WHEN 'DROP' THEN pg_has_role(%(role)s::name, n.nspowner, 'USAGE')
                       WHEN 'TRIGGER' THEN has_table_privilege(%(role)s::name, c.oid, 'TRIGGER')
                       WHEN 'TRUNCATE' THEN has_table_privilege(%(role)s::name, c.oid, 'TRUNCATE')
                       WHEN 'DELETE' THEN has_table_privilege(%(role)s::name, c.oid, 'DELETE')
                       ELSE has_any_column_privilege(%(role)s::name, c.oid, %(right)s) END
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s AND c.relname = %(name)s
        """,
    "schema": """
        SELECT CASE %(right)s WHEN 'OWNER' THEN pg_has_role(%(role)s::name, nspowner, 'USAGE')
                    ELSE has_schema_privilege(%(role)s::name, oid, %(right)s) END
          FROM pg_namespace WHERE nspname = %(name)s
        """,
    "database": "SELECT has_database_privilege(%(role)s::name, current_database(), %(right)s)",
    "type": """
        SELECT pg_has_role(%(role)s::name, t.typowner, 'USAGE')
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE n.nspname = %(schema)s AND t.typname = %(name)s
        """,
    "function": """
        SELECT bool_and(pg_has_role(%(role)s::name, p.proowner, 'USAGE'))
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = %(schema)s AND p.proname = %(name)s
        """,
    "extension": """
        SELECT EXISTS (SELECT FROM pg_extension WHERE extname = %(name)s)
               OR coalesce((SELECT bool_or(trusted) FROM pg_available_extension_versions WHERE name = %(name)s), false)
                  AND has_database_privilege(%(role)s::name, current_database(), 'CREATE')
        """,
    "role": """
        SELECT coalesce((SELECT pg_has_role(%(role)s::name, rolname, 'MEMBER')
                           FROM pg_roles WHERE rolname = %(name)s), false)
        """,
}
