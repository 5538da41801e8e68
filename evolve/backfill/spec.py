"""What a backfill is to do, and the fingerprint that tells one specification from another."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, assert_never

from evolve.backfill.transform import Mode, Transform
from evolve.backfill.works import UPDATE, Delete, InsertSelect, JoinedUpdate, Update, Work, work_json, work_of
from evolve.sql.names import QualifiedName


@dataclass(frozen=True, slots=True)
class Spec:
    """Do `work` on every row of `table`, once.

    Args:
        name: names the run in the journal; one specification per name.
        assignments: (column, SQL expression over the row). The columns are those of `table`, or of the table that is
            inserted into; none where rows are deleted or a function computes.
        where: SQL predicate of the rows that need work; None takes every row once. Verification and gates count
            the rows it still finds.
        key: columns walked, in order; unique and not null together. None takes the primary key.
        mismatch: SQL predicate of a row that is wrong after the backfill; None derives
            `column IS DISTINCT FROM expression` from the assignments.
    """

    name: str
    table: QualifiedName
    assignments: tuple[tuple[str, str], ...] = ()
    where: str | None = None
    key: tuple[str, ...] | None = None
    mismatch: str | None = None
    work: Work = UPDATE

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `table` that are written."""
        match self.work:
            case Update() | JoinedUpdate():
                return tuple(column for column, _ in self.assignments)
            case Transform():
                return self.work.writes
            case InsertSelect() | Delete():
                return ()
            case _:
                assert_never(self.work)

    @property
    def doing(self) -> str:
        """What happens to a row, in a few words for a person."""
        values = ", ".join(f"{column} = {expression}" for column, expression in self.assignments)
        match self.work:
            case Update():
                return values
            case JoinedUpdate() as work:
                return f"{values} from {work.source} {work.alias} on {work.on}"
            case InsertSelect() as work:
                return f"into {work.into}: {values}"
            case Delete():
                return "delete" if self.where is None else f"delete where {self.where}"
            case Transform() as work:
                return f"{', '.join(work.writes) or 'nothing'} = {work.function}({', '.join(work.reads)})"
            case _:
                assert_never(self.work)

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with anything that changes what rows end up with."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Always the same text for the same specification. A plain update leaves its kind of work out."""
        stored = asdict(self)
        del stored["work"]
        if not isinstance(self.work, Update):
            stored["work"] = work_json(self.work)
        return json.dumps(stored, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Spec:
        """Read back what `to_json` wrote."""
        stored: dict[str, Any] = json.loads(text)
        return Spec(
            name=stored["name"],
            table=QualifiedName(**stored["table"]),
            assignments=tuple((column, expression) for column, expression in stored["assignments"]),
            where=stored["where"],
            key=None if stored["key"] is None else tuple(stored["key"]),
            mismatch=stored["mismatch"],
            work=work_of(stored["work"]) if "work" in stored else UPDATE,
        )


def names_schema(spec: Spec) -> bool:
    """Its SQL names columns of its table with the schema, as a statement on a partition of it could not."""
    schema, name = re.escape(spec.table.schema), re.escape(spec.table.name)
    texts = [expression for _, expression in spec.assignments]
    if spec.where is not None:
        texts.append(spec.where)
    if isinstance(spec.work, JoinedUpdate):
        texts.append(spec.work.on)
    named = re.compile(rf'(?<![\w$."])"?{schema}"?\s*\.\s*"?{name}"?\s*\.', re.IGNORECASE)
    return any(named.search(text) for text in texts)


def has_effects(spec: Spec) -> bool:
    """It acts outside of the database, by notes in an outbox."""
    return isinstance(spec.work, Transform) and spec.work.mode is Mode.OUTBOX
