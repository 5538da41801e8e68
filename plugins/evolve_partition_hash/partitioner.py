"""The partitioner "hash": rows spread evenly by the hash of a key, over partitions whose number can grow one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, Self

from evolve.plugin_api import (
    Bound,
    HashBound,
    NotAdopted,
    Options,
    Partition,
    Partitioner,
    Problem,
    Problems,
    Profile,
    TableInfo,
    partition_name,
    unknown_options,
)

MOST = 1024  # partitions: a query without the key reads all of them
_OPTIONS = ("key", "modulus")

# Types without a hash operator class in PostgreSQL.
_WITHOUT_HASH = (
    *("bit", "bit varying", "box", "circle", "json", "line", "lseg", "money", "path", "point", "polygon"),
    *("tsquery", "tsvector", "xml"),
)


@dataclass(frozen=True, slots=True)
class Hash(Partitioner):
    """Args:
    columns: the key.
    modulus: into how many partitions rows are spread. One that is there already with a factor of it as modulus
        stands for all that it could be split into, so a table grows one partition at a time.
    collated: one of the columns is a text.
    """

    columns: tuple[str, ...]
    modulus: int
    collated: bool = False

    kind: ClassVar[str] = "hash"
    method: ClassVar[Literal["range", "list", "hash"]] = "hash"

    @classmethod
    def parse(cls, options: Options, table: TableInfo) -> Self | Problems:
        problems = unknown_options(options, _OPTIONS)
        columns = _columns(options, table, problems)
        modulus = _whole(options.get("modulus"))
        if modulus is None or not 2 <= modulus <= MOST:
            said = (
                "say into how many partitions"
                if "modulus" not in options
                else f'"{options["modulus"]}" is no such number'
            )
            problems.append(
                Problem("modulus", f"{said}, 2 to {MOST}; a power of 2 can be doubled again and again")
            )
        if modulus is None or problems:
            return Problems(tuple(problems))
        return cls(
            columns, modulus, any(_is_text(column.type) for column in table.columns if column.name in columns)
        )

    @property
    def key(self) -> tuple[str, ...]:
        return self.columns

    def wanted(self, now: datetime, profile: Profile) -> Sequence[Bound]:
        return [HashBound(self.modulus, remainder) for remainder in range(self.modulus)]

    def name(self, table: str, bound: Bound) -> str:
        if not isinstance(bound, HashBound):
            raise TypeError(bound)
        return partition_name(table, f"h{bound.modulus}_{bound.remainder}")

    def adopt(self, profile: Profile, now: datetime) -> Bound | NotAdopted:
        if self.collated:
            return NotAdopted(
                "the server takes no CHECK for the bound of a hashed text, and would read the whole table under "
                "ACCESS EXCLUSIVE"
            )
        # Every hash leaves 0 when divided by 1; the table is split from there.
        return HashBound(1, 0)

    def split(
        self, partition: Partition, profile: Profile, now: datetime, how: Options
    ) -> Sequence[Bound] | Problems:
        """`how`: `into`, the number of parts; without it as many as lead to the modulus of the scheme, else two."""
        problems = unknown_options(how, ("into",))
        bound = partition.bound
        if not isinstance(bound, HashBound):
            problems.append(Problem("split", f"{partition.name} is no hash partition"))
            return Problems(tuple(problems))
        missing, rest = divmod(self.modulus, bound.modulus)
        into = _whole(how.get("into", missing if missing > 1 and not rest else 2))
        if into is None or into < 2 or bound.modulus * into > MOST:
            most = MOST // bound.modulus
            said = f"2 to {most} parts" if most > 1 else "none: its modulus is as great as is sensible"
            problems.append(Problem("into", f"{partition.name} can be split into {said}"))
        if into is None or problems:
            return Problems(tuple(problems))
        modulus = bound.modulus * into
        return [HashBound(modulus, bound.remainder + part * bound.modulus) for part in range(into)]

    def lint(self, table: str, partition: Partition, existing: Sequence[Partition]) -> tuple[str, ...]:
        found = Partitioner.lint(self, table, partition, existing)
        if not isinstance(partition.bound, HashBound):
            return found
        moduli = {there.bound.modulus for there in existing if isinstance(there.bound, HashBound)}
        clashing = sorted(
            modulus
            for modulus in moduli
            if partition.bound.modulus % modulus and modulus % partition.bound.modulus
        )
        if clashing:
            listed = ", ".join(str(modulus) for modulus in clashing)
            found += (
                f"the modulus {partition.bound.modulus} of {partition.name} neither divides nor is a multiple of "
                f"{listed}, which PostgreSQL asks of the moduli of one table",
            )
        return found


def _columns(options: Options, table: TableInfo, problems: list[Problem]) -> tuple[str, ...]:
    given = options.get("key")
    names = [table_column.name for table_column in table.columns if not _unhashed(table_column.type)]
    items = given if isinstance(given, list) else _named(given, table)
    if not items or not all(isinstance(item, str) and item for item in items):
        fit = ", ".join(names) or "none"
        problems.append(
            Problem("key", f"name the column to spread rows by, or several; columns that fit: {fit}")
        )
        return ()
    for name in items:
        column = table.column(name)
        if column is None:
            fit = ", ".join(names) or "none"
            problems.append(Problem("key", f'the table has no column "{name}"; columns that fit: {fit}'))
        elif _unhashed(column.type):
            problems.append(
                Problem("key", f'"{name}" is of type {column.type}, which PostgreSQL cannot hash')
            )
        if items.count(name) > 1:
            problems.append(Problem("key", f'"{name}" is named twice'))
    return tuple(items)


def _named(given: object, table: TableInfo) -> list[str]:
    """Columns from the text of a command line; a column's own name may hold a comma."""
    if not isinstance(given, str):
        return []
    return [given] if table.column(given) else [name.strip() for name in given.split(",")]


def _unhashed(type_: str) -> bool:
    return type_.partition("(")[0] in _WITHOUT_HASH


def _is_text(type_: str) -> bool:
    return type_.partition("(")[0] in ("character", "character varying", "citext", "name", "text")


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value.strip())
    return value if isinstance(value, int) and not isinstance(value, bool) else None
