"""EV810: `server_default=None`, where nothing was meant to change."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.in_the_same_transaction import filled_otherwise
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.schema import Column
from evolve.sql.steps import Step
from evolve.sql.type_casts import assigned


class AlterColumnNoopServerDefault(Rule):
    id = "EV810"
    name = "alter-column-noop-server-default"
    severity = Severity.WARNING
    looks_at = (op.DropDefault,)
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "in alter_column server_default=None does not mean that there is none: it sends DROP DEFAULT, which waits "
        "for a lock that stops all reads and writes, and takes away a default that may be there"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropDefault(table, column) if history.in_use(table):
                pass
            case _:
                return
        known = history.schema.column(table, column)
        if known is None or not known.type or known.identity is not None or known.generated is not None:
            return
        if filled_otherwise(step, history, table, column):
            return
        if known.default is None:
            message = f'"{table.plain}.{column}" has no default: DROP DEFAULT takes {self.lock} for nothing'
        elif not known.not_null and _along_with_another_change(step, history, known):
            message = (
                f'"{table.plain}.{column}" loses its default {known.default.sql} along with another change of it: '
                "leave out server_default to keep it"
            )
        else:
            return
        yield self.finding(step, message, table=table)


def _along_with_another_change(step: Step, history: History, known: Column) -> bool:
    """Whether one call of alter_column sent more than this: the same line, another statement.

    With nullable=True it is meant: null takes the place of the default. So it is where the new type has no cast for it.
    """
    for other in history.revision:
        if other.place != step.place or other.statement is step.statement:
            continue
        match other.operation:
            case op.AlterColumnType(column=known.name, type=new):
                return assigned(known.type, new, history.schema) is not False
            case op.RenameColumn(column=known.name):
                return True
            case _:
                pass
    return False
