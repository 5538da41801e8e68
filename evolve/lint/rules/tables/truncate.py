"""EV428: `TRUNCATE` of a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class Truncate(Rule):
    id = "EV428"
    name = "truncate"
    severity = Severity.ERROR
    looks_at = (op.Truncate,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    why = (
        "all rows are gone at once, for running code as well, and neither triggers FOR EACH ROW nor ON DELETE rules "
        "see them go; delete what is to go in small batches, or make a new table"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Truncate(tables=tables, cascade=False):
                emptied = [table for table in tables if history.in_use(table)]
                if not emptied:
                    return
                referring = sorted(
                    {
                        other.name.plain
                        for table in tables
                        for other, _ in history.schema.foreign_keys_to(table)
                        if other.name not in tables
                    }
                )
                refused = f"; PostgreSQL refuses, for {listed(referring)} refers to it" if referring else ""
                yield self.finding(
                    step,
                    f"all rows of {listed([table.plain for table in emptied])} go{refused}",
                    table=emptied[0],
                    fails=bool(referring),
                )
            case _:
                return
