"""EV245: `REPLICA IDENTITY` that ends or burdens logical replication of a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class ReplicaIdentity(Rule):
    id = "EV245"
    name = "replica-identity"
    severity = Severity.WARNING
    looks_at = (op.AlterTableOther,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    peers = ("squawk:ban-replica-identity",)
    why = (
        "where a publication sends the table's updates and deletes, these fail once it has no replica identity; use "
        "the primary key, or a unique index over columns that are NOT NULL"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table=table, clause="replica identity", detail=identity):
                if not history.in_use(table):
                    return
                found = history.schema.table(table)
                keyless = found is not None and not found.implied and found.primary_key is None
                if identity == "nothing" or (identity == "default" and keyless):
                    lack = "" if identity == "nothing" else ", for it has no primary key"
                    yield self.finding(
                        step, f'"{table.plain}" has no replica identity any more{lack}', table=table
                    )
                elif identity == "full":
                    yield self.finding(
                        step,
                        f'every UPDATE and DELETE of "{table.plain}" logs the whole old row',
                        table=table,
                        breaks_old_code=False,
                        why="the log grows with the width of the row, and a subscriber without a usable index reads "
                        "its whole table for each row that changes",
                    )
            case _:
                return
