"""An exclusion constraint: always refused, with the reason and what does the same without blocking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from evolve.counted import counted
from evolve.errors import Misuse, Refused
from evolve.plan.change import Change, table_words
from evolve.plan.constraint import chosen_name, refuse_constraint
from evolve.plan.facts import Facts
from evolve.plan.model import Plan
from evolve.plan.parameters import TABLE, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target, UnknownColumn
from evolve.sql.names import quote
from evolve.sql.operations import AddConstraint, Exclude
from evolve.sql.parse import parse

_METHODS = ("gist", "spgist", "hash", "btree")


@dataclass(frozen=True, slots=True)
class AddExclude(Change):
    """Let no two rows conflict by operators of one's choice.

    Args:
        elements: what stands between the parentheses of EXCLUDE, e.g. "room WITH =, during WITH &&".
        using: the index method.
    """

    kind: ClassVar[str] = "add-exclude"
    elements: str
    using: str = "gist"
    name: str | None = None

    def words(self) -> Sequence[str]:
        return ["add_exclude", *table_words(self.table), self.name or self.elements]


class NotAnExclusion(Misuse):
    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is not what an exclusion constraint is made of",
            fix='write it as EXCLUDE does: "room WITH =, during WITH &&"',
        )


class CannotBeBuilt(Refused):
    def __init__(self, target: Target, equal: Sequence[str]) -> None:
        size = ""
        if target.rows is not None:
            size = f" (about {counted(target.rows, 'row')})"
        instead = (
            f"all of it is equality: evolve plan add-unique {target.table} {' '.join(map(quote, equal))}"
            if equal
            else "see `What else` on the page of add-exclude: a trigger that takes a lock for each group of rows and "
            "looks for a conflict; or a new table that has the constraint from the start, filled beside the old one"
        )
        super().__init__(
            f'an exclusion constraint cannot come to "{target.table.plain}" while it is in use',
            why="PostgreSQL builds its index under ACCESS EXCLUSIVE, reading every row"
            f"{size} while nobody reads or writes; it can neither be NOT VALID nor take over an index built "
            "CONCURRENTLY",
            fix=instead,
        )


def plan(change: AddExclude, facts: Facts) -> Plan:
    """Refuse.

    Raises:
        Misuse: table, columns or elements are wrong; Refused: always else.
    """
    target = facts.table(change.table)
    name = chosen_name(change.name, change.table.name, "excl")
    refuse_constraint(target, name)
    match parse(f"ALTER TABLE t ADD CONSTRAINT c EXCLUDE USING {change.using} ({change.elements})"):
        case (AddConstraint(constraint=Exclude(keys=keys)),) if keys:
            pass
        case _:
            raise NotAnExclusion(change.elements)
    for key in keys:
        for column in (key.column,) if key.column else key.expression.columns if key.expression else ():
            if target.column(column) is None:
                raise UnknownColumn(target, column)
    refuse(change, target)


def refuse(change: AddExclude, target: Target) -> NoReturn:
    raise CannotBeBuilt(target, _equal(change))


def _equal(change: AddExclude) -> tuple[str, ...]:
    """The columns, where nothing but equality of columns is asked for."""
    match parse(f"ALTER TABLE t ADD CONSTRAINT c EXCLUDE USING {change.using} ({change.elements})"):
        case (AddConstraint(constraint=Exclude(keys=keys, where=None)),):
            columns = tuple(key.column for key in keys if key.column is not None)
        case _:
            return ()
    written = [part.rpartition(" ")[2] for part in change.elements.split(",")]
    return columns if len(columns) == len(keys) == len(written) and set(written) == {"="} else ()


RECIPE = Recipe(
    AddExclude,
    "Let no two rows conflict; refused, with what to do instead.",
    (
        TABLE,
        Parameter("elements", "text", "As EXCLUDE writes them.", metavar="ELEMENTS"),
        option("using", "choice", "The index method.", choices=_METHODS),
        option("name", "name", "Name of the constraint."),
    ),
    plan,
)
