"""The partitioned table as it is born: empty, under another name, with everything that can be there from the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from evolve.partition.below import below, method_and_key
from evolve.partition.inventory import Grant, Index, Inventory, Key, Sequence
from evolve.partition.naming import Names
from evolve.partition.obstacles import UniqueAnswer
from evolve.plugin_api import Partition, Partitioner, bound_sql
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement

MARKER = "made by evolve"
"""Begins the comment of every partition that evolve made; what lacks it is never dropped by evolve."""

_UNKNOWN_TO_ALL = "nobody knows this table yet"


@dataclass(frozen=True, slots=True)
class LateIndex:
    """An index of the old table, and how the partitions get it.

    Args:
        columns: from USING to the end.
        on_parent: it also stands on the partitioned table, so that every future partition has it.
    """

    name: str
    unique: bool
    definition: str
    on_parent: bool


@dataclass(frozen=True, slots=True)
class Shell:
    """What the partitioned table will look like, apart from its rows.

    Args:
        unique: what becomes of unique keys that lack the partition key.
        sub: cuts each partition once more; None where they hold rows themselves.
    """

    names: Names
    inventory: Inventory
    partitioner: Partitioner
    unique: Mapping[str, UniqueAnswer]
    sub: Partitioner | None = None

    @property
    def unique_across(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Names and columns of what will be unique across partitions."""
        primary = self.inventory.primary_key
        found = [(primary.name, self.primary_key)] if primary else []
        found += [(key.name, self._wide(key.name, key.columns)) for key in self.early_keys]
        indexes = [index for index in self.inventory.indexes if index.unique]
        return (
            *found,
            *(
                (index.name, self._wide(index.name, index.columns or ()))
                for index in indexes
                if self.unique.get(index.name) != "per-partition"
            ),
        )

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The primary key, widened by the partition key where it lacks it."""
        primary = self.inventory.primary_key
        return self._widened(primary.columns if primary else ())

    @property
    def primary_is_widened(self) -> bool:
        primary = self.inventory.primary_key
        return primary is not None and primary.columns != self.primary_key

    @property
    def catches_strays(self) -> bool:
        """Until the swap, rows that fit no partition are caught. Each row fits one of a hash, which has no DEFAULT."""
        return self.partitioner.method != "hash"

    @property
    def early_keys(self) -> tuple[Key, ...]:
        """Unique constraints that exist from the start: an index cannot be made into a constraint of a parent later."""
        return tuple(
            key
            for key in self.inventory.keys
            if not key.primary and self.unique.get(key.name) != "per-partition"
        )

    @property
    def late_indexes(self) -> tuple[LateIndex, ...]:
        """Built after the copy, which is faster by half."""
        late = [self._late(index) for index in self.inventory.indexes]
        for key in self.inventory.keys:
            if not key.primary and self.unique.get(key.name) == "per-partition":
                late.append(LateIndex(key.name, unique=True, definition=as_index(key), on_parent=False))
        return tuple(late)

    @property
    def shared_names(self) -> tuple[str, ...]:
        """Indexes that the old table and the partitioned one both have, in the end under the same name."""
        primary = self.inventory.primary_key
        keys = [*([primary.name] if primary else []), *(key.name for key in self.early_keys)]
        return (*keys, *(index.name for index in self.late_indexes if index.on_parent))

    def create(self) -> tuple[Statement, ...]:
        """The parent alone. `LIKE` brings columns, NOT NULL, defaults, checks, generation, storage and comments."""
        method, key = self.partitioner.partition_by
        shadow, table = self.names.shadow, self.names.table
        primary = self.inventory.primary_key
        constraints = [
            f"CONSTRAINT {quote(self.names.fresh(primary.name))} PRIMARY KEY ({_list(self.primary_key)})"
            f"{_stored(primary)}"
            if primary
            else ""
        ]
        for unique in self.early_keys:
            definition = unique.definition
            if self.unique.get(unique.name) == "widen":
                definition = f"UNIQUE ({_list(self._widened(unique.columns))})"
            constraints.append(
                f"CONSTRAINT {quote(self.names.fresh(unique.name))} {definition}{_stored(unique)}"
            )
        parts = ", ".join(["", *filter(None, constraints)])
        sql = (
            f"CREATE TABLE {shadow.full} (LIKE {table.full} INCLUDING DEFAULTS INCLUDING CONSTRAINTS "
            f"INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS{parts}) "
            f"PARTITION BY {method} ({_list(key)})"
        )
        return (
            _new(sql),
            *(self._identity(sequence.name) for sequence in self.inventory.sequences if sequence.identity),
            _new(f"ALTER TABLE {shadow.full} OWNER TO {self.inventory.owner}"),
            *self._statistics(shadow),
        )

    def grants(self) -> tuple[Statement, ...]:
        shadow = self.names.shadow.full
        statements = [
            _new(f"REVOKE ALL ON TABLE {shadow} FROM {grantee}")
            for grantee in self.inventory.default_grantees
        ]
        statements += [grant_on(grant, f"TABLE {shadow}") for grant in self.inventory.grants]
        for sequence in self.inventory.sequences:
            if sequence.identity:
                fresh = self.names.in_schema(self.names.fresh(sequence.name))
                statements += self.sequence(sequence, fresh)
        if self.inventory.comment is not None:
            statements.append(_new(f"COMMENT ON TABLE {shadow} IS {literal(self.inventory.comment)}"))
        return tuple(statements)

    def sequence(self, sequence: Sequence, name: str) -> tuple[Statement, ...]:
        """Privileges and comment of a new identity sequence called `name` (as SQL)."""
        return (
            *(
                _new(f"REVOKE ALL ON SEQUENCE {name} FROM {grantee}")
                for grantee in self.inventory.default_sequence_grantees
            ),
            *(grant_on(grant, f"SEQUENCE {name}") for grant in sequence.grants),
            *(
                (_new(f"COMMENT ON SEQUENCE {name} IS {literal(sequence.comment)}"),)
                if sequence.comment is not None
                else ()
            ),
        )

    def partition(self, partition: Partition) -> tuple[Statement, ...]:
        """A partition of a parent that nobody uses yet; for one that is in use see `maintain`."""
        leaf = QualifiedName(partition.name, self.names.table.schema)
        cut = below(self.sub, partition)
        kind = f" PARTITION BY {method_and_key(self.sub)}" if self.sub is not None and cut else self.storage
        statements = [*self._partition_of(self.names.shadow, self.names.table, partition, kind)]
        for each in cut:
            statements += self._partition_of(leaf, leaf, each, self.storage)
        return tuple(statements)

    def _partition_of(
        self, parent: QualifiedName, called: QualifiedName, partition: Partition, kind: str
    ) -> tuple[Statement, ...]:
        leaf = QualifiedName(partition.name, self.names.table.schema)
        mark = f"{MARKER}: partition of {called.plain}"
        return (
            _new(f"CREATE TABLE {leaf.full} PARTITION OF {parent.full} {bound_sql(partition.bound)}{kind}"),
            *self.leaf(leaf),
            _new(f"COMMENT ON TABLE {leaf.full} IS {literal(mark)}"),
        )

    def holders(self, partitions: Iterable[Partition]) -> tuple[tuple[str, str | None], ...]:
        """The tables that will hold rows, each with the partition that is cut into it; None where it is one itself."""
        found: list[tuple[str, str | None]] = []
        for partition in partitions:
            cut = below(self.sub, partition)
            found += [(each.name, partition.name) for each in cut] if cut else [(partition.name, None)]
        return tuple(found)

    def leaf(self, leaf: QualifiedName) -> tuple[Statement, ...]:
        """What a parent does not pass on."""
        statements = [
            _new(f"ALTER TABLE {leaf.full} OWNER TO {self.inventory.owner}"),
            # Who may read the table is said of its parent; whoever may read any new table must not read past that.
            *(
                _new(f"REVOKE ALL ON TABLE {leaf.full} FROM {name}")
                for name in self.inventory.default_grantees
            ),
            *self._statistics(leaf),
        ]
        if self.inventory.replica_identity in ("f", "n"):
            word = "FULL" if self.inventory.replica_identity == "f" else "NOTHING"
            statements.append(_new(f"ALTER TABLE {leaf.full} REPLICA IDENTITY {word}"))
        return tuple(statements)

    @property
    def marker(self) -> str:
        return f"{MARKER}: partition of {self.names.table.plain}"

    @property
    def storage(self) -> str:
        """Storage parameters and tablespace: a parent has none, its partitions do."""
        text = f" WITH ({', '.join(self.inventory.options)})" if self.inventory.options else ""
        return text + (f" TABLESPACE {self.inventory.tablespace}" if self.inventory.tablespace else "")

    def index_on_parent(self, index: LateIndex) -> Statement:
        """ON ONLY: not valid until every partition has its own and is attached."""
        unique = "UNIQUE " if index.unique else ""
        return _new(
            f"CREATE {unique}INDEX {quote(self.names.fresh(index.name))} "
            f"ON ONLY {self.names.shadow.full} {index.definition}"
        )

    def index_on_leaf(self, index: LateIndex, leaf: str, *, concurrently: bool, only: bool = False) -> str:
        """
        Args:
            only: of a partition that is cut once more; see `index_on_parent`.
        """
        unique = "UNIQUE " if index.unique else ""
        how = "CONCURRENTLY " if concurrently else ""
        table = f"{'ONLY ' if only else ''}{QualifiedName(leaf, self.names.table.schema).full}"
        return (
            f"CREATE {unique}INDEX {how}{quote(leaf_index(leaf, index.name))} ON {table} {index.definition}"
        )

    def _wide(self, name: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        return self._widened(columns) if self.unique.get(name) == "widen" else columns

    def _late(self, index: Index) -> LateIndex:
        definition = index.placed
        on_parent = True
        if index.unique:
            answer = self.unique.get(index.name)
            if answer == "widen" and index.columns is not None:
                definition = replace(
                    index, definition=f"USING btree ({_list(self._widened(index.columns))})"
                ).placed
            on_parent = answer != "per-partition"
        return LateIndex(index.name, index.unique, definition, on_parent)

    def _widened(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        return (*columns, *(name for name in self.partitioner.key if name not in columns))

    def _identity(self, sequence_name: str) -> Statement:
        sequence = next(item for item in self.inventory.sequences if item.name == sequence_name)
        column = self.inventory.column(sequence.column)
        how = "ALWAYS" if column is not None and column.identity == "always" else "BY DEFAULT"
        fresh = self.names.in_schema(self.names.fresh(sequence.name))
        return _new(
            f"ALTER TABLE {self.names.shadow.full} ALTER COLUMN {quote(sequence.column)} "
            f"ADD GENERATED {how} AS IDENTITY (SEQUENCE NAME {fresh} {sequence.settings})"
        )

    def _statistics(self, table: QualifiedName) -> tuple[Statement, ...]:
        statements = []
        for column in self.inventory.columns:
            head = f"ALTER TABLE {table.full} ALTER COLUMN {quote(column.name)}"
            if column.statistics is not None:
                statements.append(_new(f"{head} SET STATISTICS {column.statistics}"))
            if column.options:
                statements.append(_new(f"{head} SET ({', '.join(column.options)})"))
        return tuple(statements)


def leaf_index(leaf: str, index: str) -> str:
    """The name of a partition's own index: both names in it, cut and told apart where they are too long."""
    return shorten(leaf, index)


def as_index(key: Key) -> str:
    """The definition of an index that keeps what a UNIQUE constraint keeps, from USING to its end."""
    columns = key.definition.removeprefix("UNIQUE ")
    nulls = "NULLS NOT DISTINCT "
    # A constraint says UNIQUE NULLS NOT DISTINCT (…), an index (…) NULLS NOT DISTINCT.
    tail = f"{columns.removeprefix(nulls)} NULLS NOT DISTINCT" if columns.startswith(nulls) else columns
    return f"USING btree {tail}{key.storage}"


def _new(sql: str) -> Statement:
    return Statement(sql, None, _UNKNOWN_TO_ALL)


def grant_on(grant: Grant, target: str) -> Statement:
    option = " WITH GRANT OPTION" if grant.grantable else ""
    return _new(f"GRANT {grant.privilege} ON {target} TO {grant.grantee}{option}")


def _stored(key: Key) -> str:
    """Where and how the index of a constraint is kept, as CREATE TABLE says it."""
    return key.storage.replace(" TABLESPACE ", " USING INDEX TABLESPACE ")


def _list(columns: tuple[str, ...]) -> str:
    return ", ".join(quote(name) for name in columns)
