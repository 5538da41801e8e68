"""EV827: a GIN index over jsonb with the operator class that keeps every key."""

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


class GinJsonbOps(Rule):
    id = "EV827"
    name = "gin-jsonb-ops"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateIndex,)
    why = (
        "the default operator class keeps each key and each value apart; jsonb_path_ops keeps one entry for each path, "
        "which is smaller, faster to search and to write, and answers @> alone"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        index = made(step, history)
        if index is None or index.method != "gin":
            return
        for key, column in key_columns(index, history):
            if column.type == "jsonb" and key.opclass in (None, "jsonb_ops"):
                yield self.finding(
                    step,
                    f'"{index.table.plain}.{column.name}" is indexed key by key',
                    safe=_safe(index, history, key),
                    fix='say postgresql_ops={"'
                    + column.name
                    + '": "jsonb_path_ops"} where queries use @> only',
                )
                return


def _safe(index: op.IndexDefinition, history: History, key: op.IndexKey) -> tuple[str, ...]:
    if not history.in_use(index.table):
        return ()
    keys = tuple(replace(each, opclass="jsonb_path_ops") if each is key else each for each in index.keys)
    return (code.create_index_concurrently(replace(index, keys=keys), name_of(index)),)
