"""EV426: `DROP DATABASE` and `DROP TABLESPACE`."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DropDatabase(Rule):
    id = "EV426"
    name = "drop-database"
    severity = Severity.ERROR
    looks_at = (op.Other,)
    breaks_old_code = True
    peers = ("squawk:ban-drop-database",)
    why = (
        "a revision is there to change the database that it runs in; what belongs to the whole server is "
        "removed by hand, by somebody who has looked at it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Other(kind="DROP DATABASE" | "DROP TABLESPACE" as kind, target=target):
                inside = step.transaction is not None
                what = "database" if kind == "DROP DATABASE" else "tablespace"
                name = f' "{target.name}"' if target is not None else ""
                refused = ", which PostgreSQL refuses inside a transaction" if inside else ""
                yield self.finding(step, f"the {what}{name} is dropped by a revision{refused}", fails=inside)
            case _:
                return
