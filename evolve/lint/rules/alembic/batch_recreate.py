"""EV664: `batch_alter_table` copies the table, which is meant for SQLite."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

_PREFIX = "_alembic_tmp_"


class BatchRecreate(Rule):
    id = "EV664"
    name = "alembic-batch-on-postgres"
    severity = Severity.ERROR
    looks_at = (op.CreateTable,)
    why = (
        "rows written while the copy runs are lost, and so are the grants, triggers and policies of the table; "
        "PostgreSQL can alter it in place"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTable(table=table) if table.name.startswith(_PREFIX):
                pass
            case _:
                return
        copied = QualifiedName(table.name.removeprefix(_PREFIX), table.schema)
        if history.in_use(copied):
            yield self.finding(
                step,
                f'batch_alter_table copies "{copied.plain}" into a new table and drops the old one',
                fix='leave out recreate="always": on PostgreSQL each change is an ALTER TABLE then',
            )
