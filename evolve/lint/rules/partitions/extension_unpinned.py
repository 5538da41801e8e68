"""EV710: an extension without a version."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class ExtensionUnpinned(Rule):
    id = "EV710"
    name = "extension-unpinned"
    severity = Severity.INFO
    looks_at = (op.Other,)
    opt_in = True
    why = "each server takes the version that its packages bring, so that two databases of one history differ"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other("CREATE EXTENSION", target, None) if target is not None:
                yield self.finding(
                    step,
                    f'extension "{target.name}" is created in whatever version is installed',
                    fix="name the version: CREATE EXTENSION … VERSION '…'",
                )
            case _:
                return
