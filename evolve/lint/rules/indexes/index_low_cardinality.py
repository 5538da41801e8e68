"""EV824: an index over a column that holds a handful of values."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import key_columns, made
from evolve.sql import operations as op
from evolve.sql.steps import Step


class IndexLowCardinality(Rule):
    id = "EV824"
    name = "index-low-cardinality"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = (
        "where a value is held by a large part of the rows, reading the table is cheaper than the index, so the "
        "planner leaves it aside and every write still keeps it up"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or len(index.keys) != 1 or index.unique or index.where is not None:
            return
        for _, column in key_columns(index, history):
            if column.type == "boolean" or history.schema.is_enum(column.type):
                yield self.finding(
                    step,
                    f'"{index.table.plain}.{column.name}" is {column.type} and tells few rows apart',
                    fix="index only the rare value (postgresql_where=…), or put the column beside one that tells more",
                )
