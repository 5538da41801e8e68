"""EV259: row-level security begins on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.security.policies import may_have_policies
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

_WHO = {
    "enable row level security": "roles that do not own",
    "force row level security": "also the owner of",
}


class RlsEnable(Rule):
    id = "EV259"
    name = "rls-enable"
    severity = Severity.WARNING
    looks_at = (op.AlterTableOther,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    peers = ("squawk:ban-alter-row-level-security",)
    why = (
        "code that does not set what the policies ask for, such as the tenant, finds no rows and may not write any; "
        "first deploy a release that sets it on every connection"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(table=table, clause=clause) if clause in _WHO and history.in_use(table):
                if may_have_policies(table, history) and not _was_on(step, table, history):
                    yield self.finding(
                        step,
                        f'{_WHO[clause]} "{table.plain}" see only what its policies allow',
                        table=table,
                    )
            case _:
                return


def _was_on(step: Step, table: QualifiedName, history: History) -> bool:
    """True where the same transaction turned it off, such as for a backfill."""
    return step.transaction is not None and any(
        isinstance(earlier.operation, op.AlterTableOther)
        and earlier.operation.table == table
        and earlier.operation.clause in ("disable row level security", "no force row level security")
        and earlier.transaction == step.transaction
        for earlier in history.steps
    )
