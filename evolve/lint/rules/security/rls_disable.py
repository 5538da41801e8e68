"""EV635: row-level security ends on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

_OFF = ("disable row level security", "no force row level security")


class RlsDisable(Rule):
    id = "EV635"
    name = "rls-disable"
    severity = Severity.WARNING
    looks_at = (op.AlterTableOther,)
    lock = LockMode.ACCESS_EXCLUSIVE
    peers = ("squawk:ban-alter-row-level-security",)
    why = (
        "its policies stay, but nothing asks them: code that leaves it to them to keep tenants or users apart shows "
        "everybody's rows to everybody"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table=table, clause=clause) if clause in _OFF and history.in_use(table):
                if not _on_again(step, table, history):
                    who = "every role with SELECT" if clause.startswith("disable") else "the owner"
                    yield self.finding(step, f'{who} sees all rows of "{table.plain}"', table=table)
            case _:
                return


def _on_again(step: Step, table: QualifiedName, history: History) -> bool:
    """True where the transaction ends with it as it was, so that nobody notices."""
    return step.transaction is not None and any(
        isinstance(later.operation, op.AlterTableOther)
        and later.operation.table == table
        and later.operation.clause in ("enable row level security", "force row level security")
        and later.transaction == step.transaction
        for later in history.later()
    )
