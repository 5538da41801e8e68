"""EV130: an EXCLUDE constraint on a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class AddExclusion(Rule):
    id = "EV130"
    name = "add-exclusion"
    severity = Severity.ERROR
    looks_at = (op.AddConstraint,)
    lock = LockMode.ACCESS_EXCLUSIVE
    scan = True
    breaks_old_code = True
    peers = ("eugene:E8", "strong_migrations:add_exclusion_constraint", "zdm:R017")
    why = (
        "its index is built under a lock that stops all reads and writes, and PostgreSQL has no other way: an "
        "EXCLUDE can neither be NOT VALID nor take over an index. Code that writes rows it refuses fails from then on"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.AddConstraint(table, op.Exclude() as constraint) if history.in_use(table):
                named = f'the exclusion "{constraint.name}"' if constraint.name else "an exclusion"
                yield self.finding(
                    step,
                    f'{named} builds its index on "{table.plain}" under {self.lock}',
                    table=table,
                    fix="make it with a new table and move the rows there, or choose an hour without traffic",
                )
            case _:
                return
