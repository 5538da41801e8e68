"""EV258: `INHERIT` or `NO INHERIT` on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import parse_name
from evolve.sql.steps import Step


class ChangeInheritance(Rule):
    id = "EV258"
    name = "change-inheritance"
    severity = Severity.INFO
    looks_at = (op.AlterTableOther,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    opt_in = True
    peers = ("squawk:ban-detach-inheritance",)
    why = "queries over the parent see its children's rows: what they return changes for code that runs"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AlterTableOther(
                table=table, clause="inherit" | "no inherit" as clause, detail=str(parent)
            ):
                if history.in_use(parse_name(parent)):
                    seen = "shows" if clause == "inherit" else "no longer shows"
                    yield self.finding(
                        step,
                        f'"{parse_name(parent).plain}" {seen} the rows of "{table.plain}"',
                        table=table if history.in_use(table) else None,
                    )
            case _:
                return
