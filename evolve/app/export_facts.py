"""Reads the facts of a live database, for `evolve lint --facts` to judge by where there is no connection."""

from __future__ import annotations

from collections.abc import Collection

from evolve.lint.facts import Facts
from evolve.postgres.connect import connect
from evolve.postgres.database_facts import read_facts


def export_facts(url: str, schemas: Collection[str] = ()) -> Facts:
    """The facts of all schemas, or of those named.

    Raises:
        BadUrl, CannotConnect: the database cannot be reached.
        NoSuchSchema: one of `schemas` is not there.
    """
    with connect(url, application_name="evolve facts export", autocommit=True) as connection:
        return read_facts(connection, schemas)
