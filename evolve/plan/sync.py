"""The sync trigger: keeps two shapes of a row equal while both are written.

A shape is one column, or several that say the same together: a name, or a first and a last name. The direction comes
from the values, never from a setting of the client: on UPDATE the side that changed is the side that was written; on
INSERT it is the side that differs from its default. No search path, role or session variable can make a writer count
as the wrong one.

What the values cannot tell: on a row that is not yet backfilled, a new writer that sets the new column to
NULL has changed nothing, and the trigger fills the column. So new readers wait for the backfill. And where the old
column's default is another one each time, as gen_random_uuid(), the new column can have none beside it: an INSERT that
gives it NULL looks like one that leaves it out, and gets what the default gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from evolve.plan.parameters import Parameter, option
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal
from evolve.sql.names import quote as quote_for_sql
from evolve.sql.statements import Statement

OnConflict = Literal["raise", "new-wins", "old-wins"]


def on_conflict(both: str) -> Parameter:
    """What becomes of a statement that writes different values to `both`."""
    what = f"When one statement writes different values to {both}."
    return option("on_conflict", "choice", what, choices=get_args(OnConflict))


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
    """A column of one of the two shapes.

    Args:
        column: its name.
        default: SQL of its default where that is the same for every row; None where it has none.
        volatile: its default is a function call: whether a writer gave the value cannot be told on INSERT.
        type: as `format_type` writes it, schema included unless that is `public`.
        exact: equal values of the type have the same bytes.
        fill: expression over the row's columns that gives it from the other shape; None copies the one column that
            is there.
        part: an operator with its right side, e.g. "#> '{address,city}'", where only what it gives of the column
            belongs to the shape.
    """

    column: str
    type: str
    exact: bool
    default: str | None = None
    volatile: bool = False
    fill: str | None = None
    part: str | None = None

    def of(self, value: str) -> str:
        """What of `value` belongs to the shape."""
        return value if self.part is None else f"({value} {self.part})"


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


def _given(side: Side) -> str:
    """True where an INSERT gave the column a value instead of leaving it to the default."""
    value = f"NEW.{quote(side.column)}"
    if side.default is None:
        return f"{side.of(value)} IS NOT NULL"
    return differs(side.of(value), side.of(f"({side.default})::{side.type}"), exact=side.exact)


def _changed(side: Side) -> str:
    name = quote(side.column)
    return differs(side.of(f"NEW.{name}"), side.of(f"OLD.{name}"), exact=side.exact)


def _any(conditions: Iterable[str]) -> str:
    return "\n            OR ".join(conditions)


def _all(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions)


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
    old: Side | Sequence[Side],
    new: Side | Sequence[Side],
    *,
    on_conflict: OnConflict = "raise",
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that brings whichever of two shapes was written to the other.

    Args:
        function: the name it gets.
        table: its schema is on the function's search path.
        old: the columns that old code writes.
        new: the columns that new code writes; no fill of theirs reads one of them.
        on_conflict: what becomes of a statement that writes both, and to none is the other what it would be made of
            it.
    """
    return _function(function, table, _TwoWay(table, _sides(old), _sides(new), on_conflict).body())


def _sides(sides: Side | Sequence[Side]) -> tuple[Side, ...]:
    return (sides,) if isinstance(sides, Side) else tuple(sides)


@dataclass(frozen=True, slots=True)
class _TwoWay:
    table: QualifiedName
    old: tuple[Side, ...]
    new: tuple[Side, ...]
    on_conflict: OnConflict

    def body(self) -> str:
        if any(side.volatile for side in self.old):
            # Each INSERT gets another default, so only a value on the new side says who wrote.
            given = _any(f"NEW.{quote(side.column)} IS NOT NULL" for side in self.new)
            inserted = f"new_side := {given};\n        old_side := NOT new_side;"
        else:
            inserted = f"old_side := {_any(map(_given, self.old))};\n        new_side := {_any(map(_given, self.new))};"
        return f"""\
#variable_conflict use_column
DECLARE
    old_side boolean;
    new_side boolean;
BEGIN
    -- Which side was written? The values tell; no setting of the client is asked.
    IF TG_OP = 'INSERT' THEN
        {inserted}
    ELSE
        old_side := {_any(map(_changed, self.old))};
        new_side := {_any(map(_changed, self.new))};
    END IF;
    IF old_side AND NOT new_side THEN
        {assign(self.new, self.old)}
    ELSIF new_side AND NOT old_side THEN
        {self._downward()}
    ELSIF old_side AND new_side AND {self._apart()} THEN
        {self._conflict()}
    ELSIF {self._unfilled()} THEN
        -- A row that the backfill has not reached yet.
        {assign(self.new, self.old)}
    END IF;
    RETURN NEW;
END
"""

    @property
    def _copies(self) -> bool:
        """Each side is one column, and the other as it is."""
        return all(side.fill is None for side in (*self.old, *self.new))

    def _downward(self) -> str:
        if self._copies:
            return assign(self.old, self.new)
        lines = []
        if len(self.new) > 1:
            empty = _all(f"OLD.{quote(side.column)} IS NULL" for side in self.new)
            lines += [
                # A row that the backfill has not reached: what this statement leaves alone is not null, but unknown.
                f"IF TG_OP = 'UPDATE' AND {empty} THEN",
                *(
                    f"    IF NEW.{quote(side.column)} IS NULL THEN\n"
                    f"                {assign([side], self.old)}\n            END IF;"
                    for side in self.new
                ),
                "END IF;",
            ]
        lines += [
            # What the old shape holds beyond the new one stays, as long as the new one is what is made of it.
            f"IF {_disagree(self.new, self.old)} THEN",
            f"    {assign(self.old, self.new)}",
            "END IF;",
        ]
        return "\n        ".join(lines)

    def _apart(self) -> str:
        """True where neither side is what it would be made of the other."""
        upward = _disagree(self.new, self.old)
        return upward if self._copies else f"({upward})\n        AND ({_disagree(self.old, self.new)})"

    def _unfilled(self) -> str:
        empty = _all(f"NEW.{quote(side.column)} IS NULL" for side in self.new)
        full = " OR ".join(f"{side.of('NEW.' + quote(side.column))} IS NOT NULL" for side in self.old)
        if self._copies:
            return f"TG_OP = 'UPDATE' AND {empty} AND {full}"
        return f"{empty} AND ({full})\n        AND ({_disagree(self.old, self.new)})"

    def _conflict(self) -> str:
        match self.on_conflict:
            case "raise":
                one = ", ".join(side.column for side in self.old)
                other = ", ".join(side.column for side in self.new)
                message = f"one statement wrote different values to {one} and {other} of {self.table.plain}"
                return (
                    f"RAISE EXCEPTION USING ERRCODE = '40001',\n"
                    f"            MESSAGE = {literal(message).strip()},\n"
                    f"            HINT = 'while the change is in flight, write one of them';"
                )
            case "new-wins":
                return assign(self.old, self.new)
            case "old-wins":
                return assign(self.new, self.old)


def _made(side: Side, others: Sequence[Side]) -> str:
    """The value that `side` gets of the other shape."""
    if side.fill in (None, quote_for_sql(others[0].column)):
        return f"NEW.{quote(others[0].column)}"
    return over_row(str(side.fill), constant=False)


def _disagree(sides: Sequence[Side], others: Sequence[Side]) -> str:
    """True where a column of `sides` is not what it would be made of the others."""

    def differ(side: Side) -> str:
        made = _made(side, others)
        if side.fill is not None:
            made = f"CAST({made} AS {side.type})"
        return differs(side.of(made), side.of(f"NEW.{quote(side.column)}"), exact=side.exact)

    return _any(map(differ, sides))


def assign(sides: Sequence[Side], others: Sequence[Side]) -> str:
    """PL/pgSQL that makes `sides` of `others`, all of them at once."""
    if len(sides) == 1:
        return f"NEW.{quote(sides[0].column)} := {_made(sides[0], others)};"
    made = ",\n            ".join(_inside(side, others) for side in sides)
    into = ", ".join(f"NEW.{quote(side.column)}" for side in sides)
    return f"SELECT {made}\n        INTO {into}\n        FROM (SELECT NEW.*) AS this_row;"  # noqa: S608 - as above


def _inside(side: Side, others: Sequence[Side]) -> str:
    return quote_for_sql(others[0].column) if side.fill is None else f"({side.fill}\n            )"


def backward_function(
    function: QualifiedName, table: QualifiedName, kept: Sequence[Side], lasting: Sequence[Side]
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that keeps columns nobody writes any more in step with those that last.

    They are made anew where one of `lasting` has changed, so that what could not be brought over stays as it is.
    """
    body = f"""\
#variable_conflict use_column
BEGIN
    IF TG_OP = 'INSERT' OR {_any(map(_changed, lasting))} THEN
        {assign(kept, lasting)}
    END IF;
    RETURN NEW;
END
"""
    return _function(function, table, body)


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


def repairing_function(
    function: QualifiedName, table: QualifiedName, check: str, values: tuple[tuple[str, str], ...]
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that gives columns other values in a row that breaks `check`.

    Args:
        check: SQL expression over the row's columns.
        values: (column, SQL expression over the row as it was written).
    """
    given = ", ".join(value for _, value in values)
    targets = ", ".join(f"NEW.{quote(column)}" for column, _ in values)
    body = f"""\
#variable_conflict use_column
BEGIN
    IF {over_row(check, constant=False)} IS FALSE THEN
        SELECT {given}
        INTO {targets}
        FROM (SELECT NEW.*) AS this_row;
    END IF;
    RETURN NEW;
END
"""  # noqa: S608 - names are quoted, the expressions are the operator's
    return _function(function, table, body)


def copy_function(
    function: QualifiedName, table: QualifiedName, source: str, target: str, *, only: str | None = None
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that copies `source` to `target` on every write.

    Args:
        only: what the value must satisfy, as in "BETWEEN 1 AND 9"; of others `target` becomes null.
    """
    value = f"NEW.{quote(source)}"
    if only is not None:
        value = f"CASE WHEN {value} {only} THEN {value} END"
    body = f"""\
BEGIN
    NEW.{quote(target)} := {value};
    RETURN NEW;
END
"""
    return _function(function, table, body)


def stand_in_function(
    function: QualifiedName,
    table: QualifiedName,
    column: str,
    value: str,
    *,
    reads: Sequence[str],
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that gives `column` a value where a writer no longer knows it.

    Args:
        reads: columns that `value` is made of: where one of them changes and `column` itself does not, the value is
            made anew.
    """
    target, before = f"NEW.{quote(column)}", f"OLD.{quote(column)}"
    made = over_row(value, constant=not reads)
    follow = ""
    if reads:
        changed = _any(differs(f"NEW.{quote(name)}", f"OLD.{quote(name)}", exact=False) for name in reads)
        follow = f"""
    ELSIF TG_OP = 'UPDATE' AND NOT {differs(target, before, exact=False)} AND (
            {changed}) THEN
        {target} := {made};"""
    body = f"""\
#variable_conflict use_column
BEGIN
    IF TG_OP = 'INSERT' AND {target} IS NULL THEN
        {target} := {made};{follow}
    END IF;
    RETURN NEW;
END
"""
    return _function(function, table, body)


def put_function(
    function: QualifiedName, table: QualifiedName, columns: Sequence[str], value: str, instead: str
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that stores `instead` where a writer gave `value`.

    Args:
        value, instead: SQL of constants.
    """
    lines = "".join(
        f"    IF NEW.{quote(column)} = {value} THEN\n        NEW.{quote(column)} := {instead};\n    END IF;\n"
        for column in columns
    )
    return _function(function, table, f"BEGIN\n{lines}    RETURN NEW;\nEND\n")


def _function(function: QualifiedName, table: QualifiedName, body: str) -> str:
    return pinned_function(f"{function}()", "trigger", table, body)


def pinned_function(
    signature: str, returns: str, table: QualifiedName, body: str, volatility: str = ""
) -> str:
    """CREATE OR REPLACE FUNCTION in PL/pgSQL whose names mean the same to every client."""
    # OR REPLACE: it flips the direction of a sync without a lock on the table.
    tag, number = "$evolve$", 0
    while tag in body:
        number += 1
        tag = f"$evolve{number}$"
    # The path is fixed, so that a client's own cannot change what a name in the body means; pg_temp comes
    # last, so that no temporary object can stand in for another.
    schemas = list(dict.fromkeys(["pg_catalog", quote(table.schema), "public", "pg_temp"]))
    kind = f" {volatility}" if volatility else ""
    return (
        f"CREATE OR REPLACE FUNCTION {signature} RETURNS {returns}\n"
        f"LANGUAGE plpgsql{kind} SET search_path = {', '.join(schemas)} AS {tag}\n{body}{tag}"
    )


def computed_function(function: QualifiedName, table: QualifiedName, column: str, value: str) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that computes `column` on every write, whatever the writer gave."""
    body = f"""\
#variable_conflict use_column
BEGIN
    NEW.{quote(column)} := {over_row(value, constant=False)};
    RETURN NEW;
END
"""
    return _function(function, table, body)


def still_computed_function(
    function: QualifiedName, table: QualifiedName, side: Side, value: str, reads: Sequence[str]
) -> str:
    """CREATE OR REPLACE FUNCTION for a trigger that computes a column for writers that do not give it.

    Args:
        reads: columns that `value` reads; where none of them has changed the column stays as it is.
    """
    name = quote(side.column)
    # Byte by byte: a column of any type may be read.
    changed = _any(f"record_image_ne(ROW(NEW.{quote(each)}), ROW(OLD.{quote(each)}))" for each in reads)
    body = f"""\
#variable_conflict use_column
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.{name} IS NULL THEN
            NEW.{name} := {over_row(value, constant=False)};
        END IF;
    ELSIF NOT ({_changed(side)}) AND ({changed}) THEN
        NEW.{name} := {over_row(value, constant=False)};
    END IF;
    RETURN NEW;
END
"""
    return _function(function, table, body)


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
