"""The sync trigger: keeps two shapes of a row equal while both are written.

The direction comes from the values, never from a setting of the client: on UPDATE the side that changed is
the side that was written; on INSERT it is the side that differs from its default. No search path, role or
session variable can make a writer count as the wrong one.

What the values cannot tell: on a row that is not yet backfilled, a new writer that sets the new column to
NULL has changed nothing, and the trigger fills the column. So new readers wait for the backfill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal
from evolve.sql.names import quote as quote_for_sql
from evolve.sql.statements import Statement

OnConflict = Literal["raise", "new-wins", "old-wins"]

# Types for which `=` means "the same bytes", so that IS DISTINCT FROM sees every change. Not so for citext,
# numeric (1.0 = 1.00), floats (0 = -0), jsonb, interval, character(n); json and xml have no equality at all.
_EXACT = frozenset(
    {
        "bigint",
        "boolean",
        "bytea",
        "date",
        "integer",
        "oid",
        "smallint",
        "time without time zone",
        "timestamp with time zone",
        "timestamp without time zone",
        "uuid",
    }
)
_EXACT_IF_PLAIN_COLLATION = ("text", "character varying")


# Reserved in PL/pgSQL beside what SQL reserves: NEW.begin would not parse.
_PLPGSQL_RESERVED = frozenset(
    {"begin", "by", "declare", "execute", "foreach", "if", "loop", "strict", "while"}
)


def quote(name: str) -> str:
    """Quote `name` for the body of a PL/pgSQL function."""
    return f'"{name}"' if name in _PLPGSQL_RESERVED else quote_for_sql(name)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two columns.

    Args:
        column: its name.
        default: SQL of its default where that is a constant; None where it has none.
        volatile: its default is a function call: whether a writer gave the value cannot be told on INSERT.
        type: as `format_type` writes it, schema included unless that is `public`.
        exact: equal values of the type have the same bytes.
    """

    column: str
    type: str
    exact: bool
    default: str | None = None
    volatile: bool = False


def is_exact(type_name: str, *, collation: str | None, enum: bool = False) -> bool:
    """True where equal values of the type have the same bytes, so that IS DISTINCT FROM misses no change."""
    base = type_name.split("(")[0]
    if enum or base in _EXACT or type_name.startswith("timestamp"):
        return True
    return base in _EXACT_IF_PLAIN_COLLATION and collation is None


def differs(left: str, right: str, *, exact: bool) -> str:
    """SQL that is true where two values of one type are not the same, nulls included."""
    if exact:
        return f"{left} IS DISTINCT FROM {right}"
    return f"record_image_ne(ROW({left}), ROW({right}))"


def _given(value: str, side: Side) -> str:
    """True where an INSERT gave `value` instead of leaving it to the default."""
    if side.default is None:
        return f"{value} IS NOT NULL"
    return differs(value, f"({side.default})::{side.type}", exact=side.exact)


def over_row(expression: str, *, constant: bool) -> str:
    """`expression` over the columns of NEW; a constant needs no query."""
    if constant:
        return expression
    # The line break keeps a comment in the expression from swallowing what follows.
    return f"(SELECT {expression}\n        FROM (SELECT NEW.*) AS this_row)"  # noqa: S608 - it is the operator's SQL


# -- functions ----------------------------------------------------------------------------------------------
def two_way_function(
    function: QualifiedName,
    table: QualifiedName,
    old: Side,
    new: Side,
    *,
    on_conflict: OnConflict = "raise",
    up: str | None = None,
    down: str | None = None,
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that copies whichever of two columns was written to the other.

    Args:
        function: the name it gets.
        table: its schema is on the function's search path.
        old: the column that old code writes.
        new: the column that new code writes.
        on_conflict: what becomes of a statement that writes different values to both.
        up: SQL expression over the row's columns that gives the new value; None copies the old column.
        down: gives the old value; None copies the new column.
    """
    new_old, new_new = f"NEW.{quote(old.column)}", f"NEW.{quote(new.column)}"
    old_old, old_new = f"OLD.{quote(old.column)}", f"OLD.{quote(new.column)}"
    upward = new_old if up is None else over_row(up, constant=False)
    downward = new_new if down is None else over_row(down, constant=False)
    if old.volatile:
        # Each INSERT gets another default, so only a value on the new side says who wrote.
        inserted = f"new_side := {new_new} IS NOT NULL;\n        old_side := NOT new_side;"
    else:
        inserted = f"old_side := {_given(new_old, old)};\n        new_side := {_given(new_new, new)};"
    body = f"""\
#variable_conflict use_column
DECLARE
    old_side boolean;
    new_side boolean;
BEGIN
    -- Which side was written? The values tell; no setting of the client is asked.
    IF TG_OP = 'INSERT' THEN
        {inserted}
    ELSE
        old_side := {differs(new_old, old_old, exact=old.exact)};
        new_side := {differs(new_new, old_new, exact=new.exact)};
    END IF;
    IF old_side AND NOT new_side THEN
        {new_new} := {upward};
    ELSIF new_side AND NOT old_side THEN
        {new_old} := {downward};
    ELSIF old_side AND new_side AND {differs(upward, new_new, exact=new.exact)} THEN
        {_conflict(table, old, new, on_conflict, upward, downward)}
    ELSIF TG_OP = 'UPDATE' AND {new_new} IS NULL AND {new_old} IS NOT NULL THEN
        -- A row that the backfill has not reached yet.
        {new_new} := {upward};
    END IF;
    RETURN NEW;
END
"""
    return _function(function, table, body)


def _conflict(
    table: QualifiedName, old: Side, new: Side, policy: OnConflict, upward: str, downward: str
) -> str:
    match policy:
        case "raise":
            message = (
                f"one statement wrote different values to {old.column} and {new.column} of {table.plain}"
            )
            return (
                f"RAISE EXCEPTION USING ERRCODE = '40001',\n"
                f"            MESSAGE = {literal(message).strip()},\n"
                f"            HINT = 'while the change is in flight, write one of them';"
            )
        case "new-wins":
            return f"NEW.{quote(old.column)} := {downward};"
        case "old-wins":
            return f"NEW.{quote(new.column)} := {upward};"


def one_way_function(
    function: QualifiedName, table: QualifiedName, column: str, value: str, *, constant: bool
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that fills `column` where a writer left it null."""
    target = f"NEW.{quote(column)}"
    body = f"""\
#variable_conflict use_column
BEGIN
    IF {target} IS NULL THEN
        {target} := {over_row(value, constant=constant)};
    END IF;
    RETURN NEW;
END
"""
    return _function(function, table, body)


def copy_function(function: QualifiedName, table: QualifiedName, source: str, target: str) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that copies `source` to `target` on every write."""
    body = f"""\
BEGIN
    NEW.{quote(target)} := NEW.{quote(source)};
    RETURN NEW;
END
"""
    return _function(function, table, body)


def _function(function: QualifiedName, table: QualifiedName, body: str) -> str:
    # OR REPLACE: it flips the direction of a sync without a lock on the table.
    tag, number = "$evolve$", 0
    while tag in body:
        number += 1
        tag = f"$evolve{number}$"
    # The path is fixed, so that a client's own cannot change what a name in the body means; pg_temp comes
    # last, so that no temporary object can stand in for another.
    schemas = list(dict.fromkeys(["pg_catalog", quote(table.schema), "public", "pg_temp"]))
    return (
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger\n"
        f"LANGUAGE plpgsql SET search_path = {', '.join(schemas)} AS {tag}\n{body}{tag}"
    )


# -- statements ---------------------------------------------------------------------------------------------
def create_schema() -> Statement:
    return Statement(
        "CREATE SCHEMA IF NOT EXISTS evolve",
        None,
        "it holds the trigger functions, away from the application's own",
    )


def create_function(sql: str) -> Statement:
    return Statement(sql, None, "a new function touches no table")


def create_trigger(
    table: QualifiedName, trigger: str, function: QualifiedName
) -> tuple[Statement, Statement]:
    return (
        Statement(
            f"CREATE TRIGGER {quote(trigger)}\n    BEFORE INSERT OR UPDATE ON {table}\n"
            f"    FOR EACH ROW EXECUTE FUNCTION {function}()",
            LockMode.SHARE_ROW_EXCLUSIVE,
            "it takes an instant, and from its commit on no write escapes it; its name puts it after the "
            "table's own triggers, so that it sees what will be stored",
        ),
        Statement(
            f"ALTER TABLE {table}\n    ENABLE ALWAYS TRIGGER {quote(trigger)}",
            LockMode.SHARE_ROW_EXCLUSIVE,
            "catalog only; bulk loaders and replication, which skip ordinary triggers, are kept in step too",
        ),
    )


def drop_trigger(table: QualifiedName, trigger: str) -> Statement:
    return Statement(
        f"DROP TRIGGER {quote(trigger)} ON {table}",
        LockMode.ACCESS_EXCLUSIVE,
        "catalog only; it goes before the columns do, so that it never meets a row without them",
    )


def drop_function(function: QualifiedName) -> Statement:
    return Statement(f"DROP FUNCTION {function}()", None, "nothing calls it any more")
