"""EV112: a new `serial` column, which numbers every row."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AddColumnSerial(Rule):
    id = "EV112"
    name = "add-column-serial"
    severity = Severity.ERROR
    looks_at = (op.AddColumn,)
    peers = ("eugene:E11", "strong_migrations:add_column_auto_incrementing")
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "every row takes its own number, so PostgreSQL writes the whole table and all its indexes anew under a "
        "lock that stops all reads and writes; a sequence numbers new rows at once and leaves the others to a "
        "backfill"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table, op.ColumnDefinition(serial=True) as column) as add if history.adds(add):
                yield self.finding(
                    step,
                    f'adding "{table.plain}.{column.name}" rewrites the table under {self.lock}: every row '
                    "takes its own number from a sequence",
                    table=table,
                    safe=(code.number_new_rows(table, column),),
                )
            case _:
                return
