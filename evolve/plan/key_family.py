"""The columns that must change their type together: a key, and all that refer to it through foreign keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evolve.errors import Refused
from evolve.plan.facts import Facts
from evolve.plan.target import Target, TargetConstraint
from evolve.sql.names import QualifiedName
from evolve.sql.operations import AddConstraint, ForeignKey
from evolve.sql.parse import parse

WIDTHS = ("smallint", "integer", "bigint")  # narrowest first
MAXIMA = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


@dataclass(frozen=True, slots=True)
class Member:
    """A table of the family, and those of its columns that become wider, in their order."""

    target: Target
    columns: tuple[str, ...]

    @property
    def table(self) -> QualifiedName:
        return self.target.table


class OddColumn(Refused):
    def __init__(self, target: Target, column: str, type_name: str, key: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is {type_name}, and refers to {key}',
            why="only smallint, integer and bigint columns can follow a key that becomes wider",
            fix="drop the foreign key, or give the column the type of the key, in a revision before",
        )


def key_family(facts: Facts, table: QualifiedName, column: str, wide: str) -> tuple[Member, ...]:
    """`column` and all columns narrower than `wide` that refer to it, directly or through others; its table first.

    Columns of one table follow the order of the table. A column that is wide enough already is not among them, and
    what refers to it neither.

    Raises:
        OddColumn: a column that refers to them is no integer.
    """
    found: dict[QualifiedName, list[str]] = {table: [column]}
    waiting = [(table, column)]
    while waiting:
        referred, name = waiting.pop(0)
        for other in facts.table(referred).referenced_by:
            target = facts.table(other)
            for _, key in foreign_keys(facts, target):
                for own, theirs in zip(key.columns, key.target_columns, strict=True):
                    if key.target != referred or theirs != name or own in found.get(other, ()):
                        continue
                    known = target.column(own)
                    if known is None or known.type not in WIDTHS:
                        raise OddColumn(target, own, known.type if known else "?", f"{referred.plain}.{name}")
                    if WIDTHS.index(known.type) < WIDTHS.index(wide):
                        found.setdefault(other, []).append(own)
                        waiting.append((other, own))
    return tuple(_member(facts.table(name), columns) for name, columns in found.items())


def _member(target: Target, columns: list[str]) -> Member:
    return Member(target, tuple(known.name for known in target.columns if known.name in columns))


def foreign_keys(facts: Facts, target: Target) -> Iterator[tuple[TargetConstraint, ForeignKey]]:
    """The foreign keys of a table, each with what it says; target columns that go without saying are named."""
    for constraint in target.constraints:
        if constraint.kind == "foreign key":
            key = read_foreign_key(constraint)
            if not key.target_columns:
                referred = target if key.target == target.table else facts.table(key.target)
                primary = next((c for c in referred.constraints if c.kind == "primary key"), None)
                key = ForeignKey(key.columns, key.target, primary.columns if primary else key.columns)
            yield constraint, key


def read_foreign_key(constraint: TargetConstraint) -> ForeignKey:
    match parse(f"ALTER TABLE t ADD CONSTRAINT c {constraint.definition}"):
        case (AddConstraint(constraint=ForeignKey() as key),):
            return key
        case _:
            raise ValueError(constraint.definition)  # facts give no other
