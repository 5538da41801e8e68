"""EV113: a new identity column, which numbers every row."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AddColumnIdentity(Rule):
    id = "EV113"
    name = "add-column-identity"
    severity = Severity.ERROR
    looks_at = (op.AddColumn,)
    peers = ("strong_migrations:add_column_auto_incrementing",)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "every row takes its own number, so PostgreSQL writes the whole table and all its indexes anew under a "
        "lock that stops all reads and writes; a sequence numbers new rows at once, leaves the others to a "
        "backfill, and can become an identity when all rows have a number"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table, column) as add if column.identity is not None and history.adds(add):
                yield self.finding(
                    step,
                    f'adding "{table.plain}.{column.name}" rewrites the table under {self.lock}: every row '
                    "takes its own number as its identity",
                    table=table,
                    safe=(code.number_new_rows(table, column),),
                )
            case _:
                return
