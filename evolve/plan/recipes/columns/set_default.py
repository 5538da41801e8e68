"""Give a column a default, or another one: at once where no code relies on what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.code_first import code_first
from evolve.plan.defaults import other_default, refuse_equal, refuse_given
from evolve.plan.expressions import read_default
from evolve.plan.facts import Facts
from evolve.plan.model import Part, Phase, Plan
from evolve.plan.new_column import set_default
from evolve.plan.parameters import COLUMN, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target, TargetColumn, known_column, refuse_members
from evolve.plan.trials import ExpressionHolds, Trial
from evolve.plan.versions import Shapes
from evolve.sql.operations import Expression


@dataclass(frozen=True, slots=True)
class SetDefault(Change):
    """Give a column a default.

    Args:
        default: SQL expression.
        at_once: rows that old code writes may get the new default instead of the one that is there.
    """

    kind: ClassVar[str] = "set-default"
    column: str
    default: str
    at_once: bool = False

    def words(self) -> Sequence[str]:
        return ["set_default", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)))


class SameDefault(Misuse):
    def __init__(self, target: Target, column: TargetColumn) -> None:
        super().__init__(
            f'"{target.table.plain}.{column.name}" has the default {column.default} already',
            fix="there is nothing to do",
        )


def plan(change: SetDefault, facts: Facts) -> Plan:
    """At once where there is no default, or none that matters; else when no code relies on the one that is there.

    Raises:
        Misuse: the column is unknown, or the default does not fit.
        Refused: the table is one of a family, or the column unique.
    """
    target = facts.table(change.table)
    refuse_members(target)
    column = known_column(target, change.column)
    refuse_given(target, column)
    default = read_default("DEFAULT", change.default, target, column=change.column)
    if column.default in (default.sql, f"{default.sql}::{column.type}"):
        raise SameDefault(target, column)
    if default.constant:
        refuse_equal(target, change.column)
    phases = (
        _at_once(target, column, default)
        if column.default is None or change.at_once
        else _gated(target, column, default)
    )
    return Plan(change.id, change, phases, _notes(column), target.source)


def _at_once(target: Target, column: TargetColumn, default: Expression) -> tuple[Phase, ...]:
    name = f"{target.table.plain}.{column.name}"
    return (
        Phase(
            "expand",
            f"an INSERT that leaves out {name} writes {default.sql}",
            (_part(target, column, default, "catalog only; rows that exist keep what they hold"),),
            instructions=(
                f"Code that leaves out {name} gets {default.sql} from now on, instead of "
                f"{column.default or 'null'}: old code, too.",
            ),
            go_back="downgrade the expand revision",
        ),
        Phase(
            "switch",
            f"code relies on the default of {name}",
            instructions=(f"Deploy code that leaves {name} out: a model with this server_default.",),
            go_back="deploy the old code again",
        ),
    )


def _gated(target: Target, column: TargetColumn, default: Expression) -> tuple[Phase, ...]:
    name = f"{target.table.plain}.{column.name}"
    return code_first(
        _part(target, column, default, "catalog only; no running code relies on the default that was there"),
        deploy=f"Deploy code that gives {name} a value in every INSERT, or does not mind which default it gets.",
        ready=f"no running code relies on {column.default} as the default of {name}",
        done=f"an INSERT that leaves out {name} writes {default.sql}; code that relies on that may start",
    )


def _part(target: Target, column: TargetColumn, default: Expression, why: str) -> Part:
    return Part(
        f"default of {target.table.plain}.{column.name}",
        (set_default(target.table, column.name, default.sql, why),),
        (set_default(target.table, column.name, column.default),),
    )


def _notes(column: TargetColumn) -> tuple[str, ...]:
    return (
        f"SQLAlchemy leaves {column.name} out of an INSERT only where the model declares a server_default; else it "
        "writes null for an attribute that is not set, and the default is never asked.",
    )


def trials(change: SetDefault, facts: Facts) -> Iterator[Trial]:
    column = known_column(facts.table(change.table), change.column)
    yield ExpressionHolds(change.table, "DEFAULT", change.default, column.type, rows="false")


def shapes(change: SetDefault, facts: Facts) -> Shapes:
    target = facts.table(change.table)
    column = known_column(target, change.column)
    return other_default(target, change.column, column.default, change.default)


RECIPE = Recipe(
    SetDefault,
    "Give a column a default, or another one.",
    (
        COLUMN,
        Parameter("default", "expression", "The default: an SQL expression."),
        option(
            "at_once", "flag", "Rows that old code writes may get it instead of the default that is there."
        ),
    ),
    plan,
    trials,
    shapes,
)
