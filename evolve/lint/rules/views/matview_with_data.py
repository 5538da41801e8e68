"""EV156: `CREATE MATERIALIZED VIEW` runs its query inside the revision."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.listed import listed
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class MatviewWithData(Rule):
    id = "EV156"
    name = "matview-with-data"
    severity = Severity.INFO
    opt_in = True
    looks_at = (op.CreateView,)
    why = (
        "the deployment waits for the query, vacuum removes nothing that it may see, and locks that the transaction "
        "holds are kept meanwhile; make it WITH NO DATA, and refresh it by a job before anybody reads it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateView(view=view, materialized=True, with_data=True, reads=reads):
                read = [relation.plain for relation in reads if history.in_use(relation)]
                if read:
                    yield self.finding(
                        step, f'"{view.plain}" is filled from {listed(read)} while the revision runs'
                    )
            case _:
                return
