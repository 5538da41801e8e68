"""The statements of Alembic's operations on partitions: each in the form that lets readers and writers pass."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evolve.errors import Misuse
from evolve.partition.retention import leaving_comment, read_detached
from evolve.partition.shell import MARKER
from evolve.sql.bound_proof import implying_check
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.values import dataclass

_BOUND = re.compile(r"(?:FOR\s+VALUES\s+(?:IN|FROM|WITH)\b.*|DEFAULT)", re.IGNORECASE | re.DOTALL)
_HASH = re.compile(r"FOR\s+VALUES\s+WITH\s*\(\s*MODULUS\s+(\d+)\s*,\s*REMAINDER\s+(\d+)\s*\)", re.IGNORECASE)


class BadBound(Misuse):
    def __init__(self, bound: str) -> None:
        super().__init__(
            f'"{bound}" is no bound of a partition',
            fix="write it as PostgreSQL does: \"FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')\", "
            '"FOR VALUES IN (\'eu\')", "FOR VALUES WITH (MODULUS 4, REMAINDER 0)" or "DEFAULT"',
        )


@dataclass(frozen=True, slots=True)
class IndexOnEach:
    """An index of a partitioned table.

    Args:
        name: of the table's; that of a partition is made of its own name and this one.
        definition: from USING, or from the opening bracket of the keys, to the end.
    """

    name: str
    table: QualifiedName
    definition: str
    unique: bool = False

    @property
    def on_parent(self) -> str:
        """SHARE on the partitioned table alone, which has no rows: for an instant."""
        return f"CREATE {self._kind} {quote(self.name)} ON ONLY {self.table.full} {self.definition}"

    def on_partition(self, partition: QualifiedName) -> str:
        """SHARE UPDATE EXCLUSIVE: blocks neither reads nor writes; no transaction may be open."""
        own = quote(self.part(partition).name)
        return f"CREATE {self._kind} CONCURRENTLY {own} ON {partition.full} {self.definition}"

    def attach(self, partition: QualifiedName) -> str:
        return f"ALTER INDEX {self.index.full} ATTACH PARTITION {self.part(partition).full}"

    @property
    def index(self) -> QualifiedName:
        return QualifiedName(self.name, self.table.schema)

    def part(self, partition: QualifiedName) -> QualifiedName:
        return QualifiedName(shorten(partition.name, self.name), partition.schema)

    @property
    def _kind(self) -> str:
        return "UNIQUE INDEX" if self.unique else "INDEX"


@dataclass(frozen=True, slots=True)
class ForeignKeyOnEach:
    """A foreign key of a partitioned table, under one name on it and on each partition.

    Args:
        actions: what stands behind the columns it points to, such as "ON DELETE CASCADE".
    """

    name: str
    table: QualifiedName
    columns: tuple[str, ...]
    target: QualifiedName
    target_columns: tuple[str, ...]
    actions: str = ""

    def on(self, table: QualifiedName, *, not_valid: bool) -> str:
        """SHARE ROW EXCLUSIVE on both tables; NOT VALID it reads no row, and so does one that each partition has."""
        here, there = (", ".join(map(quote, names)) for names in (self.columns, self.target_columns))
        return (
            f"ALTER TABLE {table.full} ADD CONSTRAINT {quote(self.name)} FOREIGN KEY ({here}) "
            f"REFERENCES {self.target.full} ({there}){self.actions}{' NOT VALID' if not_valid else ''}"
        )

    def validate(self, table: QualifiedName) -> str:
        """SHARE UPDATE EXCLUSIVE, and ROW SHARE on the other table: reads every row while writes go on."""
        return f"ALTER TABLE {table.full} VALIDATE CONSTRAINT {quote(self.name)}"


def checked_bound(bound: str) -> str:
    """
    Raises:
        BadBound: it is not written as PostgreSQL writes bounds.
    """
    stripped = bound.strip()
    if not _BOUND.fullmatch(stripped):
        raise BadBound(bound)
    return stripped


def create(parent: QualifiedName, name: QualifiedName, partition_by: str | None) -> tuple[str, ...]:
    """A table that nobody knows yet. Never PARTITION OF, which queues behind every reader of the parent."""
    # A partitioned table has its indexes from the parent alone.
    takes = "INCLUDING ALL EXCLUDING IDENTITY" + (" EXCLUDING INDEXES" if partition_by else "")
    cut = f" PARTITION BY {partition_by}" if partition_by else ""
    return (
        f"CREATE TABLE {name.full} (LIKE {parent.full} {takes}){cut}",
        marked(name, parent),
    )


def marked(name: QualifiedName, parent: QualifiedName) -> str:
    """SHARE UPDATE EXCLUSIVE on the partition: blocks neither reads nor writes."""
    return f"COMMENT ON TABLE {name.full} IS {literal(mark(parent))}"


def mark(parent: QualifiedName) -> str:
    return f"{MARKER}: partition of {parent.plain}"


def leaving(parent: QualifiedName, name: QualifiedName, bound: str, comment: str | None) -> str:
    """SHARE UPDATE EXCLUSIVE on the partition: blocks neither reads nor writes. What a person wrote there stays."""
    return f"COMMENT ON TABLE {name.full} IS {literal(leaving_comment(parent, bound, comment))}"


def has_left(parent: QualifiedName, name: QualifiedName, comment: str | None) -> bool:
    """Whether the comment of a table says that evolve detached it from `parent`, or once made it for that."""
    return read_detached(name.name, comment, parent) is not None or comment == mark(parent)


def attach(parent: QualifiedName, name: QualifiedName, bound: str) -> str:
    """SHARE UPDATE EXCLUSIVE on the parent; ACCESS EXCLUSIVE on the table, and on a DEFAULT partition."""
    return f"ALTER TABLE {parent.full} ATTACH PARTITION {name.full} {bound}"


def add_check(name: QualifiedName, check: str, condition: str) -> str:
    """ACCESS EXCLUSIVE on the table, and no row read: for an instant."""
    return f"ALTER TABLE {name.full} ADD CONSTRAINT {quote(check)} CHECK ({condition}) NOT VALID"


def validate(name: QualifiedName, check: str) -> str:
    """SHARE UPDATE EXCLUSIVE: reads every row while others read and write."""
    return f"ALTER TABLE {name.full} VALIDATE CONSTRAINT {quote(check)}"


def attach_behind(parent: QualifiedName, name: QualifiedName, bound: str, check: str) -> str:
    """ATTACH, and away with the CHECK, which the bound repeats from here on, under the lock that ATTACH holds.

    One statement, so one transaction in an autocommit block as well.
    """
    body = f"{attach(parent, name, bound)}; ALTER TABLE {name.full} DROP CONSTRAINT {quote(check)};"
    return f"DO $evolve$ BEGIN {body} END $evolve$"


def detach(parent: QualifiedName, name: QualifiedName, *, concurrently: bool, finalize: bool = False) -> str:
    """SHARE UPDATE EXCLUSIVE with CONCURRENTLY, which waits for older transactions; else ACCESS EXCLUSIVE."""
    word = " FINALIZE" if finalize else " CONCURRENTLY" if concurrently else ""
    return f"ALTER TABLE {parent.full} DETACH PARTITION {name.full}{word}"


def bound_check(name: QualifiedName) -> str:
    """What the CHECK is called that spares ATTACH reading the table."""
    return shorten(name.name, "evolve_bound")


def bound_condition(parent: QualifiedName, method: str | None, key: Sequence[str], bound: str) -> str | None:
    """Of that CHECK; None where no condition is known that does it.

    Args:
        method: "range", "list" or "hash"; None where only the bound tells.
    """
    found = _HASH.fullmatch(bound)
    if found is not None and key:
        columns = ", ".join(map(quote, key))
        relation = f"{literal(parent.full).strip()}::regclass::oid"
        return f"satisfies_hash_partition({relation}, {found[1]}, {found[2]}, {columns})"
    if method == "hash" or len(key) != 1 or bound.upper() == "DEFAULT":
        return None
    return implying_check(key[0], bound)
