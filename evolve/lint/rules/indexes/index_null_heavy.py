"""EV829: a whole index over a column that is null in every row there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import key_columns, made, name_of
from evolve.sql import operations as op
from evolve.sql.names import quote
from evolve.sql.parse import expression
from evolve.sql.steps import Step


class IndexNullHeavy(Rule):
    id = "EV829"
    name = "index-null-heavy"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = "each null has an entry in the index, which no query by value looks for; without them it is far smaller"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or len(index.keys) != 1 or index.where is not None or index.unique:
            return
        for key, column in key_columns(index, history):
            new = history.in_use(index.table) and (index.table, column.name) in history.new_columns
            if not new or column.not_null or column.default is not None or column.generated:
                continue
            where = expression(f"{quote(column.name)} IS NOT NULL")
            partial = replace(index, where=where, keys=(key,))
            yield self.finding(
                step,
                f'"{index.table.plain}.{column.name}" is new and null in every row, and the index keeps them all',
                safe=(code.create_index_concurrently(partial, name_of(index)),),
            )
