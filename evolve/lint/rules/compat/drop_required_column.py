"""EV320: a column is dropped that no INSERT may leave out before."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.dropped_column import dependents
from evolve.sql import operations as op
from evolve.sql.steps import Step


class DropRequiredColumn(Rule):
    id = "EV320"
    name = "drop-required-column"
    severity = Severity.WARNING
    looks_at = (op.DropColumn,)
    breaks_new_code = True
    answered_by_gate = True
    why = (
        "a release without the column cannot insert as long as it is there, and one with it not once it is gone, so "
        "no order of deployment works. First make it nullable or give it a default, then deploy, then drop it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropColumn(table, column) as drop if history.column_in_use(table, column):
                known = history.schema.column(table, column)
            case _:
                return
        if known is None or not known.not_null or known.default or known.identity or known.generated:
            return
        # Code that leaves it out already runs: something else fills it, such as a trigger.
        unmapped = history.old_models is not None and history.old_models.maps_column(table, column) is False
        if not unmapped and not dependents(drop, history).fails(drop):
            yield self.finding(
                step,
                f'"{table.plain}.{column}" is NOT NULL without a default: new code cannot insert before it is dropped',
            )
