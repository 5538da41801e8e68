"""How partitions come and go in a revision: the statements that are still to do, in their order."""

from __future__ import annotations

import re

from alembic.operations import Operations

from evolve.errors import Misuse, Refused
from evolve.partition import revision_sql as sql
from evolve.revisions.partition_catalog import Catalog, Key, Relation, catalog, is_open, known_key, send
from evolve.revisions.partition_operations import (
    AttachPartition,
    CreatePartition,
    DetachPartition,
    DropPartition,
)
from evolve.sql.names import QualifiedName, parse_name

_WORDS = re.compile(
    r"E?'(?:[^'\\]|''|\\.)*'|-?\d+(?:\.\d+)?|\b(?:MINVALUE|MAXVALUE|NULL|TRUE|FALSE|DEFAULT)\b", re.IGNORECASE
)


class NeedsAutocommit(Misuse):
    def __init__(self, operation: str) -> None:
        super().__init__(
            f"op.{operation} runs in the revision's transaction",
            why="each of its locks would be held until the revision ends, and CONCURRENTLY is refused there",
            fix="put it into: with op.get_context().autocommit_block():",
        )


class KeyUnknown(Misuse):
    def __init__(self, parent: QualifiedName) -> None:
        super().__init__(
            f'nobody can be asked what "{parent.plain}" is partitioned by',
            why="with --sql there is no database, and the CHECK that spares ATTACH reading the table names the key",
            fix=f'say it: op.attach_partition("{parent.plain}", …, key="…")',
        )


class TableInTheWay(Refused):
    def __init__(self, name: QualifiedName, parent: QualifiedName, there: Relation) -> None:
        whose = f'a partition of "{there.parent.plain}"' if there.parent is not None else "a table of its own"
        super().__init__(
            f'"{name.plain}" is there already, and it is {whose}',
            why=f'it holds rows, or cannot be made the partition of "{parent.plain}" that is wanted',
            fix="give the new partition another name, or attach the table: op.attach_partition",
        )


class OtherBound(Refused):
    def __init__(self, name: QualifiedName, wanted: str, there: str) -> None:
        super().__init__(
            f'"{name.plain}" is a partition {there} already',
            why=f"the revision wants {wanted}, and the bound of a partition does not change",
            fix="give the new partition another name, or correct the bound in the revision",
        )


class NotAPartition(Refused):
    def __init__(self, name: QualifiedName, parent: QualifiedName, there: Relation | None) -> None:
        super().__init__(
            f'"{name.plain}" is no partition of "{parent.plain}"'
            + (f', but of "{there.parent.plain}"' if there is not None and there.parent is not None else "")
            + (", and there is no such table" if there is None else ""),
            fix="correct the name in the revision",
        )


class HalfDetached(Refused):
    def __init__(self, name: QualifiedName, parent: QualifiedName) -> None:
        super().__init__(
            f'detaching "{name.plain}" from "{parent.plain}" was interrupted half way',
            why="it is neither a partition nor a table of its own, and cannot become a partition before it is detached",
            fix=f"ALTER TABLE {parent} DETACH PARTITION {name} FINALIZE",
        )


def create(operations: Operations, operation: CreatePartition) -> None:
    bound = sql.checked_bound(operation.bound)
    parent, name = parse_name(operation.parent), parse_name(operation.name)
    there = catalog(operations)
    relation = there.relation(name) if there is not None else None
    if there is not None and relation is not None:
        if _has_joined(there, relation, parent, name, bound):
            return
        # An earlier attempt outside of a transaction leaves an empty table.
        cut = operation.partition_by is not None
        if relation.parent is not None or relation.partitioned != cut or not there.is_empty(name):
            raise TableInTheWay(name, parent, relation)
        send(operations, sql.marked(name, parent))
    else:
        for statement in sql.create(parent, name, operation.partition_by):
            send(operations, statement)
    send(operations, sql.attach(parent, name, bound))


def attach(operations: Operations, operation: AttachPartition) -> None:
    if is_open(operations):
        raise NeedsAutocommit("attach_partition")
    bound = sql.checked_bound(operation.bound)
    parent, name = parse_name(operation.parent), parse_name(operation.name)
    there = catalog(operations)
    relation = there.relation(name) if there is not None else None
    if there is not None and relation is None:
        raise NotAPartition(name, parent, None)
    if there is not None and relation is not None:
        if _has_joined(there, relation, parent, name, bound):
            return
        if relation.parent is not None:
            raise NotAPartition(name, parent, relation)
    condition = _condition(operations, operation.key, parent, bound)
    if condition is None:
        send(operations, sql.attach(parent, name, bound))
        return
    check = sql.bound_check(name)
    validated = there.validated(name, check) if there is not None else None
    if validated is None:
        send(operations, sql.add_check(name, check, condition))
    if validated is not True:
        send(operations, sql.validate(name, check))
    send(operations, sql.attach_behind(parent, name, bound, check))


def detach(operations: Operations, operation: DetachPartition) -> None:
    if operation.concurrently and is_open(operations):
        raise NeedsAutocommit("detach_partition")
    _take_off(operations, operation.parent, operation.name, concurrently=operation.concurrently)


def drop(operations: Operations, operation: DropPartition) -> None:
    if is_open(operations):
        raise NeedsAutocommit("drop_partition")
    parent, name = parse_name(operation.parent), parse_name(operation.name)
    there = catalog(operations)
    relation = None
    if there is not None:
        relation = there.relation(name)
        if relation is None:
            return
        if relation.parent not in (None, parent):
            raise NotAPartition(name, parent, relation)
        if relation.parent is None and not sql.has_left(parent, name, relation.comment):
            raise NotAPartition(name, parent, relation)
    if relation is not None and relation.parent is not None and relation.bound is not None:
        # So that the next attempt knows it, should this one end before the table is dropped.
        send(operations, sql.leaving(parent, name, relation.bound, relation.comment))
    if relation is None or relation.parent is not None:
        _take_off(operations, operation.parent, operation.name, concurrently=True)
    send(operations, f"DROP TABLE {name.full}")


def _take_off(operations: Operations, of: str, partition: str, *, concurrently: bool) -> None:
    parent, name = parse_name(of), parse_name(partition)
    there = catalog(operations)
    finalize = False
    if there is not None:
        relation = there.relation(name)
        if relation is None or relation.parent not in (None, parent):
            raise NotAPartition(name, parent, relation)
        if relation.parent is None:
            return
        finalize = relation.pending
    send(operations, sql.detach(parent, name, concurrently=concurrently, finalize=finalize))


def _has_joined(
    there: Catalog, relation: Relation, parent: QualifiedName, name: QualifiedName, bound: str
) -> bool:
    """Whether an earlier attempt has attached it."""
    if relation.parent != parent:
        return False
    if relation.pending:
        raise HalfDetached(name, parent)
    if relation.bound is not None and not _same(there, there.key(parent), bound, relation.bound):
        raise OtherBound(name, bound, relation.bound)
    return True


def _same(there: Catalog, key: Key | None, bound: str, known: str) -> bool:
    """Whether two bounds mean the same keys: the server writes a date with its time and its time zone."""
    wanted, found = _WORDS.findall(bound), _WORDS.findall(known)
    if len(wanted) != len(found) or key is None:
        return False
    for place, (one, other) in enumerate(zip(wanted, found, strict=True)):
        type_ = key.types[place % len(key.types)]
        if one.upper() == other.upper() or not type_:  # nobody knows the type of an expression
            continue
        if one[0].isalpha() or other[0].isalpha() or not there.equal(one, other, type_):
            return False
    return True


def _condition(operations: Operations, key: tuple[str, ...], parent: QualifiedName, bound: str) -> str | None:
    method = None
    if not key and bound.upper() != "DEFAULT":
        known = known_key(operations, parent)
        if known is None and operations.migration_context.as_sql:
            raise KeyUnknown(parent)
        if known is None or "" in known.columns:
            return None
        key, method = known.columns, known.method
    return sql.bound_condition(parent, method, key, bound)
