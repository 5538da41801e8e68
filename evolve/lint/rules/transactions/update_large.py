"""EV173: an UPDATE or DELETE of many rows of a table that is known to be large."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.lint.whole_tables import under_ddl_lock
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step

MANY = 1_000_000  # rows of the table


class UpdateLarge(Rule):
    id = "EV173"
    name = "update-large"
    severity = Severity.WARNING
    looks_at = (op.Update, op.Delete)
    why = (
        "the WHERE names no column that an index leads with, so the table is read as a whole, and every row that it "
        "meets stays locked until the transaction ends"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case (
                op.Update(table=table, where=True, filters=filters)
                | op.Delete(table=table, where=True, filters=filters)
            ) if history.facts is not None and history.in_use(table):
                size = history.facts.size(table)
            case _:
                return
        if (
            size is None
            or (size.rows or 0) < MANY
            or under_ddl_lock(history)
            or _led(table, filters, history)
        ):
            return
        yield self.finding(
            step,
            f'rows of "{table.plain}" are looked for among {size.rows:,} and changed in one transaction',
            fix="evolve backfill run, or key ranges in transactions of their own",
        )


def _led(table: QualifiedName, filters: tuple[str, ...], history: History) -> bool:
    """True where an index may find the rows."""
    leading = {
        index.definition.columns[0] for index in history.schema.indexes_of(table) if index.definition.columns
    }
    return not leading.isdisjoint(filters)
