"""EV614: a change of type that the column's default cannot follow."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.rules.columns.changed_type import changed_type
from evolve.sql import operations as op
from evolve.sql.steps import Mark, Step


class AlterTypeDefaultStays(Rule):
    id = "EV614"
    name = "alter-type-default-stays"
    severity = Severity.ERROR
    looks_at = (op.AlterColumnType,)
    fails = True
    why = (
        "USING converts the rows and not the default: where there is no automatic cast PostgreSQL refuses the "
        "statement until the default is dropped; set one of the new type after it"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        changed = changed_type(step, history)
        if changed is None or changed.stuck_default is None or changed.blocked is not None:
            return
        if _asks_first(step, history):
            return
        yield self.finding(
            step,
            f"changing {changed} fails: its default {changed.stuck_default.sql} has no automatic cast",
            table=changed.table,
            fix="drop the default before and set it anew after, in the same revision",
        )


def _asks_first(step: Step, history: History) -> bool:
    """Whoever sent it looked into the catalog, as `op.sync_enum_values` does for defaults, which it drops and sets."""
    return any(remark.mark is Mark.READ_CATALOG and remark.place == step.place for remark in history.remarks)
