"""EV910: a DO block, whose statements cannot be known from its text."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DoBlockOpaque(Rule):
    id = "EV910"
    name = "do-block-opaque"
    severity = Severity.WARNING
    looks_at = (op.DoBlock,)
    why = (
        "it is a program: what it runs may depend on rows, on the catalog and on text put together at run "
        "time, so its locks were not checked"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:  # the hook's signature
        match step.operation:
            case op.DoBlock(language=language):
                yield self.finding(
                    step,
                    f"what this DO block ({language}) runs was not checked",
                    fix="write its statements with op.execute, or review it and allow it with a reason",
                )
            case _:
                return
