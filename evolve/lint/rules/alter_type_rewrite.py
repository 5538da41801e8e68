"""EV109: a change of type that writes the table anew."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AlterTypeRewrite(Rule):
    id = "EV109"
    name = "alter-type-rewrite"
    severity = Severity.ERROR
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    breaks_old_code = True
    why = (
        "PostgreSQL converts every row and rebuilds every index under a lock that stops all reads and "
        "writes, and code that binds the old type may fail; a second column, kept equal and filled in the "
        "background, has neither cost"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterColumnType(table, column, new) if history.in_use(table):
                pass
            case _:
                return
        predicted = effect(step.operation, history.schema, history.postgres_version)
        if not predicted.rewrites:
            return
        known = history.schema.column(table, column)
        old = f"from {known.type}" if known and known.type else "from a type that no revision tells"
        unless = ", unless the session's TimeZone is UTC" if predicted.only_if_not_utc else ""
        yield self.finding(
            step,
            f'changing "{table.plain}.{column}" {old} to {new} rewrites the table under {self.lock}{unless}',
            table=table,
        )
