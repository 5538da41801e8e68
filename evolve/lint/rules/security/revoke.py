"""EV261: rights on something in use are taken away, by `REVOKE` or by another owner."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.made import new_function, new_type
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class Revoke(Rule):
    id = "EV261"
    name = "revoke"
    severity = Severity.WARNING
    looks_at = (op.Other, op.AlterTableOther)
    breaks_old_code = True
    peers = ("squawk:ban-revoke",)
    why = (
        'statements of code that connects as that role fail with "permission denied"; first deploy a release that '
        "does not need the right, or that connects as another role"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other(kind="REVOKE", target=target, detail=roles) if _in_use(target, history):
                name = f' on "{target.plain}"' if target is not None else ""
                yield self.finding(step, f"rights{name} are taken from {roles}")
            case op.AlterTableOther(table=table, clause="owner", detail=role) if history.in_use(table):
                yield self.finding(
                    step,
                    f'"{table.plain}" belongs to {role}, and its owner up to now has no rights by that any more',
                    table=table,
                    lock=LockMode.ACCESS_EXCLUSIVE,
                )
            case op.Other(kind="REASSIGN OWNED"):
                yield self.finding(step, "all that belongs to a role belongs to another one")
            case op.Other(kind=kind, target=target, detail=role) if kind.endswith(" OWNER"):
                if _in_use(target, history):
                    name = f'"{target.plain}"' if target is not None else "it"
                    yield self.finding(
                        step, f"{name} belongs to {role}, and its owner up to now may be shut out"
                    )
            case _:
                return


def _in_use(target: QualifiedName | None, history: History) -> bool:
    if target is None:
        return True
    return history.in_use(target) and not new_function(history, target) and not new_type(history, target)
