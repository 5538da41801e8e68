"""EV108: a new column whose default has to be computed for every row."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.steps import Step


class AddColumnVolatileDefault(Rule):
    id = "EV108"
    name = "add-column-volatile-default"
    severity = Severity.ERROR
    looks_at = (op.AddColumn,)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "a value that differs from row to row cannot live in the catalog: PostgreSQL writes the whole table"
        " and all its indexes anew under a lock that stops all reads and writes"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table, column) if history.in_use(table):
                pass
            case _:
                return
        if not effect(step.operation, history.schema, history.postgres_version).rewrites:
            return
        yield self.finding(
            step,
            f'adding "{table.plain}.{column.name}" rewrites the table under {self.lock}: {_cause(column)}',
            table=table,
            safe=_safe(table, column),
        )


def _cause(column: op.ColumnDefinition) -> str:
    if column.serial or column.identity:
        return "every row takes its own number from a sequence"
    if column.generated:
        return "its value is computed and stored for every row"
    if column.default is not None:
        return f"its default {column.default.sql} is computed for every row"
    return f"the domain {column.type} is checked for every row"


def _safe(table: QualifiedName, column: op.ColumnDefinition) -> tuple[str, ...]:
    if column.default is None or column.serial or column.identity or column.generated:
        return ()
    default = f"ALTER TABLE {table} ALTER COLUMN {quote(column.name)} SET DEFAULT {column.default.sql}"
    # New rows get the default at once; those that were there are for a backfill.
    return ("\n".join((code.add_column(table, column), code.execute(default))),)
