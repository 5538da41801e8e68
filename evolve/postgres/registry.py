"""The registry of deployed versions: install it, and read what applications have told it through `evolve.client`.

Connections must be in autocommit mode.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import psycopg
from psycopg import sql
from psycopg.rows import class_row, scalar_row

from evolve.counted import counted
from evolve.errors import Misuse
from evolve.plan.gate_sql import places_json
from evolve.plan.gates import Observation, Rules
from evolve.plan.model import NotMapped
from evolve.plan.wording import duration
from evolve.postgres.connect import Connection

VERSION = 1
PUBLIC = "PUBLIC"
_FOR_APPLICATIONS = ("heartbeat(text, text, name[])", "farewell(text)")


class RegistryDenied(Misuse):
    def __init__(self, role: str, reason: str) -> None:
        super().__init__(
            f'role "{role}" may not install or read the registry of deployed versions: {reason}',
            fix="have whoever owns the database run: evolve registry install --sql | psql",
        )


class StrangeRegistry(Misuse):
    def __init__(self, owner: str) -> None:
        super().__init__(
            f'schema "evolve_client" belongs to role "{owner}", and this role is no member of it',
            why="its functions run with the rights of whoever owns them",
            fix=f'if that is right, install as "{owner}"; else drop it: DROP SCHEMA evolve_client CASCADE',
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


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of an application.

    Args:
        role: whom it logged in as.
        process: its host and process id.
        idle: seconds since it was last seen.
        state: "live"; "gone": it said farewell; "lost": it was not seen for longer than it said it would be silent.
    """

    role: str
    application: str
    version: str
    process: str
    since: datetime
    seen: datetime
    idle: float
    state: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """What the instances of one version map that log in as `role`.

    Args:
        live: instances that are alive.
        places: relation → its columns; None: all of them. None as a whole: they have not told.
    """

    role: str
    application: str
    version: str
    live: int
    places: dict[str, tuple[str, ...] | None] | None


@dataclass(frozen=True, slots=True)
class Denials:
    """What the server refused to one version.

    Args:
        sqlstate: 42501 insufficient_privilege, 42703 undefined_column or 42P01 undefined_table.
        message: the last one's.
        last: when that was told.
    """

    application: str
    version: str
    sqlstate: str
    count: int
    message: str
    last: datetime


# -- installation -------------------------------------------------------------------------------------------
def installed_version(connection: Connection) -> int | None:
    """None where there is none."""
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'evolve_client'"
    ).fetchone()
    if row is None:
        return None
    last = str(row[0]).rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def script(roles: Collection[str] = ()) -> str:
    """The whole installation in SQL; `roles` may tell the registry afterwards, everybody where none is named."""
    ddl = files("evolve.postgres.schema").joinpath("client.sql").read_text(encoding="utf-8")
    return f"BEGIN;\n{ddl}\n{_grants(roles).as_string(None)}\nCOMMIT;\n"


def install(connection: Connection, roles: Collection[str] = ()) -> None:
    """Install the registry, or bring it up to date.

    Args:
        connection: as a role that may create a schema, and will own the registry.
        roles: who may tell it; everybody where none is named. Who could before, and is not named, cannot any more.

    Raises:
        RegistryDenied, StrangeRegistry, RegistryTooNew, NoSuchRole: nothing was changed.
    """
    version = installed_version(connection)
    if version is not None:
        _refuse_strange(connection)
        if version > VERSION:
            raise RegistryTooNew(version)
    ddl = files("evolve.postgres.schema").joinpath("client.sql").read_bytes()
    try:
        with connection.transaction():
            # No table lock; two installations at once would both create the schema and one would fail.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('evolve'), hashtext('registry'))")
            connection.execute(ddl)
            connection.execute(_grants(roles))
    except psycopg.errors.InsufficientPrivilege as error:
        raise RegistryDenied(connection.info.user, error.diag.message_primary or "") from error
    except psycopg.errors.UndefinedObject as error:
        raise NoSuchRole(error.diag.message_primary or "") from error


def _grants(roles: Collection[str]) -> sql.Composed:
    named = sql.SQL(", ").join(sql.Identifier(role) for role in roles) if roles else sql.SQL(PUBLIC)
    functions = sql.SQL(", ").join(sql.SQL(f"evolve_client.{each}") for each in _FOR_APPLICATIONS)
    lines = [sql.SQL("GRANT USAGE ON SCHEMA evolve_client TO {};").format(named)]
    if roles:
        lines.insert(0, sql.SQL("REVOKE USAGE ON SCHEMA evolve_client FROM PUBLIC;"))
    lines.append(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {};").format(functions, named))
    return sql.SQL("\n").join(lines)


def _refuse_strange(connection: Connection) -> None:
    # ACCESS SHARE on catalogs only.
    row = connection.execute(
        "SELECT pg_get_userbyid(nspowner) FROM pg_namespace"
        " WHERE nspname = 'evolve_client' AND NOT pg_has_role(nspowner, 'USAGE')"
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
            "deploy what maps none of it everywhere; who is alive: evolve registry",
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
        return _unknown(gate, rules, "no version reports what it maps", "let it report: evolve docs registry")
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
