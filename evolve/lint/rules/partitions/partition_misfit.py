"""EV679: a table is attached to one that it does not fit, or detached from one that it is no partition of."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName, parse_name
from evolve.sql.parse import canonical
from evolve.sql.schema import Schema, Table
from evolve.sql.steps import Step

_OF_PARTITIONS = (
    *WHERE_REFUSED,
    "create-partition-of",
    "attach-partition-no-check",
    "attach-partition-default-scan",
    "attach-partition-builds-index",
    "detach-partition",
    "detach-partition-blocking",
    "change-inheritance",
)


class PartitionMisfit(Rule):
    id = "EV679"
    name = "partition-misfit"
    severity = Severity.ERROR
    looks_at = (op.CreateTable, op.AttachPartition, op.DetachPartition, op.AlterTableOther)
    fails = True
    why = (
        "a partition has the columns, the types, every NOT NULL and every CHECK of its partitioned table before it is "
        "attached; PostgreSQL adds indexes and foreign keys, and refuses where the rest is missing"
    )

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        message = _misfit(step.operation, history)
        if message is not None and certain(step, history):
            yield self.finding(step, message)

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return _OF_PARTITIONS if any(self.check(step, history)) else ()


def _misfit(operation: op.Operation, history: History) -> str | None:
    schema = history.schema
    match operation:
        case op.CreateTable(partition_of=parent) if parent is not None:
            return _not_partitioned(schema, parent)
        case op.AttachPartition(table, partition):
            return _not_partitioned(schema, table) or _unlike(schema, table, partition, history)
        case op.AlterTableOther(table=table, clause="inherit", detail=str(parent)):
            return _no_child(schema, parse_name(parent), table)
        case op.DetachPartition(table, partition):
            found = schema.table(partition)
            above = schema.table(table)
            if (
                found is None
                or above is None
                or above.implied
                or found.implied
                or found.partition_of == table
            ):
                return None
            return f'"{partition.plain}" is no partition of "{table.plain}"'
        case _:
            return None


def _not_partitioned(schema: Schema, table: QualifiedName) -> str | None:
    found = schema.table(table)
    if found is None or found.implied or found.partition_by is not None:
        return None
    return f'"{table.plain}" is not partitioned'


def _unlike(schema: Schema, table: QualifiedName, partition: QualifiedName, history: History) -> str | None:
    """What keeps `partition` from being attached to `table`."""
    above, found = schema.table(table), schema.table(partition)
    if above is None or found is None:
        return None
    if found.partition_of is not None:
        return f'"{partition.plain}" is a partition of "{found.partition_of.plain}" already'
    if above.implied or found.implied:
        return None
    return _columns_apart(above, found) or _not_own(above, found, history) or _checks_apart(above, found)


def _not_own(above: Table, found: Table, history: History) -> str | None:
    """What a partition may not have of its own."""
    for own in found.columns:
        if above.column(own.name) is None:
            return f'"{found.name.plain}" has the column "{own.name}", which "{above.name.plain}" has not'
        if own.identity is not None and history.postgres_version >= 17:
            return f'"{found.name.plain}.{own.name}" has an identity of its own'
    return None


def _no_child(schema: Schema, parent: QualifiedName, child: QualifiedName) -> str | None:
    """What keeps `child` from inheriting from `parent`."""
    above, found = schema.table(parent), schema.table(child)
    if found is not None and found.partition_of is not None:
        return f'"{child.plain}" is a partition, and cannot inherit'
    if above is None or found is None or above.implied or found.implied:
        return None
    if above.partition_by is not None or above.partition_of is not None:
        return f'no table inherits from "{parent.plain}", which is partitioned or a partition'
    if parent in found.inherits:
        return f'"{child.plain}" inherits from "{parent.plain}" already'
    return _columns_apart(above, found) or _checks_apart(above, found)


def _columns_apart(above: Table, found: Table) -> str | None:
    name, parent = found.name.plain, above.name.plain
    for column in above.columns:
        own = found.column(column.name)
        if own is None:
            return f'"{name}" has no column "{column.name}", which "{parent}" has'
        if own.type and column.type and own.type != column.type:
            return f'"{name}.{column.name}" is {own.type}, and {column.type} in "{parent}"'
        if column.not_null and not own.not_null:
            return f'"{name}.{column.name}" may be null, and is NOT NULL in "{parent}"'
    return None


def _checks_apart(above: Table, found: Table) -> str | None:
    for check in above.constraints:
        if not isinstance(check, op.Check) or check.no_inherit:
            continue
        own = found.constraint(check.name or "")
        if not isinstance(own, op.Check):
            return f'"{found.name.plain}" has no constraint "{check.name}", which "{above.name.plain}" has'
        if canonical(own.expression.sql) != canonical(check.expression.sql):
            return f'"{check.name}" of "{found.name.plain}" checks something else than that of "{above.name.plain}"'
        if own.not_valid and not check.not_valid:
            return f'"{check.name}" of "{found.name.plain}" is NOT VALID'
    return None
