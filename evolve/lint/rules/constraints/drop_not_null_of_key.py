"""EV682: `DROP NOT NULL` on a column of the primary key, or on an identity column."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.schema import Table
from evolve.sql.steps import Step


class DropNotNullOfKey(Rule):
    id = "EV682"
    name = "drop-not-null-of-key"
    severity = Severity.ERROR
    looks_at = (op.DropNotNull,)
    fails = True
    why = "PostgreSQL keeps null out of a primary key and of an identity column, and refuses to let it in"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropNotNull(table, name):
                found = history.without_dropped(table).table(table)
            case _:
                return
        reason = _reason(found, name) if found is not None else None
        if reason is not None and certain(step, history):
            yield self.finding(step, f'"{table.plain}.{name}" {reason}, so it stays NOT NULL')

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return (*WHERE_REFUSED, "drop-not-null") if any(self.check(step, history)) else ()


def _reason(table: Table, name: str) -> str | None:
    column, key = table.column(name), table.primary_key
    if key is not None and name in key.columns:
        return f'is part of the primary key "{key.name}"'
    return "is an identity" if column is not None and column.identity is not None else None
