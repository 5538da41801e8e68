"""EV630: `CREATE OR REPLACE VIEW` with other columns, which PostgreSQL refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class ReplaceViewColumns(Rule):
    id = "EV630"
    name = "replace-view-columns"
    severity = Severity.ERROR
    looks_at = (op.CreateView,)
    fails = True
    why = (
        "CREATE OR REPLACE VIEW may add columns at the end and nothing else: all that were there must stay, with "
        "their names, their types and in their order"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateView(view=view, columns=columns, replace=True, materialized=False):
                known = history.schema.views.get(view)
                if columns is None or known is None or known.columns is None or known.materialized:
                    return
                wrong = _first_wrong(known.columns, columns)
                if wrong is None:
                    return
                yield self.finding(step, f'"{view.plain}" {wrong}')
            case _:
                return


def _first_wrong(old: Sequence[str], new: Sequence[str]) -> str | None:
    for position, name in enumerate(old):
        if position >= len(new):
            return f'has the column "{name}", which the new query lacks'
        if new[position] != name:
            return f'has "{name}" where the new query has "{new[position]}"'
    return None
