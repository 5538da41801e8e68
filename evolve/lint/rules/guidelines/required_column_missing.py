"""EV742: a new table without the columns that the project wants on each."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class RequiredColumnMissing(Rule):
    id = "EV742"
    name = "required-column-missing"
    severity = Severity.INFO
    looks_at = (op.CreateTable,)
    opt_in = True
    why = "the project's configuration names columns that every table has to have"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTable(
                table=table,
                columns=columns,
                temporary=False,
                partition_of=None,
                as_query=False,
                inherits=(),
                like=(),
            ):
                pass
            case _:
                return
        missing = [
            name for name in history.required_columns if name not in {column.name for column in columns}
        ]
        if missing:
            yield self.finding(
                step,
                f'"{table.plain}" lacks {", ".join(missing)}',
                fix="add the columns to op.create_table()",
            )
