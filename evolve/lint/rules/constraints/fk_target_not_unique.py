"""EV674: a foreign key to columns that no unique index covers."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.constraints.added import LOOKS_AT, added
from evolve.sql import operations as op
from evolve.sql.schema import Schema, Table
from evolve.sql.steps import Step


class FkTargetNotUnique(Rule):
    id = "EV674"
    name = "fk-target-not-unique"
    severity = Severity.ERROR
    looks_at = LOOKS_AT
    fails = True
    opt_in = True
    why = (
        "PostgreSQL takes a foreign key only to columns that a primary key, a UNIQUE constraint or a unique index "
        "without a WHERE covers, those and no others"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, constraint in added(step.operation, history):
            if not isinstance(constraint, op.ForeignKey) or constraint.target == table:
                continue
            target = history.schema.table(constraint.target)
            if target is None or target.implied or _unique(history.schema, target, constraint):
                continue
            if certain(step, history):
                columns = ", ".join(constraint.target_columns)
                yield self.finding(
                    step,
                    f'no unique index covers "{target.name.plain}" ({columns})'
                    if columns
                    else f'"{target.name.plain}" has no primary key to refer to',
                )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return WHERE_REFUSED if any(self.check(step, history)) else ()


def _unique(schema: Schema, target: Table, key: op.ForeignKey) -> bool:
    wanted = set(key.target_columns)
    if not wanted:
        return target.primary_key is not None
    if any(target.column(column) is None for column in wanted):
        return True  # name-not-there tells
    return any(_covers(index.definition, wanted) for index in schema.indexes_of(target.name))


def _covers(index: op.IndexDefinition, wanted: set[str]) -> bool:
    return index.unique and index.where is None and set(index.columns) == wanted
