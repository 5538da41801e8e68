"""Which settings of the session are in force at a step, and where a revision first stops the traffic of a table."""

from __future__ import annotations

import re

from evolve.lint.history import History
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

# Operations that may make writers of a table wait.
LOCKING = (
    op.CreateTable,
    op.AddColumn,
    op.DropColumn,
    op.RenameColumn,
    op.AlterColumnType,
    op.SetNotNull,
    op.DropNotNull,
    op.SetDefault,
    op.DropDefault,
    op.AddConstraint,
    op.DropConstraint,
    op.AlterTableOther,
    op.RenameTable,
    op.DropTable,
    op.CreateIndex,
    op.DropIndex,
    op.Truncate,
    op.LockTable,
    op.CreateTrigger,
    op.DropTrigger,
    op.Other,
)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\Z")
_MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def in_force(history: History, step: Step, name: str) -> str | None:
    """The value that revisions have set and that still holds at `step`; None where the server's own holds."""
    for earlier in reversed(history.steps):
        match earlier.operation:
            case op.SetParameter(name=found, value=value, local=local) if found == name or found == "all":
                if not local or earlier.transaction == step.transaction is not None:
                    return value
            case _:
                pass
    return None


def milliseconds(value: str) -> float | None:
    """Of a timeout's value, such as "2s" or "2000"; None where it is no duration."""
    read = _DURATION.match(value.strip().strip("'"))
    return float(read[1]) * _MILLISECONDS[read[2] or "ms"] if read else None


def first_strong_lock(step: Step, history: History) -> QualifiedName | None:
    """The table whose writers wait for `step`, where no earlier statement of its transaction made any wait."""
    if any(mode.blocks_writes for mode, _ in history.transaction.locks.values()):
        return None
    schema = history.schema
    for name, mode in effect(step.operation, schema, history.postgres_version).locks.items():
        other = name in schema.indexes or name in schema.sequences or name in schema.views
        if mode.blocks_writes and history.in_use(name) and not other:
            return name
    return None
