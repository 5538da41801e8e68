"""EV912: the call of a function that neither a revision nor PostgreSQL made."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

# What well-known ones do, by their names: the schema that an extension is installed in may be any.
_KNOWN_TO = {
    "addgeometrycolumn": "adds a column to a table (PostGIS)",
    "dropgeometrycolumn": "drops a column of a table (PostGIS)",
    "dropgeometrytable": "drops a table (PostGIS)",
    "populate_geometry_columns": "changes the types of columns or adds constraints (PostGIS)",
    "updategeometrysrid": "changes the type of a column and every row of the table (PostGIS)",
    "create_hypertable": "locks the table with ACCESS EXCLUSIVE, and refuses one with rows unless migrate_data "
    "moves them all under that lock (TimescaleDB)",
    "create_distributed_table": "moves the rows of the table to shards while nothing else writes (Citus)",
    "create_reference_table": "copies the table to every node while nothing else writes (Citus)",
    "create_parent": "makes partitions of the table (pg_partman)",
    "create_partition": "makes partitions of the table (pg_partman)",
    "run_maintenance": "makes and drops partitions (pg_partman)",
    "schedule": "has a command run later, and again and again (pg_cron)",
    "dblink_exec": "runs a statement in another session (dblink)",
    "dblink": "runs a statement in another session (dblink)",
}


class UnknownFunction(Rule):
    id = "EV912"
    name = "unknown-function"
    severity = Severity.WARNING
    looks_at = (op.DoBlock,)
    why = (
        "a function may run any statement, and the text of this one stands in no revision: its locks were not checked, "
        "and what it changed is not known behind it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:  # the hook's signature
        match step.operation:
            case op.DoBlock(function=function, known=False) as call if function is not None:
                pass
            case _:
                return
        # What is called for each of many tables is to be reviewed once.
        calls = [other for other in history.revision if other.operation == call]
        if step is calls[0]:
            told = _KNOWN_TO.get(function.name)
            yield self.finding(
                step,
                f'"{function.plain}" was not checked: neither a revision nor PostgreSQL makes that function'
                + (f", which {told}" if told else "")
                + (f"; it is called {len(calls) - 1} times more" if len(calls) > 1 else ""),
                fix="review what it does, and allow it with a reason",
            )
