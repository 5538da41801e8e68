"""EV111: a new column that is computed and stored for every row."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AddColumnGeneratedStored(Rule):
    id = "EV111"
    name = "add-column-generated-stored"
    severity = Severity.ERROR
    looks_at = (op.AddColumn,)
    peers = ("eugene:E11", "strong_migrations:add_column_generated_stored")
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "PostgreSQL computes the value of every row and writes the whole table and all its indexes anew under "
        "a lock that stops all reads and writes; a plain column that a trigger fills costs nothing at first, "
        "nor does a virtual one from PostgreSQL 18 on"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(
                table, op.ColumnDefinition(generated="stored", generation=value) as column
            ) as add:
                pass
            case _:
                return
        if not history.adds(add):
            return
        if value is None:
            safe = ""
        elif history.postgres_version >= 18:
            safe = code.add_virtual_column(table, column, value.sql)
        else:
            safe = code.compute_by_trigger(table, column, value.sql)
        yield self.finding(
            step,
            f'adding "{table.plain}.{column.name}" rewrites the table under {self.lock}: its value is '
            "computed and stored for every row",
            table=table,
            safe=(safe,) if safe else (),
        )
