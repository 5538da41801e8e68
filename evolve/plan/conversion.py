"""How a value gets from one type to another and back: a cast that no setting changes, or the operator's SQL."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evolve.errors import Misuse
from evolve.plan.expressions import BadExpression, read_expression
from evolve.plan.sync import pinned_function
from evolve.plan.sync import quote as quote_in_body
from evolve.plan.target import Target, TargetColumn
from evolve.plan.trials import ExpressionHolds
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import Expression
from evolve.sql.parse import substitute_in_expression
from evolve.sql.schema import Schema
from evolve.sql.type_casts import STRINGS, assigned
from evolve.sql.types import base
from evolve.sql.volatility import VOLATILE

_NO_EQUALITY = frozenset({"json", "xml", "point", "polygon"})
# Another moment, session or setting gives another value.
_UNSTABLE = VOLATILE | frozenset(
    """
    age current_catalog current_date current_role current_schema current_setting current_time current_timestamp
    current_user localtime localtimestamp now session_user statement_timestamp transaction_timestamp user
    """.split()  # noqa: SIM905 - a list of quoted words is no easier to read
)
_ZONED = frozenset({"timestamp with time zone", "time with time zone"})
_TIMES = frozenset(
    {"date", "timestamp without time zone", "time without time zone", "interval", "money", *_ZONED}
)


class NotTheSameForAll(Misuse):
    def __init__(self, option: str, what: str, why: str, fix: str) -> None:
        super().__init__(f"{option} {what}", why=why, fix=fix)


class DownMissing(Misuse):
    def __init__(self, up: str, new: str) -> None:
        super().__init__(
            f"--up {up!r} has no --down",
            why="while old code runs, what new code writes must reach it, and nothing tells how to undo an expression",
            fix=f'give the old value as an expression over "{new}": --down "…"',
        )


@dataclass(frozen=True, slots=True)
class Conversion:
    """There and back.

    Args:
        table: whose rows they are.
        old: (name, type) of the column that holds the old value.
        new: (name, type) of the column that will hold the new one.
        up: the new value, over the old column.
        down: the old value, over the new column.
        cast: both are plain casts.
    """

    table: QualifiedName
    old: tuple[str, str]
    new: tuple[str, str]
    up: str
    down: str
    cast: bool

    def back(self, value: str) -> str:
        """The old value that a new `value` gives."""
        return f"CAST({substitute_in_expression(self.down, {self.new[0]: value})} AS {self.old[1]})"

    @property
    def comes_back(self) -> str:
        """True where the old value survives the way to the new one and back; false or an error where not."""
        again = self.back(f"CAST({self.up} AS {self.new[1]})")
        return _same(again, quote(self.old[0]), self.old[1])

    def holds(self, *, may_be_null: bool) -> ExpressionHolds:
        """The trial that `up` fails for no row."""
        return ExpressionHolds(self.table, "--up", self.up, self.new[1], may_be_null=may_be_null)


def conversion(
    target: Target,
    old: tuple[str, str],
    new: tuple[str, str],
    *,
    up: str | None,
    down: str | None,
    shown: str | None,
) -> Conversion:
    """The conversion that options ask for.

    Args:
        target: the table.
        old: (name, type) of the column that is there.
        new: (name, type) of the column to come.
        up: as given with --up; None: a cast.
        down: as given with --down; None: a cast.
        shown: what --down calls the new column; None: it goes by the old one's name.

    Raises:
        BadExpression: one of them reads another column than its own.
        NotTheSameForAll: a value would depend on the session or the moment.
        DownMissing.
    """
    if up is not None and down is None:
        raise DownMissing(up, shown or old[0])
    upward = _cast("--up", old, new) if up is None else _given("--up", up, target, old[0])
    if down is None:
        downward = _cast("--down", new, old)
    else:
        name = shown or old[0]
        with_new = replace(target, columns=(TargetColumn(name, new[1]),))
        given = _given("--down", down, with_new, name)
        downward = substitute_in_expression(given, {name: quote(new[0])})
    return Conversion(target.table, old, new, upward, downward, cast=up is None and down is None)


def _given(option: str, text: str, target: Target, column: str) -> str:
    read = read_expression(option, text, target, column="")
    refuse_other_columns(option, text, read, (column,))
    refuse_unstable(option, text, read)
    return text


def refuse_other_columns(option: str, text: str, read: Expression, allowed: tuple[str, ...]) -> None:
    """Raise `BadExpression` where it reads a column that the sync does not look at."""
    for name in read.columns:
        if name not in allowed:
            raise BadExpression(
                option,
                text,
                f'it reads "{name}": a change of that column alone would not reach the other side; only '
                + ", ".join(f'"{each}"' for each in allowed)
                + " may be read",
            )


def refuse_unstable(option: str, text: str, read: Expression) -> None:
    """Raise `NotTheSameForAll` where it calls a function whose value depends on the session or the moment."""
    for function in read.functions:
        if function in _UNSTABLE:
            raise NotTheSameForAll(
                option,
                f"{text!r} calls {function}()",
                "it gives another value each time, so the two sides could never be compared",
                "compute it from the row alone",
            )


def _cast(option: str, source: tuple[str, str], target: tuple[str, str]) -> str:
    name, type_ = source
    to = target[1]
    one, other = base(type_), base(to)
    if one != other and ({one, other} & _ZONED or _spelled(one, other)):
        raise NotTheSameForAll(
            option,
            f"is needed: the cast from {type_} to {to} depends on a session's settings",
            "clients with another TimeZone, DateStyle or lc_monetary would see and write other values",
            f"say it with the setting in it, e.g. {option} \"{quote(name)} AT TIME ZONE 'UTC'\" or with to_char(…, …)",
        )
    if assigned(type_, to, Schema()):
        # The server casts by itself, and refuses what is too long where a cast that is asked for cuts it.
        return quote(name)
    return f"CAST({quote(name)} AS {to})"


def _spelled(one: str, other: str) -> bool:
    return (one in _TIMES and other in STRINGS) or (other in _TIMES and one in STRINGS)


def _same(one: str, other: str, type_: str) -> str:
    if base(type_) in _NO_EQUALITY:
        return f"NOT record_image_ne(ROW({one}), ROW({other}))"
    return f"({one}) IS NOT DISTINCT FROM {other}"


# -- what does not fit --------------------------------------------------------------------------------------
def rejects_function(function: QualifiedName, table: QualifiedName, converted: Conversion) -> str:
    """CREATE OR REPLACE FUNCTION that gives the new value, and null for one that does not come back.

    It lies in the table's schema, since whoever writes the table calls it.
    """
    (old, old_type), (_, new_type) = converted.old, converted.new
    made = "evolve_made" if old != "evolve_made" else "evolve_made_"
    body = f"""\
#variable_conflict use_variable
DECLARE
    {made} {new_type};
BEGIN
    {made} := CAST({converted.up} AS {new_type});
    IF {_same(converted.back(made), quote_in_body(old), old_type)} THEN
        RETURN {made};
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
    RETURN NULL;
END
"""
    return pinned_function(f"{function}({quote_in_body(old)} {old_type})", new_type, table, body, "IMMUTABLE")
