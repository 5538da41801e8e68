"""What is known of the policies of a table."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName


def may_have_policies(table: QualifiedName, history: History) -> bool:
    """False where it is known that the table has none, now and at the end of the revision."""
    found = history.schema.table(table)
    known = found is not None and not found.implied
    if not known or (found is not None and found.policies):
        return True
    return any(
        isinstance(later.operation, op.CreatePolicy) and later.operation.table == table
        for later in history.later()
    )
