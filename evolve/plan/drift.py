"""What has come to a table since a change on it was planned, and stands in its way."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.errors import Refused
from evolve.plan.model import SYNC_TRIGGER, Plan
from evolve.plan.target import Target
from evolve.sql.names import QualifiedName, quote


class CameSince(Refused):
    def __init__(self, table: QualifiedName, what: str, plan: Plan) -> None:
        super().__init__(
            f'{what} came to "{table.plain}" after change "{plan.id}" was planned',
            why="the phases to come were made without it: it would be left behind with the old shape, or break at "
            "the next phase",
            fix="drop it and make it again when the change is over; or drop it, go back, and plan the change anew: "
            f"evolve undo {plan.id}",
        )


def refuse_drift(plan: Plan, kept: Target, today: Target) -> None:
    """Raise `CameSince` for the first thing that hangs on a column the change works on and was not there before."""
    for what in _strangers(plan, kept, today):
        raise CameSince(kept.table, what, plan)


def _strangers(plan: Plan, kept: Target, today: Target) -> Iterator[str]:
    uses = plan.uses.writes
    columns = {column for table, column in uses if table == kept.table and column is not None}
    if (kept.table, None) in uses:
        columns = {column.name for column in kept.columns}
    own = _text(plan)

    def strange(name: str, known: set[str], touched: tuple[str, ...]) -> bool:
        return name not in known and bool(columns.intersection(touched)) and quote(name) not in own

    constraints = {constraint.name for constraint in kept.constraints}
    for constraint in today.constraints:
        if strange(constraint.name, constraints, constraint.columns):
            yield f'constraint "{constraint.name}"'
    indexes = {index.name for index in kept.indexes}
    for index in today.indexes:
        if index.constraint is None and strange(index.name, indexes, index.columns):
            yield f'index "{index.name}"'
    triggers = {trigger.name for trigger in kept.triggers}
    for trigger in today.triggers:
        # Those of other changes in flight keep to other columns.
        if trigger.name not in triggers and not trigger.name.startswith(SYNC_TRIGGER):
            yield f'trigger "{trigger.name}"'
    dependents = {(dependent.column, dependent.description) for dependent in kept.dependents}
    for dependent in today.dependents:
        known = (dependent.column, dependent.description) in dependents
        name = dependent.description.rpartition(" ")[2].strip('"').rpartition(".")[2]
        ours = name.startswith(SYNC_TRIGGER) or quote(name) in own
        if not known and dependent.column in columns and not ours:
            yield dependent.description


def _text(plan: Plan) -> str:
    """All SQL of the plan."""
    return "\n".join(
        statement.sql
        for phase in plan.phases
        for part in phase.parts
        for statement in (*part.statements, *part.undo)
    )
