"""EV825: a hash index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import made, name_of
from evolve.sql import operations as op
from evolve.sql.steps import Step


class IndexHash(Rule):
    id = "EV825"
    name = "index-hash"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = (
        "a hash index answers = alone: no ranges, no order, no uniqueness, no further columns; a B-tree answers all of "
        "these and finds a single value about as fast"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or index.method != "hash":
            return
        found = history.schema.table(index.table)
        plain = history.in_use(index.table) and (found is None or found.partition_by is None)
        better = replace(index, method="btree")
        yield self.finding(
            step,
            f'index "{name_of(index)}" of "{index.table.plain}" is a hash',
            safe=(code.create_index_concurrently(better, name_of(index)),) if plain else (),
        )
