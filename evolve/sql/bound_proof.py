"""Whether the CHECK constraints of a table show that its rows fit a partition's bound."""

from __future__ import annotations

from evolve.sql.names import quote
from evolve.sql.operations import Check
from evolve.sql.parse import bound_values, canonical, conjuncts
from evolve.sql.schema import Table


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


def _conditions(column: str, bound: str) -> set[str] | None:
    """What each row must meet beside NOT NULL, canonically; None where it cannot be told."""
    values = bound_values(bound)
    if values is None:
        return None
    kind, low, high = values
    name = quote(column)
    if kind == "list":
        if any(value.upper() == "NULL" for value in low):
            return None
        equal = f"{name} = {low[0]}" if len(low) == 1 else f"{name} IN ({', '.join(low)})"
        return {canonical(equal)}
    if len(low) != 1 or len(high) != 1:
        return None
    conditions = set()
    if low[0] != "MINVALUE":
        conditions.add(canonical(f"{name} >= {low[0]}"))
    if high[0] != "MAXVALUE":
        conditions.add(canonical(f"{name} < {high[0]}"))
    return conditions
