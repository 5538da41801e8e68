"""Turn a serial column into an identity column: one short transaction, and the numbers go on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse, Refused
from evolve.plan import index_build, sequences
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.facts import Facts, SequenceFacts
from evolve.plan.key_family import WIDTHS
from evolve.plan.model import Part, Phase, Plan
from evolve.plan.parameters import COLUMN
from evolve.plan.recipe import Recipe
from evolve.plan.replayed import NeedsDatabase
from evolve.plan.target import Target, TargetColumn, known_column, refuse_family
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement

_AX = LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class SerialToIdentity(Change):
    """Let a column take its numbers from an identity instead of a default."""

    kind: ClassVar[str] = "serial-to-identity"
    column: str

    def words(self) -> Sequence[str]:
        return ["identity", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)))


class IdentityAlready(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is an identity column already',
            fix="there is nothing to do",
        )


class NotSerial(Misuse):
    def __init__(self, target: Target, column: str, what: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" {what}',
            why="only a smallint, integer or bigint column whose default is the next number of a sequence is serial",
            fix="name a serial column",
        )


class MayBeNull(Refused):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" may be null',
            why="an identity column is NOT NULL, and setting that here would read the table under its lock",
            fix=f"first: evolve plan set-not-null {target.table}.{quote(column)}",
        )


class SharedSequence(Refused):
    """The sequence cannot be dropped, for it is not the column's alone."""

    def __init__(self, sequence: QualifiedName, what: str, fix: str) -> None:
        super().__init__(
            f'sequence "{sequence.plain}" {what}',
            why="an identity has a sequence of its own, and the one that is there is dropped",
            fix=fix,
        )


def plan(change: SerialToIdentity, facts: Facts) -> Plan:
    """One phase, one revision.

    Raises:
        Misuse: the column is unknown, or not serial.
        Refused: it may be null, or the sequence serves others too.
    """
    if facts.source == "revisions":
        raise NeedsDatabase("a sequence", change.table)
    target = facts.table(change.table)
    refuse_family(target)
    column = known_column(target, change.column)
    sequence = _own_sequence(target, column, facts)
    if not column.not_null:
        raise MayBeNull(target, column.name)
    return Plan(
        change.id,
        change,
        (_expand(target, column, sequence),),
        tuple(_notes(sequence)),
    )


def _own_sequence(target: Target, column: TargetColumn, facts: Facts) -> SequenceFacts:
    if column.identity:
        raise IdentityAlready(target, column.name)
    if column.type not in WIDTHS:
        raise NotSerial(target, column.name, f"is {column.type}")
    sequence = facts.sequence(column.sequence) if column.sequence is not None else None
    plain = r"nextval\('(?:[^']|'')+'::regclass\)"
    if sequence is None or column.default is None or not re.fullmatch(plain, column.default):
        said = f"has the default {column.default}" if column.default else "has no default"
        raise NotSerial(target, column.name, said)
    name = sequence.name
    if sequence.owned_by != (target.table, column.name):
        raise SharedSequence(
            name,
            "is not owned by the column",
            f"if nothing else takes numbers from it: ALTER SEQUENCE {name} OWNED BY {target.table}."
            f"{quote(column.name)}",
        )
    for table, other in sequence.users:
        if (table, other) != (target.table, column.name):
            raise SharedSequence(
                name,
                f'gives numbers to "{table.plain}.{other}" too',
                "give that column a sequence of its own in a revision before",
            )
    for other in sequence.others:
        raise SharedSequence(
            name, f"is used by {other}", "drop it in a revision before, and make it again after"
        )
    return sequence


def _expand(target: Target, column: TargetColumn, sequence: SequenceFacts) -> Phase:
    title = f"{target.table.plain}.{column.name} takes its numbers from an identity"
    return Phase(
        "expand",
        f"{column.name} is GENERATED BY DEFAULT AS IDENTITY, and goes on where the sequence stopped",
        (
            Part(
                title,
                tuple(_to_identity(target, column, sequence)),
                tuple(_to_serial(target, column, sequence)),
            ),
        ),
        instructions=(
            "All code goes on as it is: INSERT may leave the column out or give it, and the sequence has the name it "
            "had.",
            f"Say Identity() in the model of {target.table.plain}.{column.name}.",
        ),
        go_back="downgrade the expand revision: the column is serial again, and goes on where the identity stopped",
    )


def _to_identity(target: Target, column: TargetColumn, sequence: SequenceFacts) -> Iterator[Statement]:
    table, name = target.table, quote(column.name)
    made = _made(sequence)
    yield Statement(
        f"ALTER TABLE {table}\n    ALTER COLUMN {name} DROP DEFAULT",
        _AX,
        "catalog only; from here on inserts wait, for some milliseconds",
    )
    yield sequences.hold(sequence)
    yield Statement(
        f"ALTER TABLE {table}\n    ALTER COLUMN {name} ADD GENERATED BY DEFAULT AS IDENTITY\n"
        f"    (SEQUENCE NAME {made} {sequences.options(sequence)})",
        _AX,
        "catalog only: the column is NOT NULL already, and rows keep their numbers",
    )
    if sequence.increment > 0 and index_build.serving(target.indexes, (column.name,)) is not None:
        highest = f"(SELECT max({name}) FROM {table})"  # noqa: S608 - quoted names
        yield Statement(
            f"SELECT setval({literal(made.full).strip()}, greatest(last_value, {highest}),\n"  # noqa: S608
            f"        is_called OR coalesce({highest} >= last_value, false))\n    FROM {sequence.name}",
            None,
            "it goes on where the other stopped, or above the highest number there is, which an index tells; the "
            "table is locked, so nobody can take one in between",
        )
    else:
        yield sequences.go_on_from(made, sequence.name)
    yield Statement(
        f"DROP SEQUENCE {sequence.name}",
        None,
        "nothing takes numbers from it any more; another takes over its name in this transaction",
    )
    yield _take_name(made, sequence)
    yield from sequences.grants(sequence, sequence.name)


def _to_serial(target: Target, column: TargetColumn, sequence: SequenceFacts) -> Iterator[Statement]:
    table, name = target.table, quote(column.name)
    made = _made(sequence)
    yield Statement(
        f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE", _AX, "what follows changes catalogs alone"
    )
    yield sequences.hold(sequence)
    yield Statement(
        f"CREATE SEQUENCE {made} AS {sequence.type} {sequences.options(sequence)}", None, "a new sequence"
    )
    yield sequences.go_on_from(made, sequence.name)
    yield Statement(
        f"ALTER TABLE {table}\n    ALTER COLUMN {name} DROP IDENTITY",
        _AX,
        "catalog only; the identity's sequence goes with it",
    )
    yield _take_name(made, sequence)
    yield Statement(
        f"ALTER SEQUENCE {sequence.name} OWNED BY {table}.{name}",
        LockMode.SHARE_ROW_EXCLUSIVE,
        "of the sequence alone",
    )
    yield Statement(
        f"ALTER TABLE {table}\n    ALTER COLUMN {name} SET DEFAULT {column.default}", _AX, "catalog only"
    )
    yield from sequences.grants(sequence, sequence.name)


def _made(sequence: SequenceFacts) -> QualifiedName:
    return QualifiedName(shorten("_evolve", sequence.name.name), sequence.name.schema)


def _take_name(made: QualifiedName, sequence: SequenceFacts) -> Statement:
    return Statement(
        f"ALTER SEQUENCE {made} RENAME TO {quote(sequence.name.name)}",
        _AX,
        "of the sequence alone; no code ever knew the name that goes, and the old one is free in this transaction",
        allow=("rename-object",),
    )


def _notes(sequence: SequenceFacts) -> Iterator[str]:
    name = sequence.name.plain
    yield (
        f"Who calls nextval('{name}') goes on: another sequence has that name. currval and lastval fail in a session "
        "until it has drawn a number from the new one: code that asks currval in a later transaction than its INSERT "
        "should say RETURNING instead."
    )
    yield (
        "An identity column needs no privilege on its sequence; privileges on the old one are carried over for those "
        "who call it by name."
    )


RECIPE = Recipe(
    SerialToIdentity,
    "Turn a serial column into an identity column.",
    (COLUMN,),
    plan,
)
