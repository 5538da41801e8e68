"""Which statements use a table, how, and how much of the time of all that read it each takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evolve.partition.advice.workload import Recorded, Workload
from evolve.sql.conditions import Condition
from evolve.sql.names import QualifiedName
from evolve.sql.placeholders import cast_after, numbered
from evolve.sql.query_use import QueryUse, query_use


@dataclass(frozen=True, slots=True)
class Use:
    """
    Args:
        text: the statement such that PostgreSQL could prepare it.
        share: of the time of all statements that read the table; 0 where this one does not.
    """

    recorded: Recorded
    text: str
    use: QueryUse
    share: float

    def conditions(self, column: str) -> tuple[tuple[Condition, ...], ...]:
        """Of each place where it reads the table, the conditions on the column."""
        return tuple(
            tuple(condition for condition in scope.conditions if condition.column[1] == column)
            for scope in self.use.scopes
        )


def uses(workload: Workload, table: QualifiedName) -> tuple[Use, ...]:
    """Those that the statements make of `table`, the longest running first."""
    columns = workload.columns
    word = re.compile(rf"(?<![\w$]){re.escape(table.name)}(?![\w$])", re.IGNORECASE)
    found = []
    for recorded in workload.statements or ():
        if word.search(recorded.text) is None:
            continue
        text = cast_after(numbered(recorded.text))
        use = query_use(text, table, columns)
        if use is not None:
            found.append((recorded, text, use))
    total = sum(recorded.seconds for recorded, _, use in found if use.scopes)
    return tuple(
        Use(recorded, text, use, recorded.seconds / total if use.scopes and total else 0.0)
        for recorded, text, use in sorted(found, key=lambda each: -each[0].seconds)
    )


def share(all_uses: Iterable[Use], weight: Callable[[Use], float]) -> float:
    """The weighted part of the reading time, from 0 to 1."""
    return sum(each.share * weight(each) for each in all_uses)


def rows_share(all_uses: Sequence[Use], kind: str, chosen: Callable[[Use], bool]) -> float:
    """Of the rows that statements of `kind` write to the table, those of the chosen ones, from 0 to 1."""
    writing = [each for each in all_uses if each.use.kind == kind and each.use.writes]
    total = sum(each.recorded.rows for each in writing)
    return sum(each.recorded.rows for each in writing if chosen(each)) / total if total else 0.0
