"""EV681: an identity for a column that cannot take one, or taken from one that has none."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.schema import Column
from evolve.sql.steps import Step


class IdentityRefused(Rule):
    id = "EV681"
    name = "identity-refused"
    severity = Severity.ERROR
    looks_at = (op.AddIdentity, op.DropIdentity)
    fails = True
    why = (
        "a column becomes an identity only where it is NOT NULL and has no default: that of a serial column goes "
        "first, and the new sequence is then told the highest number"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddIdentity(table, name):
                known = history.schema.column(table, name)
                reason = _adding(known) if known is not None and not _prepared(known, history) else None
            case op.DropIdentity(table, name, if_exists=False):
                known = history.schema.column(table, name)
                none = known is not None and known.type and known.identity is None
                reason = "has no identity" if none else None
            case _:
                return
        if reason is not None and certain(step, history):
            yield self.finding(step, f'"{table.plain}.{name}" {reason}')

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return (*WHERE_REFUSED, "alter-identity", "drop-identity") if any(self.check(step, history)) else ()


def _adding(column: Column) -> str | None:
    if column.identity is not None:
        return "has an identity already"
    if column.default is not None:
        return f"has a default, {column.default.sql}, so it takes no identity"
    return "may be null, so it takes no identity" if column.type and not column.not_null else None


def _prepared(column: Column, history: History) -> bool:
    """True where another clause of the same statement may clear the way: their order is PostgreSQL's own."""
    return any(
        isinstance(clause, op.DropDefault | op.SetNotNull | op.DropIdentity) and clause.column == column.name
        for clause in history.clauses
    )
