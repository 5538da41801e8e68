"""EV265: a published table gets a column or a name that its subscribers do not have."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.steps import Step


class PublicationSubscriberFirst(Rule):
    id = "EV265"
    name = "publication-subscriber-first"
    severity = Severity.WARNING
    looks_at = (op.AddColumn, op.RenameColumn, op.RenameTable)
    why = (
        "logical replication carries rows and no schema: a subscriber that lacks the column or the table stops at the "
        "first such row, and this server keeps all WAL from there on"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        name: str | None = None
        match step.operation:
            case op.AddColumn(table, column):
                name, what = column.name, f'"{table.plain}.{column.name}"'
            case op.RenameColumn(table, name, to):
                what = f'"{table.plain}.{to}"'
            case op.RenameTable(table, to):
                what = f'"{to}"'
            case _:
                return
        if not history.in_use(table):
            return
        for published in history.schema.publications_of(table):
            if name is None or published.columns is None or name in published.columns:
                yield self.finding(
                    step,
                    f'subscribers of publication "{published.publication}" need {what} before this runs',
                    fix="run the same change on the subscribers first",
                )
            elif isinstance(step.operation, op.AddColumn):
                yield self.finding(
                    step,
                    f'publication "{published.publication}" lists its columns and will not send {what}',
                    fix="where subscribers want it: ALTER PUBLICATION … SET TABLE, after they have the column",
                )
