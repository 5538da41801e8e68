"""Whether what is dropped is made again before the transaction ends, so that nobody meets the gap."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


def view_again(step: Step, view: QualifiedName, history: History) -> Step | None:
    """The later step that makes a view, or another relation, of that name."""
    for later in _rest(step, history):
        match later.operation:
            case op.CreateView(view=name) | op.CreateTable(table=name) if name == view:
                return later
            case op.RenameView(view=old, to=to) | op.RenameTable(table=old, to=to) if (
                QualifiedName(to, old.schema) == view
            ):
                return later
            case _:
                pass
    return None


def function_again(step: Step, function: QualifiedName, history: History) -> bool:
    return any(
        isinstance(later.operation, op.CreateFunction) and later.operation.function == function
        for later in _rest(step, history)
    )


def trigger_again(step: Step, table: QualifiedName, name: str, history: History) -> bool:
    return any(
        isinstance(later.operation, op.CreateTrigger)
        and (later.operation.table, later.operation.name) == (table, name)
        for later in _rest(step, history)
    )


def _rest(step: Step, history: History) -> list[Step]:
    """What comes behind `step` in its transaction."""
    if step.transaction is None:
        return []
    return [later for later in history.later() if later.transaction == step.transaction]
