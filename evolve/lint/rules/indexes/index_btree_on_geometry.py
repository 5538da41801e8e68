"""EV828: a B-tree over places and shapes."""

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
from evolve.sql.types import base

# PostgreSQL's own have no order at all; those of PostGIS have one that no query asks for.
_OWN = frozenset({"point", "line", "lseg", "box", "path", "polygon", "circle"})
_POSTGIS = frozenset({"geometry", "geography"})


class IndexBtreeOnGeometry(Rule):
    id = "EV828"
    name = "index-btree-on-geometry"
    severity = Severity.WARNING
    looks_at = (op.CreateIndex,)
    why = "what is near, inside or overlapping is found by GiST; a B-tree finds only the very same shape, if any"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or index.method != "btree":
            return
        for key, column in key_columns(index, history):
            plain = base(column.type).rpartition(".")[2]
            if key.opclass is not None or plain not in _OWN | _POSTGIS or column.type.endswith("[]"):
                continue
            fails = plain in _OWN
            yield self.finding(
                step,
                f'"{index.table.plain}.{column.name}" is {column.type}, '
                + (
                    "which no B-tree can hold: CREATE INDEX fails"
                    if fails
                    else "of which a B-tree finds equal shapes only"
                ),
                fails=fails,
                severity=Severity.ERROR if fails else None,
                safe=_safe(index, history),
                fix='use GiST: postgresql_using="gist"',
            )
            return


def _safe(index: op.IndexDefinition, history: History) -> tuple[str, ...]:
    if len(index.keys) > 1 or index.unique or not history.in_use(index.table):
        return ()
    return (code.create_index_concurrently(replace(index, method="gist"), name_of(index)),)
