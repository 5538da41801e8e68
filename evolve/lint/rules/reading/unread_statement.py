"""EV909: text that is no PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

# What is left where a list has nothing in it, and what stands for a value of a module that is not there.
_LACKS = re.compile(r"\bIN\s*\(\s*\)|\bstub(?:_\w+)?\b", re.IGNORECASE)
_WHY_LACKS = (
    "it is put together from rows, or from a module that could not be imported, and neither is there while evolve "
    "reads; what it does was not checked"
)


class UnreadStatement(Rule):
    id = "EV909"
    name = "unread-statement"
    severity = Severity.WARNING
    looks_at = (op.Unread,)
    why = (
        "the grammar of PostgreSQL refuses it, so the server most likely does as well; what it does was not"
        " checked"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:  # the hook's signature
        match step.operation:
            case op.Unread(reason=reason):
                lacks = _LACKS.search(step.sql) is not None
                yield self.finding(
                    step, f"this statement could not be read: {reason}", why=_WHY_LACKS if lacks else None
                )
            case _:
                return
