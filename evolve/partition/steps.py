"""The steps of a conversion: what runs, in which transaction, with which lock, and what a resumed run may assume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class Statements:
    """One transaction, committed together with the note that it is done.

    Args:
        name: what is going on, such as "copy" or "indexes"; consecutive steps may share one.
        title: this very step, in words.
        why: why it is safe, in a sentence.
        unchanged: the table must still be as it was when the plan was made: everything about it, or its columns.
            Asked first, under SHARE UPDATE EXCLUSIVE, which keeps it so and lets writers pass.
        first: statements that only lock.
        empty: tables (as SQL) that must hold no row, asked under those locks.
        otherwise: what to do where one holds rows: settle them and try again, or refuse.
        state: what the conversion is once this step is done; None leaves it as it is.
    """

    name: str
    title: str
    why: str
    statements: tuple[Statement, ...]
    first: tuple[Statement, ...] = ()
    unchanged: Literal["no", "columns", "all"] = "no"
    empty: tuple[str, ...] = ()
    otherwise: Literal["settle", "refuse"] = "settle"
    state: Literal["swapped", "swapped back", "finished", "abandoned"] | None = None


@dataclass(frozen=True, slots=True)
class BuildIndex:
    """CREATE INDEX CONCURRENTLY; what an interrupted one left behind is dropped and built anew.

    Args:
        index: its name.
        table: as SQL.
        build: the statement.
        attach: hangs it under the index of the parent; None where it stays alone.
    """

    name: str
    title: str
    why: str
    schema: str
    index: str
    table: str
    build: Statement
    attach: Statement | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows in key order, in small transactions; each commits with the key it reached.

    Args:
        source, target: as SQL.
        columns: those that take values.
        key, key_types: walked in this order; the source's primary key.
        conflict: columns of the target's primary key.
    """

    name: str
    title: str
    why: str
    source: str
    target: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    key_types: tuple[str, ...]
    conflict: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Rows that fit no partition when they were written get one.

    Args:
        strays: the partition that caught them, as SQL.
        shadow: its parent, as SQL.
    """

    name: str
    title: str
    why: str
    strays: str
    shadow: str


@dataclass(frozen=True, slots=True)
class AwaitSnapshots:
    """Wait for every transaction that began before the copy ended: it would not see the rows that were copied."""

    name: str
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Both tables, key range by key range, each compared within one snapshot by count and by sum of row hashes.

    Args:
        source, target: as SQL.
        columns: those compared.
        key, key_types: of the source's primary key.
    """

    name: str
    title: str
    why: str
    source: str
    target: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    key_types: tuple[str, ...]


Step = Statements | BuildIndex | Copy | Settle | AwaitSnapshots | Verify

Track = Literal["forward", "abandon", "back", "finish"]
"""forward: up to the swap and a little beyond; abandon: give up before the swap, or clear away after the swap back;
back: undo the swap; finish: drop the old table."""
