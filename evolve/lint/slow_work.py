"""What the rest of a transaction does that takes long."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


def slow_behind(step: Step, history: History) -> Step | None:
    """The next step of the same revision and transaction that reads or writes every row of something in use.

    What changes rows in use has a rule of its own, and TRUNCATE takes an instant.
    """
    made = {step.operation.table} if isinstance(step.operation, op.CreateTable) else set()
    for later in history.later():
        if later.transaction != step.transaction or isinstance(
            later.operation, op.Update | op.Delete | op.Truncate
        ):
            continue
        if isinstance(later.operation, op.Insert):
            if _fills_a_new_table(later.operation, made, history):
                return later
            continue
        if isinstance(later.operation, op.CreateTable):
            made.add(later.operation.table)
        done = effect(later.operation, history.schema, history.postgres_version)
        if any(history.in_use(table) and table not in made for table in (*done.scans, *done.rewrites)):
            return later
    return None


def _fills_a_new_table(operation: op.Insert, made: set[QualifiedName], history: History) -> bool:
    old = [source for source in operation.sources if history.in_use(source) and source not in made]
    target_is_new = operation.table in made or not history.in_use(operation.table)
    return operation.from_query and target_is_new and bool(old)
