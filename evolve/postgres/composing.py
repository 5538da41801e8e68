"""The one door through which SQL that somebody wrote, or the catalog spelled, gets into a composed statement.

What comes out is for statements that are executed with parameters, be it an empty dictionary: % is doubled.
"""

from __future__ import annotations

from psycopg import sql

from evolve.sql.names import QualifiedName


def written(text: str) -> sql.SQL:
    """SQL an operator wrote: an expression or a predicate, closed off so that a comment in it cannot swallow what
    follows.

    An operator may run any SQL anyway; that this is one expression is checked by the server, since a statement with
    parameters cannot hold two.
    """
    closing = "\n)" if "--" in text else ")"
    return sql.SQL("(" + text.replace("%", "%%") + closing)  # pyright: ignore[reportArgumentType]


def type_name(text: str) -> sql.SQL:
    """A type as `format_type` spells it: already quoted where needed."""
    return sql.SQL(text.replace("%", "%%"))  # pyright: ignore[reportArgumentType]


def identifier(*parts: str) -> sql.SQL:
    """A name that somebody gave to a table or column. psycopg reads % in it as a placeholder, too."""
    quoted = sql.Identifier(*parts).as_string()
    return sql.SQL(quoted.replace("%", "%%"))  # pyright: ignore[reportArgumentType]


def table_name(name: QualifiedName) -> sql.SQL:
    return identifier(name.schema, name.name)
