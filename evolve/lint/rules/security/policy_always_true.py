"""EV632: a policy that lets everybody write everything."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

_TRUE = frozenset({"true", "1 = 1", "'t'::boolean"})


class PolicyAlwaysTrue(Rule):
    id = "EV632"
    name = "policy-always-true"
    severity = Severity.WARNING
    looks_at = (op.CreatePolicy, op.AlterPolicy)
    why = (
        "permissive policies are joined by OR: one that is always true makes all others void, and every role that has "
        "the privilege writes every row. Say which rows, or which role"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        del history
        match step.operation:
            case op.CreatePolicy(table=table, name=name, permissive=True, command=command, roles=roles):
                asked = _asked(command, step.operation.using, step.operation.check)
            case op.AlterPolicy(table=table, name=name, roles=roles, using=using, check=check):
                asked, command = check or using, "write"
            case _:
                return
        # A policy that is for some roles alone says with that whom it is for.
        for_all = not roles or "public" in roles
        if for_all and asked is not None and asked.sql.lower() in _TRUE:
            what = "write" if command == "all" else command
            yield self.finding(
                step, f'the policy "{name}" lets every role {what} every row of "{table.plain}"'
            )


def _asked(command: str, using: op.Expression | None, check: op.Expression | None) -> op.Expression | None:
    """The condition on what is written; that on what is read may well be true for all."""
    match command:
        case "select":
            return None
        case "delete":
            return using
        case _:
            return check or using
