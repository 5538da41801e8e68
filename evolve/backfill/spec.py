"""What a backfill is to do, and the fingerprint that tells one specification from another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class Spec:
    """Bring every row of `table` up to date by SQL expressions.

    Args:
        name: names the run in the journal; one specification per name.
        assignments: (column, SQL expression over the row's own columns).
        where: SQL predicate of the rows that still need work; None takes every row once. Verification and gates count
            the rows it still finds.
        key: columns walked, in order; unique and not null together. None takes the primary key.
        mismatch: SQL predicate of a row that is wrong after the backfill; None derives
            `column IS DISTINCT FROM expression` from the assignments.
    """

    name: str
    table: QualifiedName
    assignments: tuple[tuple[str, str], ...]
    where: str | None = None
    key: tuple[str, ...] | None = None
    mismatch: str | None = None

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with anything that changes what rows end up with."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Spec:
        """Read back what `to_json` wrote."""
        stored = _Stored(**json.loads(text))
        return Spec(
            name=stored.name,
            table=QualifiedName(**stored.table),
            assignments=tuple((column, expression) for column, expression in stored.assignments),
            where=stored.where,
            key=None if stored.key is None else tuple(stored.key),
            mismatch=stored.mismatch,
        )


@dataclass(frozen=True, slots=True)
class _Stored:
    name: str
    table: dict[str, str]
    assignments: list[list[str]]
    where: str | None
    key: list[str] | None
    mismatch: str | None
