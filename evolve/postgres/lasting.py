"""What a statement outside a transaction leaves in the catalogs, so that they can be asked whether it was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from psycopg import errors, sql

from evolve.postgres.composing import identifier, table_name
from evolve.postgres.connect import Connection
from evolve.sql import operations as op
from evolve.sql.names import QualifiedName, quote
from evolve.sql.parse import parse

# "half": an invalid index, a partition whose detachment is pending
Verdict = Literal["done", "undone", "half"]


@dataclass(frozen=True, slots=True)
class IndexBuilt:
    index: str
    table: QualifiedName


@dataclass(frozen=True, slots=True)
class IndexGone:
    index: QualifiedName


@dataclass(frozen=True, slots=True)
class ValueAdded:
    type: QualifiedName
    value: str


@dataclass(frozen=True, slots=True)
class Validated:
    table: QualifiedName
    constraint: str


@dataclass(frozen=True, slots=True)
class Detached:
    table: QualifiedName
    partition: QualifiedName


Lasting = IndexBuilt | IndexGone | ValueAdded | Validated | Detached

# May be sent again, done before or not, by what they are.
_REPEATABLE = (
    op.SetParameter,
    op.SetNotNull,
    op.DropNotNull,
    op.SetDefault,
    op.DropDefault,
    op.ValidateConstraint,
    op.Reindex,
    op.RefreshMaterializedView,
)
_REPEATABLE_KINDS = frozenset({"ANALYZE", "VACUUM", "VACUUM FULL", "COMMENT", "GRANT", "REVOKE", "CLUSTER"})
# What reads calls none but these: others may do something.
_READING = frozenset({
    "array_agg", "clock_timestamp", "coalesce", "count", "current_database", "current_schema", "current_setting",
    "exists", "format", "length", "lower", "max", "min", "now", "obj_description", "pg_get_constraintdef",
    "pg_get_indexdef", "pg_get_viewdef", "pg_relation_size", "pg_sleep", "pg_table_size", "set_config", "string_agg",
    "sum", "to_regclass", "upper", "version",
})  # fmt: skip


def lasting(text: str) -> Lasting | None:
    """What `text` leaves if it is one statement of a kind that the catalogs can tell of."""
    operations = parse(text)
    match operations[0] if len(operations) == 1 else None:
        case op.CreateIndex(index=op.IndexDefinition(name=str(name)) as index, concurrently=True):
            return IndexBuilt(name, index.table)
        case op.DropIndex(index=index, concurrently=True):
            return IndexGone(index)
        case op.AddEnumValue(type=type_, value=value):
            return ValueAdded(type_, value)
        case op.ValidateConstraint(table=table, name=name):
            return Validated(table, name)
        case op.DetachPartition(table=table, partition=partition):
            return Detached(table, partition)
        case _:
            return None


def repeatable(text: str) -> bool:
    """Whether `text` may be sent again, done before or not: it only reads, says IF [NOT] EXISTS, replaces, or sets."""
    operations = parse(text)
    # One ALTER TABLE that drops a constraint where it is there, and adds it again.
    replaced = {(o.table, o.name) for o in operations if isinstance(o, op.DropConstraint) and o.if_exists}
    return all(
        (operation.table, operation.constraint.name) in replaced
        if isinstance(operation, op.AddConstraint)
        else _repeatable(operation)
        for operation in operations
    )


def only_reads(text: str) -> bool:
    return all(isinstance(operation, op.Query) and _reads(operation) for operation in parse(text))


def _reads(query: op.Query) -> bool:
    return all(name.rpartition(".")[2].lower() in _READING for name in query.functions)


def _repeatable(operation: op.Operation) -> bool:
    match operation:
        case op.Query():
            return _reads(operation)
        case op.Other(kind=kind, options=options):
            return kind in _REPEATABLE_KINDS or "if not exists" in options
        case _:
            guarded = ("if_exists", "if_not_exists", "replace")
            return isinstance(operation, _REPEATABLE) or any(
                getattr(operation, name, False) is True for name in guarded
            )


def look(connection: Connection, what: Lasting, search_path: str) -> Verdict:
    """Ask the catalogs whether `what` is there.

    Args:
        connection: in autocommit mode.
        search_path: of the session that sent the statement: names may be written without a schema.
    """
    with connection.transaction():
        # No lock; for the names below only.
        connection.execute("SELECT set_config('search_path', %s, true)", (search_path,))
        match what:
            case IndexBuilt(index, table):
                # ACCESS SHARE on catalogs only, here and below.
                row = connection.execute(
                    "SELECT i.indisvalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
                    " WHERE i.indrelid = to_regclass(%s) AND c.relname = %s",
                    (written(table), index),
                ).fetchone()
                return "undone" if row is None else ("done" if row[0] is True else "half")
            case IndexGone(index):
                row = connection.execute("SELECT to_regclass(%s) IS NULL", (written(index),)).fetchone()
                return "done" if row == (True,) else "undone"
            case ValueAdded(type_, value):
                row = connection.execute(
                    "SELECT EXISTS (SELECT FROM pg_enum WHERE enumtypid = to_regtype(%s) AND enumlabel = %s)",
                    (written(type_), value),
                ).fetchone()
                return "done" if row == (True,) else "undone"
            case Validated(table, constraint):
                row = connection.execute(
                    "SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s",
                    (written(table), constraint),
                ).fetchone()
                return "done" if row == (True,) else "undone"
            case Detached(table, partition):
                row = connection.execute(
                    "SELECT inhdetachpending FROM pg_inherits WHERE inhparent = to_regclass(%s)"
                    " AND inhrelid = to_regclass(%s)",
                    (written(table), written(partition)),
                ).fetchone()
                return "done" if row is None else ("half" if row[0] is True else "undone")
            case _:
                assert_never(what)


def resolved(connection: Connection, name: QualifiedName, search_path: str) -> str:
    """`name` with its schema, as SQL, where `search_path` finds it."""
    with connection.transaction():
        # No lock; for the name below only.
        connection.execute("SELECT set_config('search_path', %s, true)", (search_path,))
        # ACCESS SHARE on catalogs only.
        row = connection.execute(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)",
            (written(name),),
        ).fetchone()
    return str(row[0]) if row is not None else name.full


def leftovers(connection: Connection, text: str, search_path: str) -> list[tuple[str, str]]:
    """Indexes, each with its table as SQL, that were left invalid when `text` was cut short, under the server's names.

    Those of a REINDEX CONCURRENTLY, and of a CREATE INDEX CONCURRENTLY without a name.
    """
    match parse(text):
        case (op.Reindex(kind="index" | "table", name=QualifiedName() as name, concurrently=True),):
            pattern = "_cc(new|old)[0-9]*$"
        case (op.CreateIndex(index=op.IndexDefinition(name=None, table=name), concurrently=True),):
            pattern = "_idx[0-9]*$"
        case _:
            return []
    with connection.transaction():
        # No lock; for the name below only.
        connection.execute("SELECT set_config('search_path', %s, true)", (search_path,))
        # ACCESS SHARE on catalogs only.
        rows = connection.execute(
            "SELECT x.relname, format('%%I.%%I', n.nspname, t.relname) FROM (SELECT to_regclass(%s)::oid AS oid) AS r"
            " JOIN pg_class AS t ON t.oid = coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = r.oid), r.oid)"
            " JOIN pg_namespace AS n ON n.oid = t.relnamespace JOIN pg_index AS i ON i.indrelid = t.oid"
            " JOIN pg_class AS x ON x.oid = i.indexrelid"
            " WHERE NOT i.indisvalid AND x.relname ~ %s",
            (written(name), pattern),
        ).fetchall()
    return [(str(index), str(table)) for index, table in rows]


def finalize(connection: Connection, what: Detached, search_path: str, lock_timeout: int) -> bool:
    """End a detachment that was cut short; False where its locks were not to be had.

    Args:
        lock_timeout: milliseconds; others queue behind the lock on the partition.
    """
    try:
        with connection.transaction():
            # No lock; both end with the transaction.
            connection.execute(
                "SELECT set_config('search_path', %s, true), set_config('lock_timeout', %s, true)",
                (search_path, str(lock_timeout)),
            )
            # SHARE UPDATE EXCLUSIVE on the parent, ACCESS EXCLUSIVE on the partition, for an instant.
            connection.execute(
                sql.SQL("ALTER TABLE {} DETACH PARTITION {} FINALIZE").format(
                    _found(what.table), _found(what.partition)
                ),
                {},
            )
    except (errors.LockNotAvailable, errors.DeadlockDetected):
        return False
    return True


def written(name: QualifiedName) -> str:
    """As the search path finds it where it was written without a schema: the parser takes that for `public`."""
    return quote(name.name) if name.schema == "public" else name.full


def _found(name: QualifiedName) -> sql.SQL:
    """The same, composed."""
    return identifier(name.name) if name.schema == "public" else table_name(name)
