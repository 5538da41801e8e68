"""Copy a column to another table for good: triggers keep the copy equal, and one table owns the value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.errors import Refused
from evolve.plan import cross_sync
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.facts import Facts
from evolve.plan.joined import Twin, join
from evolve.plan.model import BackfillDone, Part, Phase, Plan
from evolve.plan.parameters import COLUMN, ColumnName, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import InTheWay, known_column
from evolve.plan.trials import Trial
from evolve.plan.versions import Shapes
from evolve.sql.locks import LockMode
from evolve.sql.names import literal, quote
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class CopyColumn(Change):
    """Keep a copy of a column in a table that a foreign key joins with its own.

    Args:
        to: the copy.
        foreign_key: the key that joins the tables; None: the only one that does.
    """

    kind: ClassVar[str] = "copy-column"
    column: str
    to: ColumnName
    foreign_key: str | None = None

    def words(self) -> Sequence[str]:
        return [
            "copy",
            *table_words(self.table),
            self.column,
            "to",
            *table_words(self.to.table),
            self.to.column,
        ]

    def uses(self) -> Uses:
        return Uses(columns(self.to.table, (self.to.column,)), columns(self.table, (self.column,)))


class ManyForOne(Refused):
    def __init__(self, twin: Twin) -> None:
        super().__init__(
            f'several rows of "{twin.source.table.plain}" may belong to one of "{twin.target.table.plain}"',
            why=f"it would be chance which of their values {twin.new} holds",
            fix=f"where they all hold the same value: evolve plan move-column {twin.source.table}."
            f"{quote(twin.column.name)} {twin.target.table}.{quote(twin.to)}",
        )


def plan(change: CopyColumn, facts: Facts) -> Plan:
    """The phases; there is no contract, since the copy and its triggers stay.

    Raises:
        Misuse: a name is unknown or taken, or several foreign keys join the tables.
        Refused: no foreign key does, or something about a table stands in the way.
    """
    twin = _twin(change, facts)
    phases = (_expand(twin), twin.backfill(), _validate(twin), _switch(twin))
    return Plan(change.id, change, phases, tuple(_notes(twin)), facts.source, also=twin.reads)


def _twin(change: CopyColumn, facts: Facts) -> Twin:
    source = facts.table(change.table)
    column = known_column(source, change.column)
    target = facts.table(change.to.table)
    joined = join(source, target, change.foreign_key)
    # Each row follows the other table's, whatever a row without one would get by default.
    column = replace(column, default=None)
    twin = Twin(change.id, source, target, column, change.to.column, joined, "to target")
    twin.refuse()
    if column.always:
        raise InTheWay(
            source,
            column.name,
            "its own identity sequence",
            "nothing may be written to such a column, and the backfill writes each value to itself",
            "copy another column",
        )
    if joined.child == "source" and not twin.one_to_one:
        raise ManyForOne(twin)
    return twin


def _expand(twin: Twin) -> Phase:
    source, target = twin.source.table, twin.target.table
    told = (
        f"Copy of {twin.old}, which owns the value: a trigger keeps it, and what is written here is ignored."
    )
    comment = Statement(
        f"COMMENT ON COLUMN {target}.{quote(twin.to)} IS {literal(told).strip()}",
        LockMode.SHARE_UPDATE_EXCLUSIVE,
        "catalog only; who looks at the table sees where to write",
    )
    drop = Statement(
        f"ALTER TABLE {target}\n    DROP COLUMN {quote(twin.to)}",
        LockMode.ACCESS_EXCLUSIVE,
        f"catalog only; {twin.old} owns every value",
    )
    return Phase(
        "expand",
        f"{twin.new} is there, and triggers on both tables keep it equal to {twin.old} on every write",
        (
            Part(
                f"copy {twin.old} to {twin.new}",
                (twin.add(), comment, *twin.arm("target")),
                (
                    *cross_sync.disarm(twin.link, "target"),
                    drop,
                    *cross_sync.drop_functions(twin.link, "target"),
                ),
                twin.not_forced,
            ),
            Part(
                f"keep {twin.new} in step with {twin.old}",
                twin.arm("source"),
                twin.disarm("source"),
                twin.not_forced,
            ),
        ),
        instructions=(
            "Code that runs now goes on as it is.",
            f"Code that maps {twin.new} may start; it writes {source.plain} alone.",
        ),
        go_back="downgrade the expand revisions: triggers, functions and copy go",
    )


def _validate(twin: Twin) -> Phase:
    return Phase(
        "validate",
        f"{twin.new} can be read in the place of {twin.old}",
        # A new database has seed rows, which only a gate fills.
        (Part(f"every row has {twin.new}", (), (), fills=(twin.spec,)),),
        gates=(*twin.armed, BackfillDone(twin.id), twin.equal),
        go_back="nothing has changed",
    )


def _switch(twin: Twin) -> Phase:
    return Phase(
        "switch",
        f"code reads {twin.new}; {twin.source.table.plain} owns the value, and the triggers stay",
        gates=(*twin.armed, twin.equal),
        instructions=(
            f"Deploy code that reads {twin.new}. It goes on writing {twin.old}: what it writes to the copy is ignored.",
        ),
        go_back=f"deploy the old code again; downgrade the expand revisions where {twin.new} is not wanted any more",
    )


def _notes(twin: Twin) -> Iterator[str]:
    yield from twin.notes()
    source, target = twin.source.table.plain, twin.target.table.plain
    yield (
        f"{source} owns the value. A write of one row there writes every row of {target} that belongs to it, in the "
        "same transaction: where these are many, it takes as long as they do."
    )
    yield f"Whoever may read {target} can read {twin.new}, whatever rights he has on {source}."
    yield (
        f"{twin.new} stays nullable: it is null where a row of {target} belongs to none of {source}, and replication "
        "may for a moment have deleted the one before the other."
    )


def trials(change: CopyColumn, facts: Facts) -> Iterator[Trial]:
    yield from _twin(change, facts).trials()


def shapes(change: CopyColumn, facts: Facts) -> Shapes:
    return Shapes.within(facts.table(change.to.table), also=(change.to.column,))


RECIPE = Recipe(
    CopyColumn,
    "Keep a copy of a column in a table that a foreign key joins with its own (denormalize).",
    (
        COLUMN,
        Parameter("to", "reference", "The copy, as table.column.", metavar="TABLE.COLUMN"),
        option(
            "foreign_key",
            "name",
            "The foreign key that joins the two tables, where several do.",
            metavar="NAME",
        ),
    ),
    plan,
    trials,
    shapes,
)
