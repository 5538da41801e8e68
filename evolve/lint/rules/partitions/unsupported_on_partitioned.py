"""EV680: something that PostgreSQL does not do to a partitioned table, or to one with children."""

from __future__ import annotations

from collections.abc import Iterator

from evolve.lint.certain import WHERE_REFUSED, certain
from evolve.lint.history import History
from evolve.lint.model import Finding, Severity
from evolve.lint.rule import Rule
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName
from evolve.sql.steps import Step


class UnsupportedOnPartitioned(Rule):
    id = "EV680"
    name = "unsupported-on-partitioned"
    severity = Severity.ERROR
    looks_at = (op.CreateTable, op.AddColumn, op.AddConstraint, op.AlterTableOther, op.Truncate)
    fails = True
    why = "a partitioned table holds no rows of its own, and PostgreSQL refuses what it could only do to each partition"

    def check(self, step: Step, history: History) -> Iterator[Finding]:
        for table, message, fix in _unsupported(step.operation, history):
            if certain(step, history):
                yield self.finding(step, f'"{table.plain}" {message}', fix=fix)

    def speaks_for(self, step: Step, history: History) -> tuple[str, ...]:
        return (*WHERE_REFUSED, "truncate") if any(self.check(step, history)) else ()


def _unsupported(
    operation: op.Operation, history: History
) -> Iterator[tuple[QualifiedName, str, str | None]]:
    """The table, what is refused of it, and what to do instead."""
    match operation:
        case op.CreateTable(table=table, partition_by=op.PartitionBy("list", [_, _, *_] as keys)):
            yield (
                table,
                f"is partitioned by list of {len(keys)} columns, and takes one",
                "make partitions of its partitions",
            )
        case op.AddColumn(table=table, column=op.ColumnDefinition(identity=str())):
            yield from _identity(table, history)
        case op.Truncate(only=only):
            for table in sorted(only, key=str):
                if _is_partitioned(table, history):
                    yield table, "is partitioned, so TRUNCATE ONLY fails", "truncate its partitions"
        case op.AddConstraint(table=table, constraint=constraint, only=only) if _is_partitioned(
            table, history
        ):
            refused = _constraint(constraint, history.postgres_version, only=only)
            if refused is not None:
                yield table, *refused
        case op.AlterTableOther(table=table, clause=clause) if _is_partitioned(table, history):
            refused = _clause(clause, history.postgres_version)
            if refused is not None:
                yield table, *refused
        case _:
            return


def _is_partitioned(table: QualifiedName, history: History) -> bool:
    found = history.schema.table(table)
    return found is not None and found.partition_by is not None


def _identity(table: QualifiedName, history: History) -> Iterator[tuple[QualifiedName, str, str | None]]:
    """From 17 partitions share the identity of their table; children by INHERITS never do."""
    if _is_partitioned(table, history) and history.postgres_version >= 17:
        return
    if any(history.schema.children_of(table)):
        fix = "use a sequence of its own: DEFAULT nextval('…')"
        yield table, "has tables below it, so it takes no new identity column", fix


def _constraint(constraint: op.Constraint, version: int, *, only: bool) -> tuple[str, str | None] | None:
    match constraint:
        case op.ForeignKey() if only:
            return "is partitioned, so its foreign key takes no ONLY", "leave ONLY out"
        case op.ForeignKey(not_valid=True) if version < 18:
            return (
                "is partitioned, and takes a foreign key NOT VALID only from PostgreSQL 18 on",
                "add it to each partition first, NOT VALID, and validate it there",
            )
        case op.Check(no_inherit=True):
            return "is partitioned, so its CHECK takes no NO INHERIT", "leave NO INHERIT out"
        case op.Exclude() if version < 17:
            return (
                "is partitioned, and takes an exclusion constraint only from PostgreSQL 17 on",
                "add it to each partition",
            )
        case op.PrimaryKey(using_index=str()) | op.Unique(using_index=str()):
            return (
                "is partitioned, so its key takes no USING INDEX",
                "build the unique index of each partition concurrently, then add the key: it takes them over",
            )
        case _:
            return None


def _clause(clause: str, version: int) -> tuple[str, str | None] | None:
    match clause:
        case "set parameters":
            return "is partitioned, and has no storage parameters", "set them for each partition"
        case "set unlogged" | "set logged" if version >= 18:
            return f"is partitioned, so {clause.upper()} fails", "do it to each partition"
        case _:
            return None
