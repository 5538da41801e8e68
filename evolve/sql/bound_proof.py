"""Whether the CHECK constraints of a table show that its rows fit a partition's bound, or that none does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations

from evolve.sql.bound_conflict import all_outside
from evolve.sql.names import quote
from evolve.sql.operations import Check
from evolve.sql.parse import bound_values, canonical, conjuncts
from evolve.sql.schema import Table

_CONSTANT = re.compile(r"'(?:[^']|'')*'|-?\d+(?:\.\d+)?")
_CONSTANTS = re.compile(rf"(?:{_CONSTANT.pattern})(?:, (?:{_CONSTANT.pattern}))*")


def implies_bound(table: Table, parent: Table, bound: str) -> bool:
    """True where ATTACH PARTITION reads no row of `table`, because its constraints say what `bound` demands.

    Known only for bounds over one plain column, written in the CHECK as in the bound; False where it is not
    known. Hash bounds and DEFAULT are never known.
    """
    by = parent.partition_by
    column = table.column(by.keys[0]) if by is not None and len(by.keys) == 1 else None
    if by is None or column is None:
        return False
    needed = _conditions(column.name, bound)
    if needed is None:
        return False
    valid = [c.expression for c in table.constraints if isinstance(c, Check) and not c.not_valid]
    given = {conjunct for expression in valid for conjunct in conjuncts(expression.sql)}
    present = column.not_null or any(column.name in expression.not_null_columns for expression in valid)
    return present and needed <= given


def excludes_bound(default: Table, parent: Table, bound: str) -> bool:
    """True where a new partition with `bound` reads no row of the DEFAULT partition: its constraints keep such out.

    Known where the CHECK is written as `excluding_check` writes it, as its plain negation, or as a list of other keys;
    else False.
    """
    by = parent.partition_by
    column = default.column(by.keys[0]) if by is not None and len(by.keys) == 1 else None
    if column is None:
        return False
    valid = [c.expression for c in default.constraints if isinstance(c, Check) and not c.not_valid]
    given = {conjunct for expression in valid for conjunct in conjuncts(expression.sql)}
    if not given.isdisjoint(map(canonical, _exclusions(column.name, bound))):
        return True
    listed = (_keys_listed(column.name, conjunct) for conjunct in given)
    return any(keys and all_outside(keys, bound, column.type) for keys in listed)


def _keys_listed(column: str, condition: str) -> list[str]:
    """The constants that a canonical `condition` lets the column be; none where it says something else."""
    equal = condition.removeprefix(f"{quote(column)} = ")
    if equal == condition:
        return []
    text = equal.removeprefix("ANY(ARRAY[").removesuffix("])") if equal.startswith("ANY(") else equal
    return _CONSTANT.findall(text) if _CONSTANTS.fullmatch(text) else []


def implying_check(column: str, bound: str) -> str | None:
    """The condition that spares ATTACH PARTITION reading the table; None where none is known."""
    values = bound_values(bound)
    if values is None:
        return None
    kind, low, high = values
    name = quote(column)
    if kind == "list":
        if any(value.upper() == "NULL" for value in low):
            return None
        equal = f"{name} = {low[0]}" if len(low) == 1 else f"{name} IN ({', '.join(low)})"
        return f"{name} IS NOT NULL AND {equal}"
    if len(low) != 1 or len(high) != 1:
        return None
    above = [f"{name} >= {low[0]}"] if low[0] != "MINVALUE" else []
    below = [f"{name} < {high[0]}"] if high[0] != "MAXVALUE" else []
    return " AND ".join([f"{name} IS NOT NULL", *above, *below])


def excluding_check(column: str, bound: str) -> str | None:
    """The condition for the DEFAULT partition's rows that spares reading them; None where none is known."""
    return next(_exclusions(column, bound), None)


def _exclusions(column: str, bound: str) -> Iterator[str]:
    """Conditions each of which keeps the keys of `bound` out, the plainest first."""
    values = bound_values(bound)
    if values is None:
        return
    kind, low, high = values
    name = quote(column)
    if kind == "list":
        if any(value.upper() == "NULL" for value in low):
            return
        listed = ", ".join(low)
        positive = f"{name} = {low[0]}" if len(low) == 1 else f"{name} IN ({listed})"
        plain = f"{name} <> {low[0]}" if len(low) == 1 else f"{name} NOT IN ({listed})"
        yield from (plain, f"{name} IS NULL OR {plain}", f"NOT ({positive})")
        return
    if len(low) != 1 or len(high) != 1:
        return
    below = [f"{name} < {low[0]}"] if low[0] != "MINVALUE" else []
    above = [f"{name} >= {high[0]}"] if high[0] != "MAXVALUE" else []
    parts = [*below, *above, f"{name} IS NULL"]
    for count in range(max(len(parts) - 1, 1), len(parts) + 1):
        yield from (" OR ".join(chosen) for chosen in permutations(parts, count))
    yield from (*below, *above)
    if below and above:
        yield f"NOT ({name} >= {low[0]} AND {name} < {high[0]})"


def _conditions(column: str, bound: str) -> set[str] | None:
    """What each row must meet beside NOT NULL, canonically; None where it cannot be told."""
    check = implying_check(column, bound)
    if check is None:
        return None
    _, *conditions = conjuncts(check)
    return set(conditions)
