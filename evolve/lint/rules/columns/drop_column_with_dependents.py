"""EV410: what goes with a dropped column, or keeps it from being dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.dropped_column import dependents
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class DropColumnWithDependents(Rule):
    id = "EV410"
    name = "drop-column-with-dependents"
    severity = Severity.WARNING
    looks_at = (op.DropColumn,)
    lock = LockMode.ACCESS_EXCLUSIVE
    answered_by_gate = True
    why = (
        "PostgreSQL drops every index and constraint that has the column among others, without a word: queries "
        "over the other columns lose their index, and rows that a constraint kept out come in. Make what must "
        "stay anew without the column, first"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.DropColumn(table, column) as drop:
                pass
            case _:
                return
        found = dependents(drop, history)
        name = f'"{table.plain}.{column}"'
        if found.fails(drop) and (found.refusing or found.asking):
            yield self.finding(
                step,
                f"{name} cannot be dropped: {found.refusing}"
                if found.refusing
                else f"{name} cannot be dropped while {_listed(found.asking)} need it",
                table=table,
                severity=Severity.ERROR,
                fails=True,
                why="PostgreSQL refuses the statement in every environment; drop or change first what needs the "
                "column, so that what is lost stands in the revision",
            )
        elif not found.fails(drop) and history.column_in_use(table, column) and (found.taken or found.asking):
            yield self.finding(
                step,
                f"with {name} {_listed((*found.asking, *found.taken))} go",
                table=table,
                breaks_old_code=bool(found.asking),
            )


def _listed(things: Sequence[str]) -> str:
    return " and ".join((", ".join(things[:-1]), things[-1])) if len(things) > 1 else things[0]
