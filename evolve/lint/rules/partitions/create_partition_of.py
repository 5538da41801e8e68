"""EV501: `CREATE TABLE … PARTITION OF` a table in use."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint import partition_code
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.steps import Step


class CreatePartitionOf(Rule):
    id = "EV501"
    name = "create-partition-of"
    severity = Severity.ERROR
    looks_at = (op.CreateTable,)
    lock = LockMode.ACCESS_EXCLUSIVE
    why = (
        "it waits for every query on the partitioned table, and all others queue behind it; ATTACH PARTITION takes a "
        "lock that lets reads and writes through"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        match step.operation:
            case op.CreateTable(partition_of=name, bound=str(bound)) as create if name is not None:
                parent = history.schema.table(name)
            case _:
                return
        known = create.if_not_exists and create.table in history.schema.tables
        if known or not history.in_use(name):
            return
        default = None if parent is None else partition_code.default_in_the_way(history, parent, bound)
        reads = f', and reads every row of "{default.name.plain}" meanwhile' if default is not None else ""
        plain = parent is not None and not create.columns and not create.constraints
        yield self.finding(
            step,
            f'"{create.table.plain}" is created as a partition, which locks all of "{name.plain}"{reads}',
            table=name,
            safe=partition_code.create(history, create.table, parent, bound, create.partition_by)
            if plain and parent is not None
            else (),
            fix="create it as a table of its own, then attach it; for ranges of time: evolve partition premake",
        )
