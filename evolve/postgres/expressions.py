"""The SQL that an operator wrote, read by the server before anything runs."""

from __future__ import annotations

from typing import assert_never

import psycopg
from psycopg import sql

from evolve.backfill.spec import Spec
from evolve.backfill.transform import Transform
from evolve.backfill.works import Delete, InsertSelect, JoinedUpdate, Update
from evolve.errors import Refused
from evolve.postgres.backfill_target import BadExpression
from evolve.postgres.composing import identifier, table_name, written
from evolve.postgres.connect import Connection
from evolve.postgres.failure import message
from evolve.postgres.statements import source
from evolve.sql.parse import ExpressionNotRead
from evolve.sql.parse import expression as read_expression


class ReadsHidden(Refused):
    def __init__(self, part: str, text: str, reason: str) -> None:
        super().__init__(
            f"{part} {text!r} reads a table whose rows row security hides from this role: {reason}",
            why="rows that it cannot see would be taken for rows that are not there",
            fix="run as a role that sees all of that table: one with BYPASSRLS, or its owner where its policies are not"
            " forced upon it",
        )


def try_expressions(connection: Connection, spec: Spec) -> None:
    """Let the server read each expression on its own, without running it.

    Raises:
        BadExpression: naming the one that does not parse, does not fit its column or names an unknown one.
        ReadsHidden: one reads another table, of which row security hides rows.
    """
    found_in: sql.Composable = table_name(spec.table)
    if isinstance(spec.work, JoinedUpdate):
        found_in = sql.SQL("{}, {}").format(found_in, source(spec.work))
    predicates = [("the --where predicate", spec.where)]
    if isinstance(spec.work, JoinedUpdate):
        predicates.insert(0, ("the --join predicate", spec.work.on))
    if not isinstance(spec.work, InsertSelect):
        predicates.append(("the mismatch predicate", spec.mismatch))
    for part, predicate in predicates:
        if predicate is not None:
            # EXPLAIN without ANALYZE runs nothing; AccessShare for its own moment.
            query = sql.SQL("EXPLAIN SELECT FROM {} WHERE {} AND %(no)s::boolean").format(
                found_in, written(predicate)
            )
            _try(connection, query, part, predicate)
    for column, expression in spec.assignments:
        # As above; RowExclusive.
        _try(connection, _assignment(spec, column, expression), f"the expression for {column}", expression)


def _assignment(spec: Spec, column: str, expression: str) -> sql.Composed:
    parts = {
        "table": table_name(spec.table),
        "column": identifier(column),
        "expression": written(expression),
    }
    match spec.work:
        case Update():
            text = sql.SQL("EXPLAIN UPDATE {table} SET {column} = {expression} WHERE %(no)s::boolean")
            return text.format(**parts)
        case JoinedUpdate() as work:
            text = sql.SQL(
                "EXPLAIN UPDATE {table} SET {column} = {expression} FROM {source} WHERE %(no)s::boolean"
            )
            return text.format(**parts, source=source(work))
        case InsertSelect() as work:
            text = sql.SQL(
                "EXPLAIN INSERT INTO {into} ({column}) SELECT {expression} FROM {table} WHERE %(no)s::boolean"
            )
            return text.format(**parts, into=table_name(work.into))
        case Delete() | Transform():
            raise TypeError(f'"{spec.name}" assigns nothing')
        case _:
            assert_never(spec.work)


def _try(connection: Connection, query: sql.Composed, part: str, text: str) -> None:
    try:
        connection.execute(query, {"no": False})
        try:
            with connection.transaction():
                # Where a policy would leave rows out, the server refuses to plan.
                connection.execute("SET LOCAL row_security = off")
                connection.execute(query, {"no": False})
        except psycopg.errors.InsufficientPrivilege as error:
            raise ReadsHidden(part, text, message(error)) from error
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError) as error:
        raise BadExpression(part, text, message(error)) from error
    try:
        read_expression(text)
    except ExpressionNotRead as error:
        # It fits in its parentheses and means something else there: `a) OR (b`, `$1`.
        raise BadExpression(part, text, "it is not one expression") from error
