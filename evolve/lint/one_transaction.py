"""Words about two steps that share a transaction: where the earlier one stands, and how to part them."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.steps import Step


def where(earlier: Step, step: Step) -> str:
    """Such as "at line 12", or "in revision 3f2a" where that is another one."""
    if earlier.revision != step.revision:
        return f'in revision "{earlier.revision}"'
    return f"at line {earlier.place.line}"


def part(earlier: Step, step: Step, otherwise: str | None = None) -> str | None:
    """What to do: where two revisions share the transaction that is a matter of `env.py`."""
    if earlier.revision != step.revision:
        return "pass transaction_per_migration=True to context.configure() in env.py, or run evolve upgrade"
    return otherwise


def committed_by_hand(step: Step, history: History) -> bool:
    """Whether its revision has sent a COMMIT: with psycopg 3 the next transaction has begun, with psycopg2 none has."""
    return any(
        earlier.revision == step.revision
        and isinstance(earlier.operation, op.TransactionControl)
        and earlier.operation.action == "commit"
        for earlier in history.steps
    )
