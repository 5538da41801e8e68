"""EV685: a default that the column's type does not take."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.literals import Misfit, misfit
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DefaultUnfit(Rule):
    id = "EV685"
    name = "default-unfit"
    severity = Severity.ERROR
    looks_at = (op.SetDefault, op.AddColumn, op.CreateTable)
    fails = True
    why = (
        "PostgreSQL reads a default as one of the column's type when it stores it, and refuses what it cannot read; "
        "a text that is too long or a number that is too large is refused where it is used"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        # A new column of a table gets its value at once, in a new table nothing is computed.
        computed = isinstance(step.operation, op.AddColumn)
        for table, column, wrong in _misfits(step.operation, history):
            if certain(step, history):
                late = wrong.when_used and not computed
                yield self.finding(
                    step,
                    f'the default of "{table.plain}.{column}" does not fit: {wrong.reason}'
                    + (", so every row that leaves the column out is refused" if late else ""),
                    fails=not late,
                )

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        found = any(finding.fails for finding in self.check(step, history))
        return (*WHERE_REFUSED, "set-default") if found else ()


def _misfits(operation: op.Operation, history: History) -> Iterator[tuple[QualifiedName, str, Misfit]]:
    for table, column, default, type_ in _defaults(operation, history):
        wrong = misfit(default, type_, history.schema) if default is not None and type_ else None
        if wrong is not None:
            yield table, column, wrong


def _defaults(
    operation: op.Operation, history: History
) -> Iterator[tuple[QualifiedName, str, op.Expression | None, str]]:
    """Each default, with the type of its column; "" where that is not known."""
    match operation:
        case op.SetDefault(table, column, default):
            known = history.schema.column(table, column)
            # PostgreSQL changes types before it looks at defaults, wherever in the statement that stands.
            changed = (
                clause.type
                for clause in history.clauses
                if isinstance(clause, op.AlterColumnType) and (clause.table, clause.column) == (table, column)
            )
            yield table, column, default, next(changed, known.type if known is not None else "")
        case op.AddColumn(table, column) as add:
            there = add.if_not_exists and history.schema.column(table, column.name) is not None
            if not there:
                yield table, column.name, column.default, column.type
        case op.CreateTable(table, columns, if_not_exists=if_not_exists):
            if not (if_not_exists and table in history.schema.tables):
                yield from ((table, column.name, column.default, column.type) for column in columns)
        case _:
            return
