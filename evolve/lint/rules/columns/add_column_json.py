"""EV610: a new `json` column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class AddColumnJson(Rule):
    id = "EV610"
    name = "add-column-json"
    severity = Severity.WARNING
    looks_at = (op.AddColumn,)
    peers = ("eugene:E3", "strong_migrations:add_column_json")
    why = (
        "json has no equality: SELECT DISTINCT, UNION and GROUP BY over the rows fail as soon as the column is "
        "among what is selected; jsonb has it, and takes indexes"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddColumn(table, op.ColumnDefinition(type="json") as column) as add if history.adds(add):
                pass
            case _:
                return
        binary = replace(column, type="jsonb")
        plain = not column.generated and not column.constraints and (column.default or not column.not_null)
        constant = column.default is None or column.default.constant
        yield self.finding(
            step,
            f'"{table.plain}.{column.name}" is json, which SELECT DISTINCT and GROUP BY cannot compare',
            safe=(code.add_column_with_default(table, binary),) if plain and constant else (),
        )
