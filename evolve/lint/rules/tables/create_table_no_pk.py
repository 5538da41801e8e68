"""EV701: a table without a primary key."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.schema import Table


class CreateTableNoPk(Rule):
    id = "EV701"
    name = "create-table-no-pk"
    severity = Severity.WARNING
    opt_in = True
    why = (
        "logical replication cannot tell its rows apart, so that UPDATE and DELETE fail once it is published; nor can "
        "a backfill that resumes, nor anybody who wants to be rid of one of two equal rows"
    )

    def finish(self, history: History) -> Iterator[Finding]:
        told = set[QualifiedName]()
        for step in reversed(history.steps):
            match step.operation:
                case op.CreateTable(table=name, temporary=False, partition_of=None):
                    found = history.schema.table(name)
                    if found is not None and name not in told and _lacks_key(found, history):
                        told.add(name)
                        yield self.finding(step, f'"{name.plain}" has no primary key')
                case _:
                    pass


def _lacks_key(table: Table, history: History) -> bool:
    """Judged at the end: the key may come with a later statement."""
    return not table.implied and table.primary_key is None and not history.in_use(table.name)
