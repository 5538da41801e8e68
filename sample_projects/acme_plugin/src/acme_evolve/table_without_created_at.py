"""ACME101: a new table without `created_at`."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.plugin_api import Finding, History, Rule, Severity, Step, operations


class TableWithoutCreatedAt(Rule):
    id = "ACME101"
    name = "table-without-created-at"
    severity = Severity.WARNING
    why = "our retention works by age, and the age of rows that were written without it cannot be found out later"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case operations.CreateTable(table, columns, partition_of=None, as_query=False, temporary=False):
                if not any(column.name == "created_at" for column in columns):
                    yield self.finding(
                        step,
                        f'the new table "{table.plain}" has no column "created_at"',
                        fix='add sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), '
                        "nullable=False)",
                    )
