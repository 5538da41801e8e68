"""EV640: BEGIN or ROLLBACK by hand, in Alembic's transaction or without an end."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class TransactionNesting(Rule):
    id = "EV640"
    name = "transaction-nesting"
    severity = Severity.ERROR
    looks_at = (op.TransactionControl,)
    peers = ("squawk:transaction-nesting", "squawk:ban-uncommitted-transaction")
    why = (
        "Alembic opens and commits the transactions itself: PostgreSQL has none within another, and what is undone or "
        "left open by hand is recorded as applied all the same"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        if step.transaction is None:
            return
        match step.operation:
            case op.TransactionControl("begin") if _is_inside(step, history):
                message = "BEGIN does nothing but warn: a transaction is open already"
            case op.TransactionControl("begin") if not _is_ended(history):
                message = "nothing ends what BEGIN begins"
            case op.TransactionControl("rollback") if not _was_begun(step, history):
                message = "ROLLBACK ends Alembic's transaction and undoes all that was done in it"
            case _:
                return
        yield self.finding(
            step,
            message,
            fix="leave it out; op.get_context().autocommit_block() runs statements without a transaction",
        )


def _is_inside(step: Step, history: History) -> bool:
    """True where an earlier statement of the revision ran in the same transaction."""
    return history.position > 0 and history.revision[history.position - 1].transaction == step.transaction


def _is_ended(history: History) -> bool:
    controls = (
        later.operation for later in history.later() if isinstance(later.operation, op.TransactionControl)
    )
    return any(control.action in ("commit", "rollback") for control in controls)


def _was_begun(step: Step, history: History) -> bool:
    """True where the revision itself wrote the BEGIN of this transaction."""
    earlier = history.revision[: history.position]
    return any(
        before.operation == op.TransactionControl("begin") and before.transaction == step.transaction
        for before in earlier
    )
