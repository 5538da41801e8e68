"""EV208: a column stops numbering new rows."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.in_the_same_transaction import filled_otherwise
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropIdentity(Rule):
    id = "EV208"
    name = "drop-identity"
    severity = Severity.WARNING
    peers = ("squawk:ban-alter-identity",)
    looks_at = (op.DropIdentity,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    why = (
        "the column stays NOT NULL and its sequence is gone: every insert that leaves it to the database, as "
        "SQLAlchemy does with primary keys, fails from then on"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropIdentity(table, column) if history.in_use(table):
                pass
            case _:
                return
        known = history.schema.column(table, column)
        if known is not None and known.type and known.identity is None:
            return
        if not filled_otherwise(step, history, table, column):
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is no longer numbered, and inserts that leave it out fail',
                table=table,
            )
