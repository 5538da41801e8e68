"""What a step does where it stands: in the session's time zone, and beside the other clauses of its statement."""

from __future__ import annotations

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.effects import Effect, effect
from evolve.sql.steps import Step


def predicted(step: Step, history: History) -> Effect:
    """The effect of `step`; `history` stands just before it."""
    operation, version = step.operation, history.postgres_version
    match operation:
        case op.AlterColumnType():
            timezone = _timezone(step, history)
            if timezone is None:
                return history.effect(operation)
            return effect(operation, history.schema, version, timezone=timezone)
        case op.SetNotNull(table=table) | op.AddConstraint(table=table):
            schema = history.without_dropped(table)
            return (
                history.effect(operation) if schema is history.schema else effect(operation, schema, version)
            )
        case _:
            return history.effect(operation)


def _timezone(step: Step, history: History) -> str | None:
    """The TimeZone that the revision has set before `step`, where it did."""
    for earlier in reversed(history.revision[: history.position]):
        match earlier.operation:
            case op.SetParameter(name=name, value=value, local=local) if name.lower() == "timezone":
                if not local or (earlier.transaction is not None and earlier.transaction == step.transaction):
                    return value
            case _:
                pass
    return None
