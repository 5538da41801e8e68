"""EV633: a SECURITY DEFINER function that finds its names by the caller's search_path."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class SecurityDefinerSearchPath(Rule):
    id = "EV633"
    name = "security-definer-search-path"
    severity = Severity.WARNING
    looks_at = (op.CreateFunction, op.AlterFunction)
    why = (
        "it runs with its owner's rights and looks names up in the caller's search_path: whoever may create objects "
        "anywhere, temporary ones included, can have it run their own; SET search_path on the function"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            # A body that the server has read, BEGIN ATOMIC, holds no names any more.
            case op.CreateFunction(function=function, security_definer=True, body=str(), settings=settings):
                pass
            case op.AlterFunction(function=function, security_definer=True, settings=settings):
                pass
            case _:
                return
        if "search_path" not in settings and not _pinned_later(function, history):
            yield self.finding(
                step, f'"{function.plain}" has its owner\'s rights, and the search_path of whoever calls it'
            )


def _pinned_later(function: QualifiedName, history: History) -> bool:
    return any(
        isinstance(later.operation, op.AlterFunction)
        and later.operation.function == function
        and "search_path" in later.operation.settings
        for later in history.later()
    )
