"""How a database is used: its tables as the planner's statistics describe them, and the statements it has counted.

There is no value of any row in it. `evolve facts export --workload` writes it beside the facts, and here it is made and
read: the shape is part of `docs/reference/facts.schema.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_type_hints

from evolve.lint import facts as facts_file
from evolve.lint.facts import CannotReadFacts, Facts, LaterFacts
from evolve.sql.names import BadName, NameTooLong, QualifiedName, parse_name

FORMAT = (
    1  # of the workload alone; raised when a field goes away or changes its meaning, not when one is added
)

Data = TypeVar("Data")


class NoWorkload(CannotReadFacts):
    def __init__(self, file: Path) -> None:
        super().__init__(file, "they say nothing of statements and columns")
        self.fix = f"write them anew: evolve facts export --workload -o {file}"


@dataclass(frozen=True, slots=True)
class Column:
    """
    Args:
        distinct: as pg_stats has it: a number of values, or negative a share of the rows; None without statistics.
        largest_share: of the rows that hold the most frequent value; None where none stands out.
        correlation: of the order of values with that of the rows, from -1 to 1.
        width: bytes of a value on average.
        growing: by its default each value is greater than those before.
        span_days: between the least and the greatest moment that statistics know.
    """

    name: str
    type: str
    not_null: bool
    distinct: float | None
    null_share: float
    largest_share: float | None
    correlation: float | None
    width: int
    growing: bool
    span_days: float | None

    def values(self, rows: int) -> float | None:
        """How many different ones `rows` rows hold."""
        if self.distinct is None:
            return None
        return self.distinct if self.distinct >= 0 else -self.distinct * rows


@dataclass(frozen=True, slots=True)
class Index:
    """
    Args:
        columns: of the key, "" for an expression.
        kinds: of the key's columns, operator class, collation and order; equal texts are the same.
        constraint: it backs one.
        predicate: its WHERE.
    """

    name: str
    method: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    included: tuple[str, ...]
    unique: bool
    primary: bool
    constraint: bool
    valid: bool
    predicate: str | None


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key; `table` is the one that it points to, as SQL with its schema."""

    name: str
    columns: tuple[str, ...]
    table: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One that is no partition.

    Args:
        partitioned_by: such as "RANGE (created_at)".
    """

    name: QualifiedName
    partitioned_by: str | None
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    references: tuple[Reference, ...]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def unique(self) -> tuple[Index, ...]:
        """What keeps rows apart by columns alone."""
        return tuple(
            index
            for index in self.indexes
            if index.unique and index.predicate is None and "" not in index.columns
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """A normalized statement, with what all its calls took; `rows` are those returned or changed."""

    text: str
    calls: int
    seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class Workload:
    """
    Args:
        statements: None where nobody counts them.
        notes: of what is missing in it.
    """

    tables: Mapping[QualifiedName, Table]
    statements: tuple[Recorded, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> Mapping[QualifiedName, frozenset[str]]:
        return {
            name: frozenset(column.name for column in table.columns) for name, table in self.tables.items()
        }


# -- as a file --------------------------------------------------------------------------------------------------------
def to_json(facts: Facts, workload: Workload) -> str:
    """The facts with the workload; one table and one statement a line."""
    tables = ",\n".join(
        "      " + json.dumps({**asdict(table), "name": name.full}, ensure_ascii=False)
        for name, table in workload.tables.items()
    )
    statements = workload.statements
    counted = (
        "null"
        if statements is None
        else "[\n"
        + ",\n".join(f"      {json.dumps(asdict(each), ensure_ascii=False)}" for each in statements)
        + "\n    ]"
    )
    return (
        facts_file.to_json(facts).removesuffix("\n}\n")
        + f',\n  "workload": {{\n    "schema": {FORMAT},\n    "notes": {json.dumps(list(workload.notes))},\n'
        + f'    "tables": [\n{tables}\n    ],\n    "statements": {counted}\n  }}\n}}\n'
    )


def read(file: Path) -> tuple[Facts, Workload]:
    """
    Raises:
        CannotReadFacts: there is no such file, or it is not what `to_json` writes.
        NoWorkload: it holds facts alone.
        LaterFacts: a later evolve wrote it.
    """
    facts = facts_file.read(file)
    found = json.loads(file.read_text(encoding="utf-8")).get("workload")
    if found is None:
        raise NoWorkload(file)
    if not isinstance(found, dict) or type(found.get("schema")) is not int:
        raise CannotReadFacts(file, "workload is not what evolve facts export --workload writes")
    if found["schema"] != FORMAT:
        raise LaterFacts(file, found["schema"])
    try:
        tables = [_table(entry) for entry in found["tables"]]
        statements = found["statements"]
        return facts, Workload(
            MappingProxyType({table.name: table for table in tables}),
            None if statements is None else tuple(_made(Recorded, each) for each in statements),
            tuple(str(note) for note in found["notes"]),
        )
    except (KeyError, TypeError, ValueError, BadName, NameTooLong) as error:
        raise CannotReadFacts(file, f"workload: {error or type(error).__name__}") from error


def _table(entry: dict[str, list[dict[str, object]]]) -> Table:
    by = entry["partitioned_by"]
    return Table(
        parse_name(cast("str", entry["name"])),
        None if by is None else str(by),
        tuple(_made(Column, each) for each in entry["columns"]),
        tuple(_made(Index, each) for each in entry["indexes"]),
        tuple(_made(Reference, each) for each in entry["references"]),
    )


def _made(kind: type[Data], entry: Mapping[str, object]) -> Data:
    """
    Raises:
        ValueError: a value is of another type than the field; later fields are passed over.
    """
    hints = get_type_hints(kind)
    values: dict[str, object] = {}
    for name, hint in hints.items():
        value = entry[name]
        if hint == tuple[str, ...]:
            if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
                raise ValueError(f"{name} is not a list of texts")
            values[name] = tuple(value)
        elif _fits(value, hint):
            values[name] = value
        else:
            raise ValueError(f"{name} is not {getattr(hint, '__name__', hint)}")
    return kind(**values)


def _fits(value: object, hint: Any) -> bool:
    if type(value) in (int, float) and hint in (float, float | None):
        return True
    return isinstance(value, hint) and (type(value) is not bool or hint is bool)
