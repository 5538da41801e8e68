"""Give a table its primary key: no null and no duplicate is proven beside the traffic, then the key reads no row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from evolve.counted import rows_of
from evolve.errors import Misuse, Refused
from evolve.plan import index_build, not_null
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.constraint import chosen_name, drop_constraint, refuse_constraint, refuse_relatives
from evolve.plan.facts import Facts, refuse_taken
from evolve.plan.model import ColumnNotNull, Gate, NoRows, Part, Phase, Plan, ValidIndex
from evolve.plan.parameters import TABLE, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target, known_column
from evolve.plan.trials import NoSuchRow, Trial
from evolve.plan.unique_index import build_unique, duplicated, known_columns, use_as_constraint
from evolve.sql.names import QualifiedName, quote


@dataclass(frozen=True, slots=True)
class AddPrimaryKey(Change):
    """Tell a table's rows apart by columns that are there.

    Args:
        columns: in the order of the index.
        name: of the constraint; None: the one that PostgreSQL would give.
    """

    kind: ClassVar[str] = "add-primary-key"
    columns: tuple[str, ...]
    name: str | None = None

    def words(self) -> Sequence[str]:
        return ["add_pk", *table_words(self.table)]

    def uses(self) -> Uses:
        return Uses(columns(self.table, self.columns))


class HasPrimaryKey(Misuse):
    def __init__(self, target: Target, name: str) -> None:
        super().__init__(
            f'table "{target.table.plain}" has the primary key "{name}" already',
            fix="a table has one; further columns can be kept unique: evolve plan add-unique",
        )


class NullsOrDuplicates(Refused):
    def __init__(
        self, change: AddPrimaryKey, one: str, several: str, count: int, examples: tuple[str, ...]
    ) -> None:
        shown = f", among them {'; '.join(examples)}" if examples else ""
        super().__init__(
            rows_of(change.table.plain, count, one, several) + shown,
            why="a primary key tells every row from every other",
            fix="mend or delete them in small batches, then plan it again",
        )


class PartitionedKey(Refused):
    def __init__(self, target: Target) -> None:
        super().__init__(
            f'table "{target.table.plain}" is partitioned',
            why="PostgreSQL makes no constraint of a partitioned table from an index that is there, and to build both "
            "at once blocks every read and write of all partitions",
            fix="give each partition its key first, then add it to the table in an hour when it may stand still",
        )


def plan(change: AddPrimaryKey, facts: Facts) -> Plan:
    """The phases.

    Raises:
        Misuse: a column is unknown or named twice, there is a primary key, or a name is taken.
        Refused: the table does not allow it.
    """
    target = facts.table(change.table)
    refuse_relatives(target)
    known_columns(target, change.columns)
    for constraint in target.constraints:
        if constraint.kind == "primary key":
            raise HasPrimaryKey(target, constraint.name)
    if target.partitioned:
        raise PartitionedKey(target)
    name = chosen_name(change.name, change.table.name, "pkey")
    refuse_constraint(target, name)
    index = QualifiedName(name, change.table.schema)
    refuse_taken(facts, index)
    recipe = _Recipe(change, target, index)
    return Plan(change.id, change, (recipe.expand(), recipe.validate()), recipe.notes(), target.source)


class _Recipe:
    def __init__(self, change: AddPrimaryKey, target: Target, index: QualifiedName) -> None:
        self.change = change
        self.target = target
        self.table = target.table
        self.index = index
        self.shown = f"{self.table.plain} ({', '.join(change.columns)})"
        self.nullable = _nullable(change, target)
        self.no_nulls = tuple(not_null.no_nulls(self.table, name) for name in self.nullable)
        self.none_twice = NoRows(
            self.table,
            duplicated(self.table, change.columns, "distinct"),
            "another row has the same values",
            fix="mend or delete all but one of each in small batches",
        )

    def expand(self) -> Phase:
        parts = []
        if self.nullable:
            parts.append(
                Part(
                    f"no new null in {self.shown}",
                    (not_null.refuse_nulls(self.table, self.nullable),),
                    tuple(not_null.accept_nulls(self.table, self.nullable)),
                    self.no_nulls,
                )
            )
        parts.append(
            Part(
                f"unique index of {self.shown}",
                build_unique(self.index, self.table, self.change.columns),
                (index_build.drop(self.index),),
                (self.none_twice,),
            )
        )
        return Phase(
            "expand",
            f"no write can put a null or a duplicate into {self.shown} any more",
            tuple(parts),
            instructions=(
                f"First deploy code that gives every row of {self.table.plain} its own "
                f"({', '.join(self.change.columns)}): from expand on a write of a null or a duplicate fails.",
            ),
            go_back="downgrade the expand revisions: index and checks go",
        )

    def validate(self) -> Phase:
        parts = []
        if self.nullable:
            parts.append(
                Part(
                    f"{self.shown} is NOT NULL",
                    (
                        *not_null.prove(self.table, self.nullable),
                        *not_null.set_not_null(self.table, self.nullable),
                    ),
                    tuple(not_null.drop_not_null(self.table, self.nullable)),
                )
            )
        name = self.index.name
        clause = f"PRIMARY KEY USING INDEX {quote(name)}"
        gates: tuple[Gate, ...] = (*self.no_nulls, ValidIndex(self.index))
        parts.append(
            Part(
                f"primary key {self.shown}",
                use_as_constraint(self.index, self.table, self.change.columns, "distinct", clause),
                (
                    drop_constraint(
                        self.table, name, "catalog only; the index goes with it, and comes again if need be"
                    ),
                ),
                tuple(ColumnNotNull(self.table, column) for column in self.nullable),
            )
        )
        return Phase(
            "validate",
            f"{self.shown} is the primary key",
            tuple(parts),
            gates=gates,
            go_back="downgrade the validate revisions: key and index go, then NOT NULL, and the checks are back",
        )

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.target.published:
            notes.append(
                f"The table is published by {', '.join(self.target.published)}: the key becomes its replica identity "
                "unless another was chosen; give the subscribers the same key first."
            )
        return tuple(notes)


def _nullable(change: AddPrimaryKey, target: Target) -> tuple[str, ...]:
    return tuple(name for name in change.columns if not known_column(target, name).not_null)


def trials(change: AddPrimaryKey, facts: Facts) -> Iterator[Trial]:
    target = facts.table(change.table)
    shown = tuple(dict.fromkeys((*target.key, *change.columns)))
    for name in _nullable(change, target):
        gate = not_null.no_nulls(change.table, name)
        yield NoSuchRow(
            change.table,
            gate.predicate,
            gate.meaning,
            shown,
            partial(NullsOrDuplicates, change, f"has a null in {name}", f"have a null in {name}"),
        )
    listed = ", ".join(change.columns)
    yield NoSuchRow(
        change.table,
        duplicated(change.table, change.columns, "distinct"),
        "another row has the same values",
        shown,
        partial(
            NullsOrDuplicates,
            change,
            f"shares its ({listed}) with another",
            f"share their ({listed}) with another",
        ),
    )


RECIPE = Recipe(
    AddPrimaryKey,
    "Make columns that are there the primary key.",
    (
        TABLE,
        Parameter("columns", "names", "The columns, in the order of the index.", metavar="COLUMN"),
        option("name", "name", "Name of the constraint."),
    ),
    plan,
    trials,
)
