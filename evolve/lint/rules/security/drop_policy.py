"""EV260: `DROP POLICY` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class DropPolicy(Rule):
    id = "EV260"
    name = "drop-policy"
    severity = Severity.WARNING
    looks_at = (op.DropPolicy,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    peers = ("squawk:ban-drop-policy",)
    why = (
        "without a permissive policy code finds fewer rows, without a restrictive one it may see too many, and no "
        "error says so; make what takes its place in the same transaction"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropPolicy(table=table, name=name, if_exists=if_exists) if history.in_use(table):
                found = history.schema.table(table)
                absent = found is not None and not found.implied and name not in found.policies
                if not (if_exists and absent) and not _replaced(step, table, history):
                    yield self.finding(
                        step, f'the policy "{name}" of "{table.plain}" is dropped', table=table
                    )
            case _:
                return


def _replaced(step: Step, table: QualifiedName, history: History) -> bool:
    """True where the same transaction makes a policy of the table: what one sees changes with that, as is meant."""
    if step.transaction is None:
        return False
    around = (*history.steps, *history.later())
    return any(
        isinstance(other.operation, op.CreatePolicy)
        and other.operation.table == table
        and other.transaction == step.transaction
        for other in around
    )
