"""EV826: a B-tree over jsonb or an array, which answers no question that is asked of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.indexes.made import key_columns, made, name_of
from evolve.sql import operations as op
from evolve.sql.steps import Step

# Types that no B-tree can order: CREATE INDEX fails.
_REFUSED = frozenset({"json", "xml"})


class IndexBtreeOnJsonb(Rule):
    id = "EV826"
    name = "index-btree-on-jsonb"
    severity = Severity.WARNING
    looks_at = (op.CreateIndex,)
    why = (
        "a B-tree compares whole values: it finds a document or an array that is equal to the last byte, and is of no "
        "use for @>, ?, && or a key; rows with a value above some 2700 bytes cannot even be written"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or index.method != "btree" or index.unique:
            return
        for key, column in key_columns(index, history):
            if key.opclass is not None:
                continue
            named = f'"{index.table.plain}.{column.name}" is {column.type}'
            if column.type in _REFUSED:
                yield self.finding(
                    step,
                    f"{named}, which no B-tree can hold: CREATE INDEX fails",
                    fails=True,
                    severity=Severity.ERROR,
                    fix="make the column jsonb, or index an expression that takes a text out of it",
                )
                return
            if column.type == "jsonb" or column.type.endswith("[]"):
                yield self.finding(
                    step,
                    f"{named}, of which a B-tree finds whole values only",
                    safe=_safe(index, history),
                    fix="use a GIN index, or a B-tree over an expression such as (data ->> 'kind')",
                )
                return


def _safe(index: op.IndexDefinition, history: History) -> tuple[str, ...]:
    found = history.schema.table(index.table)
    partitioned = found is not None and found.partition_by is not None
    if len(index.keys) > 1 or index.include or partitioned or not history.in_use(index.table):
        return ()
    keys = tuple(replace(key, descending=False) for key in index.keys)
    return (code.create_index_concurrently(replace(index, method="gin", keys=keys), name_of(index)),)
