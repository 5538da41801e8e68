"""EV429: `TRUNCATE … CASCADE`, which empties whatever refers to the table."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class TruncateCascade(Rule):
    id = "EV429"
    name = "truncate-cascade"
    severity = Severity.ERROR
    looks_at = (op.Truncate,)
    lock = LockMode.ACCESS_EXCLUSIVE
    breaks_old_code = True
    peers = ("squawk:ban-truncate-cascade",)
    why = (
        "every table that refers to it is emptied too, and every table that refers to those, whatever ON DELETE "
        "says; name the tables that are meant"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Truncate(tables=tables, cascade=True):
                locked = effect(step.operation, history.schema).locks
                reached = sorted(each for each in locked if history.in_use(each))
                if not reached:
                    return
                named = [table for table in tables if table in reached]
                more = [each.plain for each in reached if each not in named]
                also = f", and with them all of {listed(more)}" if more else ", and whatever refers to them"
                table = named[0] if named else reached[0]
                yield self.finding(
                    step,
                    f"all rows of {listed([each.plain for each in tables])} go{also}",
                    table=table,
                )
            case _:
                return
