"""EV206: a NOT NULL column loses its default."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.in_the_same_transaction import filled_otherwise
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DropDefault(Rule):
    id = "EV206"
    name = "drop-default"
    severity = Severity.ERROR
    peers = ("squawk:ban-drop-default",)
    looks_at = (op.DropDefault,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    why = (
        "inserts that leave the column out fail from then on: those of the previous release do where the column "
        "is new, or where its model has no value for it. First deploy code that always gives one, and drop the "
        "default one release later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropDefault(table, column) if (
                history.in_use(table) and step.revision not in history.planned
            ):
                pass  # a planned change takes its own default away when every release gives a value
            case _:
                return
        known = history.schema.column(table, column)
        found = history.schema.table(table)
        if filled_otherwise(step, history, table, column):
            return
        if known is not None and known.type:
            if not known.not_null or known.default is None:
                return
            new = "" if history.column_in_use(table, column) else ", which running code does not know,"
            yield self.finding(
                step,
                f'"{table.plain}.{column}"{new} is NOT NULL and loses its default {known.default.sql}',
                table=table,
            )
        elif (found is None or found.implied) and not _may_be_null(history, table, column):
            yield self.finding(
                step,
                f'"{table.plain}.{column}" loses its default, and no revision tells whether it is NOT NULL',
                table=table,
                severity=Severity.WARNING,
            )


def _may_be_null(history: History, table: QualifiedName, column: str) -> bool:
    """Whether the revision itself has allowed null: the one thing it tells of a column that none has made."""
    return any(
        step.operation == op.DropNotNull(table, column) for step in history.revision[: history.position]
    )
