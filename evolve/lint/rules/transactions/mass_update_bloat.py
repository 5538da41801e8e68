"""EV853: an UPDATE of every row of a table whose pages have no room for new versions."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class MassUpdateBloat(Rule):
    id = "EV853"
    name = "mass-update-bloat"
    severity = Severity.INFO
    looks_at = (op.Update,)
    opt_in = True
    why = (
        "each row gets a second version; pages are full, so it goes to another page and into every index again, and "
        "the old versions must all be frozen or vacuumed later"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Update(table=table, where=False) if history.in_use(table):
                indexes = sum(1 for _ in history.schema.indexes_of(table))
                yield self.finding(
                    step,
                    f'"{table.plain}" doubles in size, and so do its {indexes} indexes',
                    fix="in small transactions with vacuum in between: evolve backfill",
                )
            case _:
                return
