"""EV602: an enum value is used in the transaction that added it, where PostgreSQL refuses it."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.one_transaction import committed_by_hand, part, where
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class EnumValueUsedSameTransaction(Rule):
    id = "EV602"
    name = "enum-value-used-same-transaction"
    severity = Severity.ERROR
    fails = True
    why = (
        'PostgreSQL raises "unsafe use of new value" until the transaction that added it has ended; add the value '
        "in an earlier revision, or in an autocommit block"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        added = history.transaction.enum_values
        if not added:
            return
        used = _literals(step.operation)
        committed = committed_by_hand(step, history)
        which = (
            "the transaction that psycopg 3 opens right after COMMIT" if committed else "the same transaction"
        )
        for (type_name, value), adding in added.items():
            if value in used:
                yield self.finding(
                    step,
                    f'the value "{value}" was added to "{type_name.plain}" {where(adding, step)}, '
                    f"in {which}, and cannot be used yet",
                    severity=Severity.WARNING if committed else None,
                    fix=part(adding, step),
                )


def _literals(operation: op.Operation) -> frozenset[str]:
    match operation:
        case (
            op.Insert(literals=literals)
            | op.Update(literals=literals)
            | op.Delete(literals=literals)
            | op.Query(literals=literals)
        ):
            return literals
        case op.SetDefault(default=default):
            return _quoted(default.sql)
        case op.AddColumn(column=op.ColumnDefinition(default=op.Expression(sql=sql))):
            return _quoted(sql)
        case op.CreateTable(columns=columns):
            defaults = [column.default.sql for column in columns if column.default is not None]
            return frozenset[str]().union(*map(_quoted, defaults))
        case op.AddConstraint(constraint=op.Check(expression=expression)):
            return _quoted(expression.sql)
        case op.CreateIndex(index=op.IndexDefinition(where=op.Expression(sql=sql))):
            return _quoted(sql)
        case _:
            return frozenset()


def _quoted(sql: str) -> frozenset[str]:
    """String constants of an expression."""
    return frozenset(sql.split("'")[1::2])
