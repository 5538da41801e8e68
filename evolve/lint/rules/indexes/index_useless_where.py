"""EV830: a partial index that leaves out no row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import made, name_of
from evolve.sql import operations as op
from evolve.sql.parse import conjuncts
from evolve.sql.steps import Step


class IndexUselessWhere(Rule):
    id = "EV830"
    name = "index-useless-where"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = "the condition saves nothing, and keeps the index out of every query that does not repeat it"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or index.where is None or not _holds_always(index, index.where, history):
            return
        found = history.schema.table(index.table)
        plain = history.in_use(index.table) and (found is None or found.partition_by is None)
        yield self.finding(
            step,
            f'WHERE {index.where.sql} holds for every row of "{index.table.plain}"',
            safe=(code.create_index_concurrently(replace(index, where=None), name_of(index)),)
            if plain
            else (),
        )


def _holds_always(index: op.IndexDefinition, where: op.Expression, history: History) -> bool:
    found = history.schema.table(index.table)
    columns = found.columns if found is not None else ()
    sure = {part for c in columns if c.not_null for part in conjuncts(f'"{c.name}" IS NOT NULL')}
    return set(conjuncts(where.sql)) <= {*sure, *conjuncts("true")}
