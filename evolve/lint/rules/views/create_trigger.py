"""EV157: `CREATE TRIGGER` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step

# Those that evolve makes to keep two shapes of a table equal.
SYNC = ("zz_evolve", "!evolve_sync")


class CreateTrigger(Rule):
    id = "EV157"
    name = "create-trigger"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateTrigger,)
    lock = LockMode.SHARE_ROW_EXCLUSIVE
    breaks_old_code = True
    why = (
        "it waits for every transaction that writes to the table, and all writers wait behind it; from then on each "
        "write of running code pays for the trigger, and fails where it fails"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTrigger(table=table, name=name) if history.in_use(table):
                if step.revision not in history.planned and not name.startswith(SYNC):
                    known = table in history.schema.tables
                    yield self.finding(
                        step, f'"{name}" fires on writes to "{table.plain}"', table=table if known else None
                    )
            case _:
                return
