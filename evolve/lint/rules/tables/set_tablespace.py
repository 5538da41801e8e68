"""EV154: `SET TABLESPACE` on a table or an index in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class SetTablespace(Rule):
    id = "EV154"
    name = "set-tablespace"
    severity = Severity.ERROR
    looks_at = (op.AlterTableOther, op.Other)
    lock = LockMode.ACCESS_EXCLUSIVE
    rewrite = True
    why = (
        "the file is copied block by block under a lock that stops all reads and writes; indexes move with REINDEX "
        "(TABLESPACE …) CONCURRENTLY, and a table with pg_repack, or by a new table"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table=table, clause="set tablespace", detail=to) if history.in_use(table):
                copied = effect(step.operation, history.schema).rewrite
                if copied:
                    yield self.finding(
                        step, f'"{table.plain}" is copied to the tablespace "{to}"', table=table
                    )
            case op.Other(kind="ALTER TABLE MOVE ALL"):
                yield self.finding(step, "all that is in a tablespace is copied to another one")
            case _:
                return
