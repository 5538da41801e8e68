"""EV107: VALIDATE CONSTRAINT in the transaction that added the constraint NOT VALID."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import alembic_code as code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.one_transaction import part, where
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class ValidateSameTransaction(Rule):
    id = "EV107"
    name = "validate-same-transaction"
    severity = Severity.ERROR
    looks_at = (op.ValidateConstraint,)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    peers = (
        "squawk:constraint-missing-not-valid",
        "strong_migrations:validate_check_constraint",
        "strong_migrations:validate_foreign_key",
    )
    why = (
        "locks are kept until the transaction ends, so the rows are read under the strong lock that adding "
        "the constraint took, and NOT VALID has gained nothing"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.ValidateConstraint(table, name) if history.in_use(table):
                added = history.transaction.not_valid.get((table, name))
            case _:
                return
        if added is None:
            return
        kept = history.transaction.locks.get(table)
        yield self.finding(
            step,
            f'"{name}" is validated in the transaction that added it {where(added, step)}, '
            f'so "{table.plain}" stays locked while every row is read',
            table=table,
            lock=kept[0] if kept else None,
            safe=(code.validate(table, name),) if added.revision == step.revision else (),
            fix=part(added, step),
        )
