"""EV514: a key that holds within one shard only."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class ShardLocalKey(Rule):
    id = "EV514"
    name = "shard-local-key"
    severity = Severity.INFO
    looks_at = (op.CreateTable, op.AddColumn, op.AddConstraint, op.CreateIndex)
    opt_in = True
    why = "each shard looks for duplicates and for targets among its own rows, and counts from 1 by itself"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for message in _local(step.operation):
            yield self.finding(
                step,
                message,
                fix="make the sharding key part of it, or give out UUIDs or one range for each shard",
            )


def _local(operation: op.Operation) -> Iterator[str]:
    match operation:
        case op.CreateTable(table=table, columns=columns, constraints=constraints):
            for column in columns:
                yield from _numbered(table, column)
                yield from (text for c in column.constraints for text in _key(table, c))
            yield from (text for c in constraints for text in _key(table, c))
        case op.AddColumn(table=table, column=column):
            yield from _numbered(table, column)
            yield from (text for c in column.constraints for text in _key(table, c))
        case op.AddConstraint(table=table, constraint=constraint):
            yield from _key(table, constraint)
        case op.CreateIndex(index=op.IndexDefinition(unique=True) as index):
            yield f'unique index of "{index.table.plain}" holds within a shard only'
        case _:
            return


def _numbered(table: QualifiedName, column: op.ColumnDefinition) -> Iterator[str]:
    if column.serial or column.identity is not None:
        yield f'"{table.plain}.{column.name}" gets the same numbers on every shard'


def _key(table: QualifiedName, constraint: op.Constraint) -> Iterator[str]:
    match constraint:
        case op.Unique(columns=columns):
            yield f'({", ".join(columns)}) of "{table.plain}" is unique within a shard only'
        case op.ForeignKey(target=target):
            yield f'"{table.plain}" can point to rows of "{target.plain}" on its own shard only'
        case _:
            return
