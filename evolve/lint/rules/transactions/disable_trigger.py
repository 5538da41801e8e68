"""EV451: triggers of a table in use are switched off, those of foreign keys maybe among them."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DisableTrigger(Rule):
    id = "EV451"
    name = "disable-trigger"
    severity = Severity.ERROR
    peers = ("squawk:ban-disable-trigger",)
    looks_at = (op.AlterTableOther,)
    lock = LockMode.SHARE_ROW_EXCLUSIVE
    why = (
        "what the trigger keeps true is not kept true for rows written meanwhile, and switching it on again checks "
        "none of them; foreign keys are triggers too"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table, "disable trigger", detail) if history.in_use(table):
                pass
            case _:
                return
        what = {
            "ALL": f'all triggers and foreign keys of "{table.plain}" are',
            "USER": f'all triggers of "{table.plain}" are',
        }.get(detail or "", f'trigger "{detail}" of "{table.plain}" is')
        here = _comes_back(step, table, history)
        until = "for this transaction, and writers wait until it ends" if here else "for everybody"
        yield self.finding(step, f"{what} switched off {until}", table=table)


def _comes_back(step: Step, table: QualifiedName, history: History) -> bool:
    """True where the same transaction switches triggers of the table on again."""
    return any(
        isinstance(later.operation, op.AlterTableOther)
        and later.operation.table == table
        and later.operation.clause.startswith("enable")
        and later.transaction == step.transaction is not None
        for later in history.later()
    )
