"""The registry of deployed versions in one database: install it, look into it, forget what is dead."""

from __future__ import annotations

from collections.abc import Collection

from evolve.plan.change import Place
from evolve.plan.deployed import Use, Version
from evolve.postgres import registry
from evolve.postgres.evidence import looking
from evolve.postgres.writable import refuse_read_only
from evolve.sql.names import parse_column, parse_name


def install(url: str, roles: Collection[str], readers: Collection[str]) -> None:
    """
    Raises:
        RegistryDenied, StrangeRegistry, RegistryTooNew, NoSuchRole, CannotConnect: nothing was changed.
    """
    with looking(url, "evolve registry install") as connection:
        refuse_read_only(connection)
        registry.install(connection, roles, readers)


def script(roles: Collection[str], readers: Collection[str]) -> str:
    """The same as SQL, for somebody else to run."""
    return registry.script(roles, readers)


def versions(url: str) -> list[Version]:
    """
    Raises:
        NoRegistry, RegistryTooNew, RegistryDenied, CannotConnect.
    """
    with looking(url, "evolve registry list") as connection:
        return registry.versions(connection)


def users_of(url: str, place: Place) -> list[Use]:
    """The live versions that map `place`.

    Raises:
        NoRegistry, RegistryTooNew, RegistryDenied, CannotConnect.
    """
    with looking(url, "evolve registry list") as connection:
        return registry.users_of(connection, [place])


def forget(url: str, version: str | None, application: str | None) -> int:
    """
    Raises:
        NoRegistry, RegistryTooNew, RegistryDenied, CannotConnect.
    """
    with looking(url, "evolve registry forget") as connection:
        refuse_read_only(connection)
        return registry.forget(connection, version, application)


def place(column: str | None, table: str | None) -> Place | None:
    """What was named on the command line.

    Raises:
        BadName.
    """
    if column is not None:
        return parse_column(column)
    return (parse_name(table), None) if table is not None else None
