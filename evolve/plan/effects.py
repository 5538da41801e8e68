"""What the statements of a plan read and write under their locks, by the same knowledge that the linter judges with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evolve.plan.kept_facts import KeptFacts
from evolve.plan.model import Plan
from evolve.plan.target import Target
from evolve.sql.effects import effect
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import Operation, Unread
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class Cost:
    """What one statement costs the tables that were there before the plan.

    Args:
        lock: the strongest lock on one of them; None: none.
        scans: tables of which every row is read.
        rewrites: tables that are written anew, with their indexes.
    """

    lock: LockMode | None
    scans: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()


def costs(plan: Plan, facts: KeptFacts) -> Mapping[Statement, Cost]:
    """The cost of each statement on the way forward, where it can be told: not of DO blocks and programs."""
    schema = _schema(facts)
    before = frozenset(schema.tables)
    version = (facts.server_version or 150000) // 10000
    found: dict[Statement, Cost] = {}
    for phase in plan.phases:
        for statement in phase.statements:
            operations = parse(statement.sql)
            # A table that the plan has renamed is there under a name that a view may have by now.
            there = frozenset(table for table in before if schema.table(table) is not None)
            told = _cost(operations, schema, there, version)
            if told is not None:
                found[statement] = told
            for operation in operations:
                apply(schema, operation)
    return found


def _cost(
    operations: tuple[Operation, ...], schema: Schema, before: frozenset[QualifiedName], version: int
) -> Cost | None:
    if any(isinstance(operation, Unread) for operation in operations):
        return None
    effects = [effect(operation, schema, version) for operation in operations]
    if any(each.opaque for each in effects):
        return None
    locks = [lock for each in effects for table, lock in each.locks.items() if table in before]
    return Cost(
        max(locks, default=None),
        tuple(sorted({table.plain for each in effects for table in each.scans & before})),
        tuple(sorted({table.plain for each in effects for table in each.rewrites & before})),
    )


# -- the schema that the facts tell -------------------------------------------------------------------------
def _schema(facts: KeptFacts) -> Schema:
    schema = Schema()
    targets = [answer for answer in facts.answers.values() if isinstance(answer, Target)]
    for text in (*_tables(targets), *_keys(targets)):
        for operation in parse(text):
            apply(schema, operation)
    return schema


def _tables(targets: list[Target]) -> Iterator[str]:
    for target in targets:
        columns = ", ".join(
            f"{quote(column.name)} {column.type}{' NOT NULL' if column.not_null else ''}"
            for column in target.columns
        )
        yield f"CREATE TABLE {target.table} ({columns})"
        for column in target.columns:
            if column.default is not None:
                yield f"ALTER TABLE {target.table} ALTER COLUMN {quote(column.name)} SET DEFAULT {column.default}"
        for index in target.indexes:
            if index.constraint is None:
                yield index.definition


def _keys(targets: list[Target]) -> Iterator[str]:
    """Constraints, those that others refer to first."""
    for late in (False, True):
        for target in targets:
            for constraint in target.constraints:
                if constraint.kind != "exclude" and (constraint.kind == "foreign key") is late:
                    yield (
                        f"ALTER TABLE {target.table} ADD CONSTRAINT {quote(constraint.name)} "
                        f"{constraint.definition}"
                    )
