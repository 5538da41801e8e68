"""Upkeep: the partitions that are missing, made with locks that no reader and no writer waits for."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.partition.below import below, method_and_key
from evolve.partition.shell import MARKER
from evolve.plugin_api import Partition, Partitioner, bound_sql, check_sql
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A partitioned table.

    Args:
        method: "range", "list" or "hash".
        key: its columns; an expression stands as "".
        partitions: those attached, in the order of their names.
        rows: of each partition, by the statistics.
    """

    table: QualifiedName
    method: str
    key: tuple[str, ...]
    key_type: str
    partitions: tuple[Partition, ...]
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Template:
    """What a new partition takes over from an existing one, because a parent cannot pass it on.

    Args:
        owner, tablespace: as SQL.
        options: storage parameters.
        unique_indexes: definitions (from USING to the end) of unique indexes that hold within each partition only, by
            the name that the table's own index had.
        foreign_keys: name and definition of the parent's, so that attaching need not look for them.
        replica_identity: as in pg_class.
    """

    owner: str
    options: tuple[str, ...]
    tablespace: str | None
    replica_identity: str
    unique_indexes: tuple[tuple[str, str], ...]


def create(
    parent: QualifiedName,
    partitioner: Partitioner | Partitioned,
    partition: Partition,
    template: Template,
    sub: Partitioner | None = None,
) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    """Two transactions: one that makes the table, known to nobody, and one that attaches it.

    Never `CREATE TABLE … PARTITION OF`: that takes ACCESS EXCLUSIVE on the parent and queues behind every reader.
    The table of the first transaction may be there already, from a run that was killed; it is made anew.

    Args:
        sub: cuts the partition once more; its own are made with it, before it is attached.
    """
    leaf = QualifiedName(partition.name, parent.schema)
    check_name = quote(shorten(partition.name, "evolve_bound"))
    storage = f" WITH ({', '.join(template.options)})" if template.options else ""
    storage += f" TABLESPACE {template.tablespace}" if template.tablespace else ""
    # Storage parameters are for tables that hold rows.
    cut = below(sub, partition)
    kind = f" PARTITION BY {method_and_key(sub)}" if sub is not None and cut else storage
    make = [
        _new(f"CREATE TABLE {leaf.full} (LIKE {parent.full} INCLUDING ALL EXCLUDING IDENTITY){kind}"),
        _new(f"ALTER TABLE {leaf.full} OWNER TO {template.owner}"),
    ]
    condition = check_sql(partition.bound, partitioner.key, parent)
    if condition is not None:
        make.append(_new(f"ALTER TABLE {leaf.full} ADD CONSTRAINT {check_name} CHECK ({condition})"))
    if not cut:
        make += _of_rows(leaf, template)
    for each in cut:
        table = QualifiedName(each.name, parent.schema)
        make += [
            _new(f"CREATE TABLE {table.full} PARTITION OF {leaf.full} {bound_sql(each.bound)}{storage}"),
            _new(f"ALTER TABLE {table.full} OWNER TO {template.owner}"),
            *_of_rows(table, template),
            _new(f"COMMENT ON TABLE {table.full} IS {literal(f'{MARKER}: partition of {leaf.plain}')}"),
        ]
    make.append(_new(f"COMMENT ON TABLE {leaf.full} IS {literal(f'{MARKER}: partition of {parent.plain}')}"))
    attach = [
        Statement(
            f"ALTER TABLE {parent.full} ATTACH PARTITION {leaf.full} {bound_sql(partition.bound)}",
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "readers and writers of the parent pass; the CHECK spares the scan",
        )
    ]
    if condition is not None:
        # The bound says the same from here on; two checks of each row would cost twice.
        attach.append(
            Statement(
                f"ALTER TABLE {leaf.full} DROP CONSTRAINT {check_name}",
                LockMode.ACCESS_EXCLUSIVE,
                "on the new partition, which only this transaction knows",
            )
        )
    return tuple(make), tuple(attach)


def _of_rows(leaf: QualifiedName, template: Template) -> list[Statement]:
    """What only a table that holds rows has."""
    statements = []
    if template.replica_identity in ("f", "n"):
        word = "FULL" if template.replica_identity == "f" else "NOTHING"
        statements.append(_new(f"ALTER TABLE {leaf.full} REPLICA IDENTITY {word}"))
    return statements + [
        _new(f"CREATE UNIQUE INDEX {quote(shorten(leaf.name, name))} ON {leaf.full} {definition}")
        for name, definition in template.unique_indexes
    ]


def _new(sql: str) -> Statement:
    return Statement(sql, None, "nobody knows this table yet")
