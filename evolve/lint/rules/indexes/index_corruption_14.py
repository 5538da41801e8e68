"""EV421: a concurrent build on PostgreSQL 14, whose first minor versions can leave rows out."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class IndexCorruption14(Rule):
    id = "EV421"
    name = "index-corruption-14"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex, op.Reindex)
    peers = ("strong_migrations:add_index_corruption",)
    why = (
        "with 14.0 to 14.3, rows that change while CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY runs can be "
        "missing in the index: queries then do not find them, and a unique index lets duplicates in"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if history.postgres_version != 14:
            return
        match step.operation:
            case op.CreateIndex(concurrently=True) as create if history.in_use(create.table):
                what = f'building an index of "{create.table.plain}" concurrently'
            case op.Reindex(concurrently=True):
                what = "reindexing concurrently"
            case _:
                return
        yield self.finding(
            step,
            f"{what} can leave rows out on PostgreSQL 14.0 to 14.3",
            fix="run 14.4 or later; check indexes that were built before with amcheck's bt_index_check(…, true)",
        )
