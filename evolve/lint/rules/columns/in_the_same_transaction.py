"""What comes after a step in its own transaction, so that nobody ever sees the state between the two."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


def rest(step: Step, history: History) -> Iterator[op.Operation]:
    """The operations after `step` that take effect together with it; of its own statement where it has none."""
    for later in history.later():
        if later.statement is step.statement or (
            step.transaction is not None and later.transaction == step.transaction
        ):
            yield later.operation


def filled_otherwise(step: Step, history: History, table: QualifiedName, column: str) -> bool:
    """Whether the column gets another source of values, takes null or goes before anybody misses what `step` takes."""
    for later in rest(step, history):
        match later:
            case op.RenameColumn(renamed, old, to) if (renamed, old) == (table, column):
                column = to
            case (
                op.SetDefault(changed, name)
                | op.AddIdentity(changed, name)
                | op.DropNotNull(changed, name)
                | op.DropColumn(changed, name)
            ) if (changed, name) == (table, column):
                return True
            case _:
                pass
    return False
