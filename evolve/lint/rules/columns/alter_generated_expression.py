"""EV116: a generated column is computed in another way."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AlterGeneratedExpression(Rule):
    id = "EV116"
    name = "alter-generated-expression"
    severity = Severity.ERROR
    peers = ("squawk:ban-alter-generated-expression",)
    looks_at = (op.SetExpression,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    breaks_old_code = True
    why = (
        "PostgreSQL computes every row of a stored column anew under a lock that stops all reads and writes, and "
        "from one moment to the next running code reads other values; a second column lets both releases read "
        "their own"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.SetExpression(table, column, expression) if history.in_use(table):
                if history.postgres_version < 17:
                    return  # needs-newer-postgres
            case _:
                return
        rewritten = bool(effect(step.operation, history.schema, history.postgres_version).rewrites)
        if not rewritten and not history.column_in_use(table, column):
            return
        what = f"rewrites the table under {self.lock}" if rewritten else "changes what running code reads"
        yield self.finding(
            step,
            f'computing "{table.plain}.{column}" as {expression.sql} {what}',
            table=table,
            rewrite=rewritten,
            scan=rewritten,
            severity=Severity.ERROR if rewritten else Severity.WARNING,
            why=None if rewritten else "from one moment to the next running code reads other values",
        )
