"""EV655: a revision steps out of a transaction that `env.py` opened, not Alembic."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql.steps import Mark, Recording, Remark


class EnvOwnsTransaction(Rule):
    id = "EV655"
    name = "alembic-env-owns-transaction"
    severity = Severity.ERROR
    fails = True
    why = (
        "where env.py has begun a transaction, Alembic opens none of its own and cannot step out of it: the assertion "
        "in autocommit_block() ends the upgrade"
    )

    def check_remark(self, remark: Remark, recording: Recording) -> Iterator[Finding]:
        if remark.mark is Mark.OUTER_TRANSACTION:
            yield self.finding_at(
                remark.place,
                recording.revision,
                f"autocommit_block() fails, for the transaction is not one of Alembic: {remark.detail}",
                fix="let env.py connect() and commit() its own statements; context.begin_transaction() does the rest",
            )
