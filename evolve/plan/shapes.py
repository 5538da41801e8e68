"""Two shapes of the same values, each made of the other by the operator's SQL: read, judged, and tried on the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evolve.counted import rows_of
from evolve.errors import Misuse, Refused
from evolve.plan import sync
from evolve.plan.conversion import refuse_other_columns, refuse_unstable
from evolve.plan.expressions import BadExpression, read_expression
from evolve.plan.lost_rows import advice, kept_until_purge, unlike
from evolve.plan.replacement import default_of
from evolve.plan.sync import Side
from evolve.plan.target import ColumnExists, Target, TargetColumn, known_column
from evolve.plan.trials import AddsWithoutRewrite, ExpressionHolds, NoSuchRow, Trial
from evolve.sql.names import quote
from evolve.sql.parse import ExpressionNotRead, outer_cast, substitute_in_expression


class NamedTwice(Misuse):
    def __init__(self, option: str, name: str) -> None:
        super().__init__(f'{option} names "{name}" twice', fix="give each column one expression")


@dataclass(frozen=True, slots=True)
class _Made:
    """A column and the expression that makes it of the other shape.

    Args:
        option: what the expression was given with.
    """

    column: str
    type: str
    expression: str
    option: str


def both_sides(
    target: Target, down: Sequence[tuple[str, str]], into: Sequence[tuple[str, str]]
) -> tuple[tuple[Side, ...], tuple[Side, ...]]:
    """The columns that are there and those to come, each with what makes it of the others.

    Args:
        down: (column, expression), as --down gives them; `into`: as --into does.

    Raises:
        Misuse: a name is unknown, taken or given twice, or an expression reads what is not of its shape.
    """
    old = [_Made(name, known_column(target, name).type, expression, "--down") for name, expression in down]
    new = [_Made(name, _type_of(expression), expression, "--into") for name, expression in into]
    _refuse_unreadable(target, old, new)
    sides = _old_sides(target, old)
    return sides, _new_sides(target, new, sides)


def _old_sides(target: Target, made: Sequence[_Made]) -> tuple[Side, ...]:
    """The columns that are there.

    Raises:
        UnknownColumn.
    """
    sides = []
    for each in made:
        column = known_column(target, each.column)
        volatile = not column.default_steady
        sides.append(
            Side(
                column.name,
                column.type,
                sync.is_exact(column.type, collation=column.collation, enum=column.enum),
                None if volatile else column.default,
                volatile=volatile,
                fill=each.expression,
            )
        )
    return tuple(sides)


def _new_sides(target: Target, made: Sequence[_Made], old: Sequence[Side]) -> tuple[Side, ...]:
    """The columns to come, with the defaults that follow from those of the old ones."""
    sides = [
        Side(each.column, each.type, sync.is_exact(each.type, collation=None), fill=each.expression)
        for each in made
    ]
    return tuple(replace(side, default=default_of(side, target, old)) for side in sides)


def _refuse_unreadable(target: Target, old: Sequence[_Made], new: Sequence[_Made]) -> None:
    """Raise `Misuse` for a name that is taken or given twice, or an expression that reads what is not of its shape."""
    for group in (old, new):
        names = [each.column for each in group]
        for name in names:
            if names.count(name) > 1:
                raise NamedTwice(group[0].option, name)
    for each in old:
        known_column(target, each.column)
    for each in new:
        if target.column(each.column) is not None:
            raise ColumnExists(target, each.column)
    both = replace(target, columns=(*target.columns, *(TargetColumn(each.column, each.type) for each in new)))
    for group, others in ((old, new), (new, old)):
        for each in group:
            read = read_expression(each.option, each.expression, both, column=each.column)
            refuse_other_columns(each.option, each.expression, read, tuple(other.column for other in others))
            refuse_unstable(each.option, each.expression, read)
            if not read.columns:
                raise BadExpression(
                    each.option, each.expression, "it reads no column, so it tells nothing of the row"
                )


def _type_of(expression: str) -> str:
    """The type that it is cast to in the end; text where there is no such cast, and where nothing can be read."""
    try:
        return outer_cast(expression) or "text"
    except ExpressionNotRead:
        return "text"  # `_refuse_unreadable` says what is wrong


# -- laws ---------------------------------------------------------------------------------------------------
def _made(sides: Sequence[Side]) -> dict[str, str]:
    """Each of `sides` as it comes out of the other shape, by name."""
    return {side.column: f"CAST({side.fill} AS {side.type})" for side in sides}


def _unlike(sides: Sequence[Side], values: dict[str, str], others: dict[str, str]) -> str:
    """True where what `sides` are made into out of `values` is not what `others` says of them."""
    conditions = []
    for side in sides:
        made = f"CAST({substitute_in_expression(str(side.fill), values)} AS {side.type})"
        conditions.append(unlike(side, made, others[side.column]))
    return " OR ".join(conditions)


def lost(old: Sequence[Side], new: Sequence[Side]) -> str:
    """Rows of which the new shape does not tell the old one: down(up(x)) is not x."""
    return _unlike(old, _made(new), {side.column: quote(side.column) for side in old})


def unsettled(old: Sequence[Side], new: Sequence[Side]) -> str:
    """Rows whose new shape changes when it goes back and forth: up(down(up(x))) is not up(x)."""
    upward = _made(new)
    back = {
        side.column: f"CAST({substitute_in_expression(str(side.fill), upward)} AS {side.type})"
        for side in old
    }
    return _unlike(new, back, upward)


class NotSettled(Refused):
    def __init__(
        self, target: Target, apart: str, together: str, count: int, examples: tuple[str, ...]
    ) -> None:
        super().__init__(
            f"for {rows_of(target.table.plain, count)} what --into gives is not what --down and --into make of "
            "it again: " + "; ".join(examples),
            why="each write of old code would change what new code wrote, and the other way round, without end",
            fix=f"let {apart} take apart what {together} puts together, also where a part is missing",
        )


def law_trials(
    target: Target, old: Sequence[Side], new: Sequence[Side], apart: str, together: str, accept_lost: int
) -> Iterator[Trial]:
    """That each expression fails for no row, that the new shape is settled, and which rows lose something.

    Args:
        apart: the option whose expressions take a value apart; `together`: that whose put it together.
        accept_lost: rows that may lose something.
    """
    table = target.table
    for side in new:
        yield AddsWithoutRewrite(
            side.type, "give the domain's base type, and add a NOT VALID check afterwards"
        )
        yield ExpressionHolds(table, "--into", str(side.fill), side.type, may_be_null=True)
    show = (*target.key, *(side.column for side in old if side.column not in target.key))
    yield NoSuchRow(
        table,
        unsettled(old, new),
        "the new columns, made into the old ones and back, are not the same any more",
        show,
        lambda count, examples: NotSettled(target, apart, together, count, examples),
        fails=True,
    )
    names = " and ".join(side.column for side in new)
    yield NoSuchRow(
        table,
        lost(old, new),
        f"{names} cannot tell all that was there",
        show,
        fails=True,
        advice=advice(accept_lost),
    )


# -- what has to be known -----------------------------------------------------------------------------------
def notes(target: Target, old: Sequence[Side], new: Sequence[Side], accept_lost: int) -> tuple[str, ...]:
    """What the reader of a plan with such shapes should know."""
    olds, news = (" and ".join(side.column for side in sides) for sides in (old, new))
    found = [
        f"{news} may be null: evolve plan set-not-null ends that afterwards.",
        kept_until_purge(f"What old code writes and {news} cannot tell", accept_lost),
    ]
    names = {side.column for side in old}
    going = [
        *(f'constraint "{c.name}"' for c in target.constraints if names.intersection(c.columns)),
        *(
            f'index "{index.name}"'
            for index in target.indexes
            if index.constraint is None and names.intersection(index.columns)
        ),
    ]
    if going:
        found.append(
            f"They hold until purge, and go with {olds} then: {', '.join(going)}. Make what new code needs on {news}, "
            "before the switch."
        )
    required = [
        side.column for side in old if (known := target.column(side.column)) is not None and known.not_null
    ]
    if required:
        found.append(
            f"Until purge a write of new code for which --down gives null is refused: {' and '.join(required)} "
            f"{'are' if len(required) > 1 else 'is'} NOT NULL."
        )
    if any(side.volatile for side in old):
        found.append(
            f"A default of {olds} is a function call: an INSERT that gives both shapes is taken to mean the new one, "
            "and one that gives null for the new one gets the default; after contract new rows get none."
        )
    return tuple(found)
