"""Add a value to an enumeration: the type first, then everybody who reads it, and only then who writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse
from evolve.plan.change import Change, Uses, table_words
from evolve.plan.enum_values import add_value, as_literal, known_enum, refuse_unknown, refuse_value
from evolve.plan.facts import EnumFacts, Facts
from evolve.plan.model import Holds, Part, Phase, Plan, Word
from evolve.plan.parameters import Parameter, option
from evolve.plan.recipe import Recipe


@dataclass(frozen=True, slots=True)
class AddEnumValue(Change):
    """Add a value; `table` is the type.

    Args:
        before, after: the value beside which it stands in the order; at the end where neither is given.
    """

    kind: ClassVar[str] = "add-enum-value"
    value: str
    before: str | None = None
    after: str | None = None

    def words(self) -> Sequence[str]:
        return ["add", *table_words(self.table), self.value]

    def uses(self) -> Uses:
        return Uses(frozenset({(self.table, None)}))


class BeforeAndAfter(Misuse):
    def __init__(self) -> None:
        super().__init__("--before and --after were both given", fix="give one of them")


READERS_READY = "readers-ready"


def plan(change: AddEnumValue, facts: Facts) -> Plan:
    """Expand and switch.

    Raises:
        Misuse: there is no such type, it has the value already, or not the one beside it.
    """
    enum = known_enum(facts, change.table)
    refuse_value(enum, change.value)
    if change.before is not None and change.after is not None:
        raise BeforeAndAfter
    for beside in (change.before, change.after):
        if beside is not None:
            refuse_unknown(enum, beside)
    return Plan(
        change.id, change, (_expand(change, enum), _switch(change, enum)), tuple(_notes(enum)), facts.source
    )


def _expand(change: AddEnumValue, enum: EnumFacts) -> Phase:
    place = ""
    if change.before is not None:
        place = f"BEFORE {as_literal(change.before)}"
    elif change.after is not None:
        place = f"AFTER {as_literal(change.after)}"
    return Phase(
        "expand",
        f"type {enum.name.plain} has the value {change.value}, and nobody writes it yet",
        (Part(f"{enum.name.plain} has a value {change.value}", (add_value(enum, change.value, place),)),),
        instructions=(
            f"Deploy code that knows {change.value} wherever it reads the type, and does not write it yet. Code that "
            "does not know it fails at the first row that holds it: SQLAlchemy's Enum raises LookupError.",
        ),
        go_back="there is no way back for the type: PostgreSQL cannot drop a value; the downgrade leaves it there, and "
        "unused it does no harm",
        undo_loses="nothing, and it takes nothing away either: the value stays",
    )


def _switch(change: AddEnumValue, enum: EnumFacts) -> Phase:
    there = (
        f"SELECT EXISTS (SELECT FROM pg_catalog.pg_enum WHERE enumlabel = {as_literal(change.value)} "  # noqa: S608
        f"AND enumtypid = pg_catalog.to_regtype({as_literal(enum.name.full)}))"
    )
    return Phase(
        "switch",
        f"code may write {change.value}",
        gates=(
            Holds(there, f"type {enum.name.plain} has the value {change.value}", "run: evolve upgrade"),
            Word(
                READERS_READY,
                f"all code that reads columns of type {enum.name.plain} knows the value {change.value}",
            ),
        ),
        instructions=(f"Deploy code that writes {change.value}.",),
        go_back="deploy code that does not write it; rows that hold it by then must be changed before code may run "
        "again that does not know it",
    )


def _notes(enum: EnumFacts) -> Iterator[str]:
    if enum.columns:
        names = ", ".join(f"{table.plain}.{column}" for table, column in enum.columns)
        yield (
            f"Columns of the type: {names}. See that no CHECK, policy or list partition of theirs leaves the new value "
            "out."
        )
    yield "PostgreSQL cannot drop a value: there is no way back for the type, only for the code."


RECIPE = Recipe(
    AddEnumValue,
    "Add a value to an enumeration.",
    (
        Parameter("table", "relation", "The enumeration.", metavar="TYPE"),
        Parameter("value", "text", "The new value.", metavar="VALUE"),
        option("before", "text", "The value that it stands before.", metavar="VALUE"),
        option("after", "text", "The value that it stands behind.", metavar="VALUE"),
    ),
    plan,
)
