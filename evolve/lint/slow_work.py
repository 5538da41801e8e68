"""What the rest of a transaction does that takes long."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.steps import Step


def slow_behind(step: Step, history: History) -> Step | None:
    """The next step of the same revision and transaction that reads or writes every row of something in use.

    What changes rows has a rule of its own, and TRUNCATE takes an instant.
    """
    made = {step.operation.table} if isinstance(step.operation, op.CreateTable) else set()
    for later in history.later():
        if later.transaction != step.transaction or isinstance(
            later.operation, op.Update | op.Delete | op.Insert | op.Truncate
        ):
            continue
        if isinstance(later.operation, op.CreateTable):
            made.add(later.operation.table)
        done = effect(later.operation, history.schema, history.postgres_version)
        if any(history.in_use(table) and table not in made for table in (*done.scans, *done.rewrites)):
            return later
    return None
