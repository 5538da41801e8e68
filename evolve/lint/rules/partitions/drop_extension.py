"""EV263: `DROP EXTENSION`."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DropExtension(Rule):
    id = "EV263"
    name = "drop-extension"
    severity = Severity.WARNING
    peers = ("squawk:ban-drop-extension",)
    looks_at = (op.Other,)
    breaks_old_code = True
    why = "code that runs calls its functions and operators; the schema does not show who does"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other("DROP EXTENSION", target, detail) if target is not None:
                gone = "its functions, operators and types go"
                if detail == "cascade":
                    gone = (
                        "its functions and types go, and with them every column, index and view that uses one"
                    )
                yield self.finding(
                    step,
                    f'extension "{target.name}" is dropped: {gone}',
                    severity=Severity.ERROR if detail == "cascade" else None,
                )
            case _:
                return
