"""A change: what is wished for, whatever recipe carries it out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar

from evolve.sql.names import QualifiedName
from evolve.sql.parse import ExpressionNotRead, expression

# A column of a table; None as the column stands for the relation, type or function as a whole.
Place = tuple[QualifiedName, str | None]


@dataclass(frozen=True, slots=True)
class Uses:
    """What a change needs for itself while it is in flight.

    Args:
        writes: no other change may read or write it meanwhile.
        reads: no other change may write it meanwhile.
    """

    writes: frozenset[Place]
    reads: frozenset[Place] = frozenset()

    def conflicts(self, other: Uses) -> frozenset[Place]:
        """Places that both need, at least one of them for itself; a whole relation meets each of its columns."""
        return (
            _shared(self.writes, other.writes)
            | _shared(self.writes, other.reads)
            | _shared(self.reads, other.writes)
        )


def _shared(ours: frozenset[Place], theirs: frozenset[Place]) -> frozenset[Place]:
    found = {
        (relation, column if column is not None else their_column)
        for relation, column in ours
        for their_relation, their_column in theirs
        if relation == their_relation and (column is None or their_column is None or column == their_column)
    }
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Change:
    """A wish; each recipe has a class of its own below this one.

    Args:
        table: what is changed: a table mostly, else a view, type, index or function.
        versions: schemas of the old and the new version, where the recipe has `shapes`; None: both use the tables
            themselves.
    """

    kind: ClassVar[str]
    table: QualifiedName
    versions: str | None = field(default=None, kw_only=True)

    def words(self) -> Sequence[str]:
        """What its id is made of, verb first: rename, users, name, to, full_name."""
        raise NotImplementedError

    def uses(self) -> Uses:
        """Where it works; the table as a whole unless the recipe knows better."""
        return Uses(frozenset({(self.table, None)}))

    @property
    def id(self) -> str:
        """A name for it that is also an identifier: `rename_users_name_to_full_name`.

        It has at most 40 characters, so that names made from it stay readable within PostgreSQL's 63 bytes.
        """
        words = list(self.words())
        whole = "_".join(words)
        plain = re.sub(r"[^a-z0-9]+", "_", whole.lower()).strip("_")
        if plain == whole and len(plain) <= _ID_LENGTH:
            return plain
        # What was cut or folded away is told apart by a digest of the whole.
        digest = hashlib.sha256("\0".join(words).encode()).hexdigest()[:8]
        return f"{plain[: _ID_LENGTH - 9].rstrip('_')}_{digest}"

    def __str__(self) -> str:
        values = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"{self.kind} {values}"


_ID_LENGTH = 40


def table_words(table: QualifiedName) -> list[str]:
    return [table.name] if table.schema == "public" else [table.schema, table.name]


def columns(table: QualifiedName, names: Iterable[str]) -> frozenset[Place]:
    return frozenset((table, name) for name in names)


def columns_read(table: QualifiedName, *expressions: str | None) -> frozenset[Place]:
    """The columns of `table` that SQL expressions over its rows read; none of an expression that does not parse."""
    found: set[str] = set()
    for text in expressions:
        if text is not None:
            try:
                found.update(expression(text).columns)
            except ExpressionNotRead:
                continue  # the recipe refuses it, and says why
    return columns(table, found)
