"""EV256: `DROP TRIGGER` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.views.create_trigger import SYNC
from evolve.lint.rules.views.recreated import trigger_again
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropTrigger(Rule):
    id = "EV256"
    name = "drop-trigger"
    severity = Severity.WARNING
    peers = ("squawk:ban-drop-trigger",)
    looks_at = (op.DropTrigger,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    answered_by_gate = True
    why = (
        "what it kept right, from now on nobody does: rows that running code writes lack it, without an error. Drop it "
        "one release after the last code that relied on it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropTrigger(table=table, name=name, if_exists=if_exists) if history.in_use(table):
                found = history.schema.table(table)
                absent = found is not None and not found.implied and name not in found.triggers
                ours = name.startswith(SYNC)  # its change says when it goes, and asks its gate first
                if ours or (if_exists and absent) or trigger_again(step, table, name, history):
                    return
                yield self.finding(
                    step, f'the trigger "{name}" no longer fires on writes to "{table.plain}"', table=table
                )
            case _:
                return
