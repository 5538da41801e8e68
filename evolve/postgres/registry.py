"""The registry of deployed versions: install it, and read what applications have told it through `evolve.client`.

Connections must be in autocommit mode.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files
from typing import cast

import psycopg
from psycopg import sql
from psycopg.rows import class_row, scalar_row

from evolve.counted import counted
from evolve.errors import Misuse
from evolve.plan.change import Place
from evolve.plan.deployed import Denials, Instance, Use, Version
from evolve.plan.gate_sql import places_json
from evolve.plan.gates import Observation, Rules
from evolve.plan.model import NotMapped
from evolve.plan.wording import duration
from evolve.postgres.connect import Connection

VERSION = 1
_REPORT = "let the application report: evolve.client.register(engine, version=..., models=...)"


class RegistryDenied(Misuse):
    def __init__(self, role: str, reason: str) -> None:
        super().__init__(
            f'role "{role}" may not do that with the registry of deployed versions: {reason}',
            fix="have whoever owns the database, or the registry, run: "
            f"evolve registry install --sql --reader {role} | psql",
        )


class StrangeRegistry(Misuse):
    def __init__(self, owner: str) -> None:
        super().__init__(
            f'schema "evolve_client" belongs to role "{owner}", '
            "which is neither this one, nor the owner of the database, nor a superuser",
            why="its functions would run with the rights of whoever calls them",
            fix=f'if that is right, work as "{owner}"; else drop it: DROP SCHEMA evolve_client CASCADE',
        )


class RegistryTooNew(Misuse):
    def __init__(self, version: int) -> None:
        super().__init__(
            f"the registry in this database has version {version}, this evolve knows version {VERSION}",
            why="a newer evolve has installed it; an older one could misread it",
            fix="install that evolve here as well",
        )


class NoRegistry(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "this database has no registry of deployed versions",
            why="no application can tell what it maps",
            fix="install it: evolve registry install",
        )


class NoSuchRole(Misuse):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the registry was not installed: {reason}",
            fix="name roles that exist, as the application logs in: evolve registry install --role ROLE",
        )


# -- installation -------------------------------------------------------------------------------------------
def installed_version(connection: Connection) -> int | None:
    """None where there is none.

    Raises:
        StrangeRegistry: somebody has made one who may not have it run anything.
    """
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'evolve_client'"
    ).fetchone()
    if row is None:
        return None
    _refuse_strange(connection)
    last = str(row[0]).rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def script(roles: Collection[str] = (), readers: Collection[str] = ()) -> str:
    """The whole installation in SQL; `roles` may tell the registry afterwards, everybody where none is named."""
    ddl = files("evolve.postgres.schema").joinpath("client.sql").read_text(encoding="utf-8")
    return f"BEGIN;\n{ddl}\n{_grants(roles, readers).as_string(None)}\nCOMMIT;\n"


def install(connection: Connection, roles: Collection[str] = (), readers: Collection[str] = ()) -> None:
    """Install the registry, or bring it up to date.

    Args:
        connection: as a role that may create a schema, and will own the registry.
        roles: who may tell it; everybody where none is named.
        readers: who may ask it, beside the role that owns it.

    Raises:
        RegistryDenied, StrangeRegistry, RegistryTooNew, NoSuchRole: nothing was changed.
    """
    version = installed_version(connection)
    if version is not None and version > VERSION:
        raise RegistryTooNew(version)
    ddl = files("evolve.postgres.schema").joinpath("client.sql").read_bytes()
    try:
        with connection.transaction():
            # No table lock; two installations at once would both create the schema and one would fail.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve'), hashtext('registry'))")
            connection.execute(ddl)
            connection.execute(_grants(roles, readers))
    except psycopg.errors.InsufficientPrivilege as error:
        raise RegistryDenied(connection.info.user, error.diag.message_primary or "") from error
    except psycopg.errors.UndefinedObject as error:
        raise NoSuchRole(error.diag.message_primary or "") from error


def _grants(roles: Collection[str], readers: Collection[str]) -> sql.Composed:
    """The DDL has taken everything from PUBLIC before."""
    told = sql.SQL("evolve_client.heartbeat(text, text, name[]), evolve_client.farewell(text)")
    asked = sql.SQL("evolve_client.mapped_by(text), evolve_client.in_use(text)")
    lines: list[sql.Composable] = [sql.SQL("REVOKE USAGE ON SCHEMA evolve_client FROM PUBLIC;")]
    tellers: list[sql.Composable] = [sql.Identifier(role) for role in roles] or [sql.SQL("PUBLIC")]
    for role in tellers:
        lines.append(sql.SQL("GRANT USAGE ON SCHEMA evolve_client TO {};").format(role))
        lines.append(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {};").format(told, role))
    for role in map(sql.Identifier, readers):
        lines.append(sql.SQL("GRANT USAGE ON SCHEMA evolve_client TO {};").format(role))
        lines.append(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {};").format(asked, role))
        lines.append(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA evolve_client TO {};").format(role))
    return sql.SQL("\n").join(lines)


def _refuse_strange(connection: Connection) -> None:
    # ACCESS SHARE on catalogs only. A superuser is a member of every role: membership alone would say nothing.
    row = connection.execute(
        """
        SELECT r.rolname FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
         WHERE n.nspname = 'evolve_client' AND NOT r.rolsuper AND r.rolname NOT IN (current_user, session_user)
           AND r.oid <> (SELECT datdba FROM pg_database WHERE datname = current_database())
        """
    ).fetchone()
    if row is not None:
        raise StrangeRegistry(str(row[0]))


# -- gate ---------------------------------------------------------------------------------------------------
def observe(connection: Connection, gate: NotMapped, rules: Rules) -> Observation:
    """Whether a version that is alive maps what the phase takes away; reads only.

    Raises:
        RegistryTooNew.
    """
    version = installed_version(connection)
    if version is None:
        return _unknown(
            gate, rules, "no registry of deployed versions", "install it: evolve registry install"
        )
    if version > VERSION:
        raise RegistryTooNew(version)
    with connection.cursor(row_factory=scalar_row) as cursor:
        # ACCESS SHARE on our own tables and on catalogs.
        used = cursor.execute("SELECT evolve_client.in_use(%s)", (places_json(gate.places),)).fetchone()
    if used is not None:
        return Observation(
            gate,
            False,
            str(used),
            "deploy what maps none of it everywhere, and wait until it has ended; see: evolve registry list",
        )
    told = instances(connection)
    live = [each for each in told if each.state == "live"]
    if live:
        versions = {(each.application, each.version) for each in live}
        return Observation(
            gate,
            True,
            f"{counted(len(versions), 'live version')} ({counted(len(live), 'instance')}), none does",
        )
    if not told:
        return _unknown(
            gate,
            rules,
            "no version reports what it maps",
            _REPORT,
        )
    last = min(told, key=lambda each: each.idle)
    return Observation(
        gate,
        True,
        f"no live version; the last was {last.application} {last.version}, {duration(last.idle)} ago",
    )


def _unknown(gate: NotMapped, rules: Rules, observed: str, fix: str) -> Observation:
    if rules.registry == "required":
        return Observation(gate, False, f"{observed}, and this project requires it", fix)
    return Observation(gate, True, f"{observed}: only somebody's word tells")


# -- reading ------------------------------------------------------------------------------------------------
def instances(connection: Connection) -> list[Instance]:
    """All that are known, the one seen last first."""
    query = """
        SELECT role::text, application, version, process, since, seen,
               greatest(extract(epoch FROM clock_timestamp() - seen)::float8, 0) AS idle,
               CASE WHEN gone IS NOT NULL THEN 'gone'
                    WHEN seen + lives > clock_timestamp() THEN 'live' ELSE 'lost' END AS state
          FROM evolve_client.instance ORDER BY seen DESC
        """
    with connection.cursor(row_factory=class_row(Instance)) as cursor:
        # ACCESS SHARE on our own table.
        return cursor.execute(query, ()).fetchall()


def versions(connection: Connection) -> list[Version]:
    """All that are known, alive ones first; of each, the instance seen last first.

    Raises:
        NoRegistry, RegistryTooNew, RegistryDenied.
    """
    with _reading(connection):
        grouped: dict[tuple[str, str, str], list[Instance]] = {}
        for each in instances(connection):
            grouped.setdefault((each.application, each.version, each.role), []).append(each)
        mapped = _mappings(connection)
    found = [
        Version(application, version, role, tuple(each), mapped.get((application, version, role)))
        for (application, version, role), each in grouped.items()
    ]
    return sorted(found, key=lambda each: (not each.live, each.application, each.version, each.role))


def _mappings(connection: Connection) -> dict[tuple[str, str, str], Mapping[str, tuple[str, ...] | None]]:
    # ACCESS SHARE on our own tables.
    rows = connection.execute(
        """
        SELECT i.application, i.version, i.role::text, (array_agg(m.places))[1]
          FROM evolve_client.instance AS i
          LEFT JOIN evolve_client.mapping AS m ON m.role = i.role AND m.digest = i.digest
         WHERE i.gone IS NULL
         GROUP BY 1, 2, 3 HAVING count(DISTINCT i.digest) = 1 AND count(m.digest) > 0
        """
    ).fetchall()
    return {
        (str(application), str(version), str(role)): {
            relation if schema is None else f"{schema}.{relation}": None
            if columns is None
            else tuple(columns)
            for schema, relation, columns in cast("list[tuple[str | None, str, list[str] | None]]", places)
        }
        for application, version, role, places in rows
    }


def users_of(connection: Connection, places: Sequence[Place]) -> list[Use]:
    """The live versions that map one of `places`.

    Raises:
        NoRegistry, RegistryTooNew, RegistryDenied.
    """
    query = """
        SELECT application, version, instances, since, maps,
               greatest(extract(epoch FROM clock_timestamp() - seen)::float8, 0) AS idle
          FROM evolve_client.mapped_by(%s)
        """
    with _reading(connection), connection.cursor(row_factory=class_row(Use)) as cursor:
        # ACCESS SHARE on our own tables and on catalogs.
        return cursor.execute(query, (places_json(places),)).fetchall()


def denials(connection: Connection, since: datetime) -> list[Denials]:
    """What applications have told since that moment, of the server's clock, that it has refused them.

    They tell it a second or two after it has happened; what they count is what `evolve.client` counts.

    Raises:
        NoRegistry, RegistryTooNew, RegistryDenied.
    """
    query = """
        SELECT application, version, sqlstate, sum(count)::bigint AS count,
               (array_agg(message ORDER BY denial_id DESC))[1] AS message, max(at) AS last
          FROM evolve_client.denial WHERE at >= %s
         GROUP BY application, version, sqlstate ORDER BY max(at) DESC
        """
    with _reading(connection), connection.cursor(row_factory=class_row(Denials)) as cursor:
        # ACCESS SHARE on our own table.
        return cursor.execute(query, (since,)).fetchall()


def forget(connection: Connection, version: str | None, application: str | None) -> int:
    """Forget the instances that are not alive, or all of one version; who is alive comes back with its next heartbeat.

    Returns:
        How many were forgotten.

    Raises:
        NoRegistry, RegistryTooNew, RegistryDenied.
    """
    with _reading(connection):
        # ROW EXCLUSIVE on our own table.
        return connection.execute(
            """
            DELETE FROM evolve_client.instance
             WHERE (%(version)s::text IS NOT NULL OR gone IS NOT NULL OR seen + lives <= clock_timestamp())
               AND version = coalesce(%(version)s, version) AND application = coalesce(%(application)s, application)
            """,
            {"version": version, "application": application},
        ).rowcount


@contextmanager
def _reading(connection: Connection) -> Iterator[None]:
    version = installed_version(connection)
    if version is None:
        raise NoRegistry
    if version > VERSION:
        raise RegistryTooNew(version)
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise RegistryDenied(connection.info.user, error.diag.message_primary or "") from error
