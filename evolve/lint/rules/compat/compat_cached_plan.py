"""EV286: prepared statements that read a column fail once when its type changes."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class CompatCachedPlan(Rule):
    id = "EV286"
    name = "compat-cached-plan"
    severity = Severity.INFO
    looks_at = (op.AlterColumnType,)
    opt_in = True
    why = (
        'PostgreSQL refuses a prepared SELECT whose result has another type now ("cached plan must not change result '
        'type"). SQLAlchemy fails once for each pooled connection and recovers with the rollback; psycopg 3 in '
        "autocommit mode goes on failing until the connection is closed. psycopg prepares what it has sent five times"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterColumnType(table=table, column=column, type=type_) if history.column_in_use(
                table, column
            ):
                known = history.schema.column(table, column)
                if known is None or known.type != type_:
                    yield self.finding(
                        step,
                        f'prepared statements that read "{table.plain}.{column}" fail once on every connection',
                    )
            case _:
                return
