"""Keep columns unique: duplicates are counted, an index is built beside the traffic, then it becomes a constraint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from evolve.counted import rows_of
from evolve.errors import Refused
from evolve.plan import index_build
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.constraint import chosen_name, drop_constraint, refuse_constraint, refuse_relatives
from evolve.plan.facts import Facts, refuse_taken
from evolve.plan.model import NoRows, Part, Phase, Plan, ValidIndex
from evolve.plan.parameters import TABLE, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target
from evolve.plan.trials import NoSuchRow, Trial
from evolve.plan.unique_index import (
    Nullness,
    build_unique,
    duplicated,
    known_columns,
    use_as_constraint,
)
from evolve.sql.names import QualifiedName, quote

_NULLS_NOT_DISTINCT = 150000  # PostgreSQL 15


@dataclass(frozen=True, slots=True)
class AddUnique(Change):
    """Let no two rows have the same values in some columns.

    Args:
        columns: in the order of the index.
        nulls_not_distinct: nulls count as equal.
        deferrable: a transaction may put the check off until its end.
        name: of the constraint; None: the one that PostgreSQL would give.
    """

    kind: ClassVar[str] = "add-unique"
    columns: tuple[str, ...]
    nulls_not_distinct: bool = False
    deferrable: bool = False
    name: str | None = None

    def words(self) -> Sequence[str]:
        return ["add_unique", *table_words(self.table), *([self.name] if self.name else self.columns)]

    def uses(self) -> Uses:
        return Uses(frozenset(), columns(self.table, self.columns))

    @property
    def nulls(self) -> Nullness:
        return "equal" if self.nulls_not_distinct else "distinct"


class Duplicates(Refused):
    def __init__(self, change: AddUnique, count: int, examples: tuple[str, ...]) -> None:
        listed = ", ".join(change.columns)
        shown = f", among them {'; '.join(examples)}" if examples else ""
        super().__init__(
            f"{rows_of(change.table.plain, count, 'shares its', 'share their')} ({listed}) with another{shown}",
            why="the index could not be built: PostgreSQL reads the whole table, fails, and leaves it behind invalid",
            fix="which of them is right only you can say: mend or delete the others in small batches, then plan it "
            "again",
        )


class NullsBefore15(Refused):
    def __init__(self, target: Target) -> None:
        super().__init__(
            f'nulls of "{target.table.plain}" cannot count as equal: the server '
            + (
                f"is PostgreSQL {target.server_version // 10000}" if target.server_version else "is not known"
            ),
            why="NULLS NOT DISTINCT came with PostgreSQL 15",
            fix="give --database-url of a newer server, or make the columns NOT NULL: evolve plan set-not-null",
        )


class PartitionedUnique(Refused):
    def __init__(self, target: Target, names: Sequence[str]) -> None:
        listed = index_build.columns_sql(names).replace('"', '\\"')
        super().__init__(
            f'table "{target.table.plain}" is partitioned',
            why="PostgreSQL makes no constraint of a partitioned table from an index that is there, and to build both "
            "at once blocks every write",
            fix="a unique index refuses the same rows: "
            f'evolve plan add-index {target.table} --on "{listed}" --unique',
        )


def plan(change: AddUnique, facts: Facts) -> Plan:
    """One phase: build, then turn the index into the constraint.

    Raises:
        Misuse: a column is unknown or named twice, or a name is taken.
        Refused: the server or the table does not allow it.
    """
    target = facts.table(change.table)
    refuse_relatives(target)
    known_columns(target, change.columns)
    if target.partitioned:
        raise PartitionedUnique(target, change.columns)
    if change.nulls_not_distinct and (facts.server_version or 0) < _NULLS_NOT_DISTINCT:
        raise NullsBefore15(target)
    name = chosen_name(change.name, change.table.name, *change.columns, "key")
    refuse_constraint(target, name)
    index = QualifiedName(name, change.table.schema)
    refuse_taken(facts, index)
    shown = f"{target.table.plain} ({', '.join(change.columns)})"
    once = f"({', '.join(change.columns)}) is there once"
    none_twice = NoRows(
        target.table,
        _predicate(change),
        "another row has the same values",
        fix="mend or delete all but one of each in small batches",
    )
    clause = "UNIQUE USING INDEX " + quote(name)
    if change.deferrable:
        clause += " DEFERRABLE INITIALLY IMMEDIATE"
    return Plan(
        change.id,
        change,
        (
            Phase(
                "expand",
                f"no write can give two rows of {target.table.plain} the same ({', '.join(change.columns)}) any more",
                (
                    Part(
                        f"unique index of {shown}",
                        build_unique(index, target.table, change.columns, change.nulls),
                        (index_build.drop(index),),
                        (none_twice,),
                    ),
                ),
                instructions=(
                    f"First deploy code in which every {once}: a write that makes a second one fails before the "
                    "index is even finished.",
                ),
                go_back="downgrade the expand revision: the index goes",
            ),
            Phase(
                "validate",
                f'constraint "{name}" stands for it',
                (
                    Part(
                        f"unique {shown}",
                        use_as_constraint(index, target.table, change.columns, change.nulls, clause),
                        (
                            drop_constraint(
                                target.table,
                                name,
                                "catalog only; the index goes with it, and comes again if need be",
                            ),
                        ),
                    ),
                ),
                gates=(ValidIndex(index),),
                go_back="downgrade the validate revision: constraint and index go",
            ),
        ),
        _notes(change, target),
        target.source,
    )


def _predicate(change: AddUnique) -> str:
    return duplicated(change.table, change.columns, change.nulls)


def _notes(change: AddUnique, target: Target) -> tuple[str, ...]:
    notes = []
    if change.deferrable:
        notes.append(
            "A deferrable constraint serves no ON CONFLICT, and no foreign key can point at it; until validate the "
            "index checks at once, whatever a transaction defers."
        )
    if target.published:
        notes.append(
            f"The table is published by {', '.join(target.published)}: a subscriber that has rows of its own may "
            "collide, so look there as well."
        )
    return tuple(notes)


def trials(change: AddUnique, facts: Facts) -> Iterator[Trial]:
    show = tuple(dict.fromkeys((*facts.table(change.table).key, *change.columns)))
    yield NoSuchRow(
        change.table, _predicate(change), "another row has the same values", show, partial(Duplicates, change)
    )


RECIPE = Recipe(
    AddUnique,
    "Let no two rows have the same values in some columns.",
    (
        TABLE,
        Parameter("columns", "names", "The columns, in the order of the index.", metavar="COLUMN"),
        option("nulls_not_distinct", "flag", "Count nulls as equal (PostgreSQL 15 and later)."),
        option("deferrable", "flag", "Let a transaction put the check off until its end."),
        option("name", "name", "Name of the constraint."),
    ),
    plan,
    trials,
)
