"""EV115: `SET NOT NULL` in one statement with the drop of the CHECK that proves it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class SetNotNullAndDropCheckTogether(Rule):
    id = "EV115"
    name = "set-not-null-and-drop-check-together"
    severity = Severity.WARNING
    looks_at = (op.SetNotNull,)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    why = (
        "of one statement PostgreSQL drops constraints first, wherever they stand in it: when it looks for a proof "
        "there is none left, and it reads every row under a lock that stops all reads and writes. Two statements "
        "cost nothing"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.SetNotNull(table, column) if history.in_use(table):
                pass
            case _:
                return
        if history.proves_not_null(table, column) or not history.schema.proves_not_null(table, column):
            return
        dropped = [clause for clause in history.clauses if isinstance(clause, op.DropConstraint)]
        alone = len(history.clauses) == 1 + len(dropped)
        drops = (code.drop_constraint(table, clause.name) for clause in dropped)
        yield self.finding(
            step,
            f'NOT NULL on "{table.plain}.{column}" reads every row under {self.lock}: the CHECK that proves it is '
            "dropped in the same statement",
            table=table,
            safe=("\n".join((code.not_null(table, column), *drops)),) if alone else (),
        )
