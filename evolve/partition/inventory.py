"""All that hangs on a table and has to go along when another takes its place."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from evolve.plugin_api import Column as PluginColumn
from evolve.plugin_api import TableInfo
from evolve.sql.names import QualifiedName

# Names that are written "as SQL" below are already quoted and qualified by the server.


@dataclass(frozen=True, slots=True)
class Column:
    """Args:
    type_schema: where the type lives; operators for it may live there too.
    identity: how it counts by itself, if it does.
    statistics: target of ANALYZE, None for the default.
    options: such as "n_distinct=-0.5".
    collation: "C" where the server sorts by bytes, None for any other or for none.
    """

    name: str
    type: str
    type_schema: str
    not_null: bool
    identity: Literal["always", "by default"] | None
    generated: Literal["stored", "virtual"] | None
    statistics: int | None
    options: tuple[str, ...]
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A PRIMARY KEY or UNIQUE constraint.

    Args:
        plain: a b-tree over columns, NULLs distinct, nothing included, not deferrable.
        options: storage parameters of its index.
        tablespace: as SQL, of its index.
    """

    name: str
    primary: bool
    columns: tuple[str, ...]
    definition: str
    plain: bool
    deferrable: bool
    comment: str | None
    options: tuple[str, ...] = ()
    tablespace: str | None = None

    @property
    def storage(self) -> str:
        """What an index like its own has behind its columns."""
        options = f" WITH ({', '.join(self.options)})" if self.options else ""
        return options + (f" TABLESPACE {self.tablespace}" if self.tablespace else "")


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    validated: bool
    inherited: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Args:
    target, source: as SQL.
    definition: from FOREIGN KEY to its end.
    keys: columns of the target.
    partitioned: the source is.
    """

    name: str
    source: str
    target: str
    definition: str
    validated: bool
    comment: str | None
    keys: tuple[str, ...] = ()
    partitioned: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index that backs no constraint.

    Args:
        columns: None where one of them is an expression.
        definition: from USING to its end, but for the tablespace.
        partial: it has a WHERE.
        tablespace: as SQL.
        where: how the definition ends where it is partial.
    """

    name: str
    unique: bool
    valid: bool
    columns: tuple[str, ...] | None
    definition: str
    partial: bool
    comment: str | None
    tablespace: str | None = None
    where: str = ""

    @property
    def placed(self) -> str:
        """The definition with the tablespace."""
        if self.tablespace is None:
            return self.definition
        return f"{self.definition.removesuffix(self.where)} TABLESPACE {self.tablespace}{self.where}"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Args:
    definition: the whole CREATE TRIGGER, with the table's name as SQL in it.
    enabled: O enabled, D disabled, R on a replica, A always.
    transition: it reads a transition table.
    """

    name: str
    definition: str
    enabled: str
    row: bool
    before: bool
    transition: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Policy:
    """Args:
    definition: what follows ON table.
    """

    name: str
    definition: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """Args:
    privilege: such as "SELECT", or "SELECT (name)" for a column.
    grantee: as SQL, or "PUBLIC".
    """

    privilege: str
    grantee: str
    grantable: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence that belongs to a column.

    Args:
        identity: it is the column's identity; else the column is serial and only owns it.
        settings: what stands in the parentheses of GENERATED … AS IDENTITY, its name apart.
    """

    name: str
    schema: str
    column: str
    identity: bool
    settings: str
    increment: int
    cache: int
    grants: tuple[Grant, ...]
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Args:
    name, owner: as SQL.
    definition: its query.
    options: such as "security_barrier=true".
    needs_key: its query is right only because of a primary key (GROUP BY).
    """

    name: str
    owner: str
    definition: str
    options: tuple[str, ...]
    needs_key: bool


@dataclass(frozen=True, slots=True)
class Publication:
    """Args:
    name: as SQL.
    scope: it names the table, its schema, or all tables.
    columns: None for all.
    """

    name: str
    scope: Literal["table", "schema", "all"]
    columns: tuple[str, ...] | None
    condition: str | None
    via_root: bool


@dataclass(frozen=True, slots=True)
class Inventory:
    """Args:
    kind, persistence, replica_identity: as in pg_class.
    owner, tablespace: as SQL.
    options: storage parameters; those of the TOAST table with "toast.".
    inbound: foreign keys of other tables (and of itself) that point here.
    default_grantees, default_sequence_grantees: who gets privileges on any new table or sequence of this schema.
    parents, children: tables it inherits from or that inherit from it.
    statistics: names of extended statistics.
    others: descriptions of whatever else depends on the table.
    extension: the one it belongs to.
    lost: small things that no new table gets, in words.
    """

    schema: str
    name: str
    oid: int
    kind: str
    persistence: str
    access_method: str
    partition: bool
    typed: bool
    owner: str
    comment: str | None
    options: tuple[str, ...]
    tablespace: str | None
    replica_identity: str
    row_security: bool
    forced_row_security: bool
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    checks: tuple[Check, ...]
    exclusions: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]
    inbound: tuple[ForeignKey, ...]
    indexes: tuple[Index, ...]
    triggers: tuple[Trigger, ...]
    policies: tuple[Policy, ...]
    grants: tuple[Grant, ...]
    default_grantees: tuple[str, ...]
    sequences: tuple[Sequence, ...]
    views: tuple[View, ...]
    publications: tuple[Publication, ...]
    parents: tuple[str, ...]
    children: tuple[str, ...]
    statistics: tuple[str, ...]
    others: tuple[str, ...]
    default_sequence_grantees: tuple[str, ...] = ()
    extension: str | None = None
    lost: tuple[str, ...] = ()

    @property
    def table(self) -> QualifiedName:
        return QualifiedName(self.name, self.schema)

    @property
    def primary_key(self) -> Key | None:
        return next((key for key in self.keys if key.primary), None)

    @property
    def stored_columns(self) -> tuple[str, ...]:
        """Those that take values; generated ones compute theirs."""
        return tuple(column.name for column in self.columns if column.generated is None)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def for_plugins(self) -> TableInfo:
        columns = tuple(
            PluginColumn(
                column.name,
                column.type,
                column.not_null,
                column.generated is not None,
                column.collation or "",
            )
            for column in self.columns
        )
        primary = self.primary_key
        return TableInfo(self.table, columns, primary.columns if primary else ())

    def without(self, names: frozenset[str]) -> Inventory:
        """The same without the triggers, checks and indexes of these names: those that a conversion added itself."""
        return replace(
            self,
            triggers=tuple(item for item in self.triggers if item.name not in names),
            checks=tuple(item for item in self.checks if item.name not in names),
            indexes=tuple(item for item in self.indexes if item.name not in names),
        )


def differences(planned: Inventory, found: Inventory) -> tuple[str, ...]:
    """What changed between two looks, in words."""
    changed: list[str] = []
    for field in fields(Inventory):
        before: object = getattr(planned, field.name)
        after: object = getattr(found, field.name)
        if before == after:
            continue
        title = field.name.replace("_", " ")
        if isinstance(before, tuple) and isinstance(after, tuple):
            gone = [_label(item) for item in before if item not in after]
            new = [_label(item) for item in after if item not in before]
            changed.append(
                f"{title}: {', '.join(['-' + label for label in gone] + ['+' + label for label in new])}"
            )
        else:
            changed.append(f"{title}: {before} became {after}")
    return tuple(changed)


def _label(item: object) -> str:
    return str(getattr(item, "name", item))
