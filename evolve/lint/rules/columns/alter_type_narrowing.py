"""EV411: a change to a type that not every value fits."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.changed_type import ZONES, ChangedType, changed_type
from evolve.sql import operations as op
from evolve.sql.names import quote, shorten
from evolve.sql.steps import Step
from evolve.sql.type_casts import NUMBERS, STRINGS
from evolve.sql.type_changes import plain_cast, type_change
from evolve.sql.types import base, modifiers

# The least and the greatest value of each.
_INTEGERS = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_TIMES = ZONES | {"date", "time without time zone", "time with time zone"}


class AlterTypeNarrowing(Rule):
    id = "EV411"
    name = "alter-type-narrowing"
    severity = Severity.ERROR
    looks_at = (op.AlterColumnType,)
    breaks_old_code = True
    why = (
        "one value that does not fit makes the statement fail, and those that are rounded or cut cannot be had "
        "back; from then on code that still writes such values fails, or stores others than it means. A CHECK "
        "that is added NOT VALID and then validated shows first that all of them fit"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        changed = changed_type(step, history)
        if changed is None or not changed.in_use or changed.fails or changed.old is None:
            return
        lost = _lost(changed)
        if lost:
            yield self.finding(step, f"changing {changed} {lost}", safe=_safe(changed))


def _lost(changed: ChangedType) -> str | None:
    """What becomes of values that do not fit; None where all of them do, or where USING says what to do."""
    old, new, using = changed.old or "", changed.new, changed.operation.using
    if old == new or not plain_cast(using, changed.column, changed.operation.type):
        return None
    one, other = base(old), base(new)
    if old.endswith("[]") != new.endswith("[]"):
        return None
    if not type_change(old, new).narrows:
        return None
    if one in STRINGS and other in STRINGS:
        return (
            "cuts values that are longer" if using is not None else "fails at the first value that is longer"
        )
    if one in NUMBERS and other in NUMBERS:
        return _lost_of_number(old, new)
    if one in _TIMES and other in _TIMES:
        return "cuts off a part of each value"
    if one == other == "bit varying":
        return (
            "cuts values that are longer" if using is not None else "fails at the first value that is longer"
        )
    return None


_ROUNDS = "rounds values"
_OVERFLOWS = "fails at the first value that is greater"
_BOTH = "rounds values, and fails at the first that is greater"


def _lost_of_number(old: str, new: str) -> str:
    one, other = base(old), base(new)
    if other in ("real", "double precision"):
        return _ROUNDS
    if one in _INTEGERS:
        return _OVERFLOWS
    if one == other and modifiers(old) and modifiers(new):
        (old_precision, old_scale), (precision, scale) = modifiers(old), modifiers(new)
        if scale >= old_scale:
            return _OVERFLOWS
        return _ROUNDS if precision - scale >= old_precision - old_scale else _BOTH
    return _BOTH


def _safe(changed: ChangedType) -> tuple[str, ...]:
    """The limit as a CHECK, which needs no other type; where one column says it."""
    condition = _condition(changed)
    if condition is None:
        return ()
    name = shorten(changed.table.name, changed.column, "fits")
    return (code.add_check(changed.table, name, condition), code.validate(changed.table, name))


def _condition(changed: ChangedType) -> str | None:
    old, new, column = base(changed.old or ""), base(changed.new), quote(changed.column)
    if changed.new.endswith("[]"):
        return None
    if old in STRINGS and new in STRINGS and modifiers(changed.new):
        return f"char_length({column}) <= {modifiers(changed.new)[0]}"
    if old in _INTEGERS and new in _INTEGERS:
        least, greatest = _INTEGERS[new]
        return f"{column} BETWEEN {least} AND {greatest}"
    return None
