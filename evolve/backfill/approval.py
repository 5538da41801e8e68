"""Which runs a second person has to look at before they begin."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from evolve.sql.names import QualifiedName
from evolve.values import dataclass

WhyApprove = Callable[[QualifiedName, int | None], str | None]
"""Of a table and its rows, about, the reason why; None where nobody need look."""


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """
    Args:
        rows: a run over more of them waits, also one over a table that nobody knows the size of; None: none does.
        tables: patterns of names, with or without their schema; a run over such a table waits.
    """

    rows: int | None = None
    tables: tuple[str, ...] = ()

    def why(self, table: QualifiedName, rows: int | None) -> str | None:
        """`WhyApprove`."""
        for pattern in self.tables:
            if fnmatchcase(table.name, pattern) or fnmatchcase(table.plain, pattern):
                return f'table "{table.plain}" is one of those that want it'
        if self.rows is None:
            return None
        if rows is None:
            return f'nobody knows how many rows "{table.plain}" has; more than {self.rows:,} want it'
        if rows > self.rows:
            return f"it walks about {rows:,} rows; more than {self.rows:,} want it"
        return None
