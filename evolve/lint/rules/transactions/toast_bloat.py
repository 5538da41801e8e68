"""EV851: a large value is written anew in every row."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step

_LARGE = ("json", "jsonb", "text", "bytea", "xml", "character varying")


class ToastBloat(Rule):
    id = "EV851"
    name = "toast-bloat"
    severity = Severity.INFO
    looks_at = (op.Update,)
    opt_in = True
    why = "values of more than 2 kB lie in the TOAST table, which grows by all of them and never shrinks by itself"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.Update(table=table, columns=columns, where=False) if history.in_use(table):
                known = (history.schema.column(table, column) for column in columns)
                large = [c.name for c in known if c is not None and c.type.removesuffix("[]") in _LARGE]
                if large:
                    yield self.finding(
                        step,
                        f'every value of {", ".join(large)} in "{table.plain}" is written anew',
                        fix="in small transactions, so that vacuum keeps up: evolve backfill",
                    )
            case _:
                return
