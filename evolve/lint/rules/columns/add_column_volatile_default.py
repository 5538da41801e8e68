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
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class AddColumnVolatileDefault(Rule):
    id = "EV108"
    name = "add-column-volatile-default"
    severity = Severity.ERROR
    looks_at = (op.AddColumn,)
    peers = (
        "squawk:adding-field-with-default",
        "eugene:E10",
        "strong_migrations:add_column_default",
        "strong_migrations:add_column_default_callable",
    )
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    scan = True
    why = (
        "a value that differs from row to row cannot live in the catalog: PostgreSQL writes the whole table"
        " and all its indexes anew under a lock that stops all reads and writes"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table, column) as add if history.adds(add):
                pass
            case _:
                return
        domain = history.schema.domain(column.type)
        if column.serial or column.identity or column.generated or (domain and domain.constrained):
            return  # rules of their own, with safe forms of their own
        if not effect(step.operation, history.schema, history.postgres_version).rewrites:
            return
        default = column.default or (domain.default if domain else None)
        if default is None:
            return
        yield self.finding(
            step,
            f'adding "{table.plain}.{column.name}" rewrites the table under {self.lock}: '
            f"its default {default.sql} is computed for every row",
            table=table,
            # Of a domain that has the default, the column would get it again.
            safe=_safe(table, column) if column.default is not None else (),
        )


def _safe(table: QualifiedName, column: op.ColumnDefinition) -> tuple[str, ...]:
    """New rows get the default at once; those that were there are for a backfill."""
    default = column.default.sql if column.default else "NULL"
    return ("\n".join((code.add_column(table, column), code.set_default(table, column.name, default))),)
