"""EV506: a primary key, unique constraint or unique index of a partitioned table without the partition key."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class PartitionKeyNotInPk(Rule):
    id = "EV506"
    name = "partition-key-not-in-pk"
    severity = Severity.ERROR
    looks_at = (op.CreateTable, op.AddConstraint, op.AddColumn, op.CreateIndex)
    fails = True
    why = (
        "PostgreSQL looks for duplicates inside one partition, and refuses a key that could repeat in another"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        table, by, keys = _claimed(step.operation, history)
        if table is None or by is None:
            return
        for columns in keys:
            lacking = [key for key in by.keys if key not in columns]
            if lacking:
                yield self.finding(
                    step,
                    f'({", ".join(columns)}) cannot be unique in "{table.plain}", which is partitioned by '
                    f"{', '.join(by.keys)}",
                    fix=f"make {', '.join(lacking)} part of the key, or keep uniqueness in a table of its own",
                )


def _claimed(
    operation: op.Operation, history: History
) -> tuple[QualifiedName | None, op.PartitionBy | None, list[tuple[str, ...]]]:
    """The partitioned table, and the columns that are to be unique in it; a USING INDEX fails elsewhere."""
    match operation:
        case op.CreateTable(table=table, partition_by=by, columns=columns, constraints=constraints):
            inline = [constraint for column in columns for constraint in column.constraints]
            keys = [c.columns for c in (*inline, *constraints) if isinstance(c, op.PrimaryKey | op.Unique)]
            return table, by, keys
        case op.AddColumn(table=table, column=column):
            keys = [c.columns for c in column.constraints if isinstance(c, op.PrimaryKey | op.Unique)]
        case op.AddConstraint(table=table, constraint=op.PrimaryKey() | op.Unique() as key) if (
            not key.using_index
        ):
            keys = [key.columns]
        case op.AddConstraint(table=table, constraint=op.Exclude(keys=excluded)) if (
            history.postgres_version >= 17  # EV680 tells of older ones
        ):
            keys = [tuple(key.column or "an expression" for key in excluded)]
        case op.CreateIndex(index=op.IndexDefinition(unique=True) as index):
            table, keys = index.table, [tuple(key.column or "an expression" for key in index.keys)]
        case _:
            return None, None, []
    found = history.schema.table(table)
    return table, found.partition_by if found is not None else None, keys
