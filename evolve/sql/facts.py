"""What a live table looks like to whoever decides how to change it: pure data, read by `postgres.catalog`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evolve.sql.names import QualifiedName
from evolve.sql.operations import ForeignKey
from evolve.sql.schema import Column, Index, Table, View


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication that carries the table.

    Args:
        columns: the columns it sends; None is all of them, later ones too.
        row_filter: its WHERE, as the server prints it.
        all_tables: FOR ALL TABLES or TABLES IN SCHEMA: the table is not named.
    """

    name: str
    columns: tuple[str, ...] | None = None
    row_filter: str | None = None
    all_tables: bool = False


@dataclass(frozen=True, slots=True)
class ColumnGrant:
    """A privilege that was granted on one column, e.g. SELECT; a twin of the column does not inherit it."""

    column: str
    grantee: str  # "public" for everybody
    privilege: str


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something that names a column and would break, go or stay behind with it.

    Args:
        kind: "index", "constraint", "foreign key to it", "view", "materialized view", "generated column", "trigger",
            "policy", "publication", "statistics", "partition key", "sequence", "default", "rule", "function",
            "grant" or "replica identity".
        name: of the thing; for a policy, rule or trigger without its table.
        detail: its definition, where the server prints one.
    """

    kind: str
    name: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as the catalog has it at one moment.

    Args:
        estimated_rows: what the last ANALYZE or VACUUM counted, partitions included; None where none ever ran.
        bytes: of the table with its indexes and TOAST, partitions included.
        foreign_keys_in: (referencing table, its key), for keys to the table itself.
        views: views and materialized views that read it directly.
        replica_identity: what logical replication names an updated or deleted row by.
        server_version: major, e.g. 15.
        owner_is_us: the connected role owns the table or is a member of the role that does.
    """

    table: Table
    estimated_rows: int | None
    bytes: int
    indexes: tuple[Index, ...]
    foreign_keys_in: tuple[tuple[QualifiedName, ForeignKey], ...]
    views: tuple[View, ...]
    publications: tuple[Publication, ...]
    column_grants: tuple[ColumnGrant, ...]
    policies: tuple[str, ...]
    row_security: bool
    force_row_security: bool
    replica_identity: Literal["default", "nothing", "full", "index"]
    owner: str
    owner_is_us: bool
    server_version: int
    rules: tuple[str, ...] = ()

    @property
    def name(self) -> QualifiedName:
        return self.table.name

    @property
    def is_partitioned(self) -> bool:
        return self.table.partition_by is not None

    @property
    def is_partition(self) -> bool:
        return self.table.partition_of is not None

    def column(self, name: str) -> Column | None:
        return self.table.column(name)
