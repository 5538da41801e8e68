"""EV688: a constraint that takes over an index which cannot be its own."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Index
from evolve.sql.steps import Step


class UsingIndexUnfit(Rule):
    id = "EV688"
    name = "using-index-unfit"
    severity = Severity.ERROR
    looks_at = (op.AddConstraint,)
    fails = True
    why = (
        "a UNIQUE or PRIMARY KEY constraint takes over only a unique index of its table over plain columns in their "
        "usual order, without a WHERE, that no other constraint has"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddConstraint(
                table, op.Unique(using_index=str(name)) | op.PrimaryKey(using_index=str(name))
            ):
                index = history.schema.indexes.get(QualifiedName(name, table.schema))
            case _:
                return
        reason = _unfit(index, table) if index is not None else None
        if reason is not None and certain(step, history):
            yield self.finding(step, f'no constraint takes over "{name}": it {reason}')

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return WHERE_REFUSED if any(self.check(step, history)) else ()


def _unfit(index: Index, table: QualifiedName) -> str | None:
    definition = index.definition
    if definition.table != table:
        return f'is an index of "{definition.table.plain}"'
    if index.constraint is not None:
        return f'belongs to the constraint "{index.constraint}"'
    if not definition.unique:
        return "is not unique"
    if definition.where is not None:
        return "has a WHERE"
    if any(key.expression is not None for key in definition.keys):
        return "is over an expression"
    if any(key.descending for key in definition.keys):
        return "has a column in descending order"
    # Another operator class may be the type's usual one, spelled out.
    if any((key.opclass or "").endswith("_pattern_ops") for key in definition.keys):
        return "has an operator class of its own"
    return None
