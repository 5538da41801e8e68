"""EV264: `ALTER EXTENSION … UPDATE`."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class UpgradeExtension(Rule):
    id = "EV264"
    name = "upgrade-extension"
    severity = Severity.WARNING
    peers = ("squawk:ban-alter-extension",)
    looks_at = (op.Other,)
    why = (
        "its update script is not part of the revision: it may drop functions that code calls, lock or rewrite tables "
        "of its own, and there is no way back"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other("ALTER EXTENSION UPDATE", target, version) if target is not None:
                to = f"version {version}" if version else "whatever version is installed on the server"
                yield self.finding(
                    step,
                    f'extension "{target.name}" is updated to {to}',
                    fix="read its release notes, run it on a copy, and name the version with TO",
                )
            case _:
                return
