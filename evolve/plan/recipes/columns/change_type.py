"""Change a column's type: at once where no row is read, else by a new column that takes its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evolve.counted import rows_of
from evolve.errors import Misuse, Refused
from evolve.plan import sync
from evolve.plan.cached_plans import recycled
from evolve.plan.carry import Carry, carry, validate_constraint
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.conversion import Conversion, conversion, rejects_function
from evolve.plan.expressions import read_type
from evolve.plan.facts import Facts
from evolve.plan.lost_rows import ACCEPT_LOST, advice, kept_until_purge
from evolve.plan.model import Part, Phase, Plan
from evolve.plan.parameters import COLUMN, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.replacement import NewColumn, Replacement, default_of
from evolve.plan.target import (
    ColumnExists,
    InTheWay,
    Target,
    TargetColumn,
    known_column,
    refuse_family,
)
from evolve.plan.trials import AddsWithoutRewrite, NoSuchRow, Trial
from evolve.plan.versions import Shapes
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.operations import ColumnDefinition, CreateIndex
from evolve.sql.parse import parse
from evolve.sql.statements import Statement
from evolve.sql.type_casts import NUMBERS, STRINGS
from evolve.sql.type_changes import Cost, TypeChange, type_change
from evolve.sql.types import base, modifiers

Rejects = Literal["refuse", "null", "accept"]

# A table of this size with three indexes is written anew in a tenth of a second.
SMALL = 8 * 2**20  # bytes


@dataclass(frozen=True, slots=True)
class ChangeType(Change):
    """Give a column another type.

    Args:
        type: as written by the operator, e.g. "numeric(10,2)".
        up: expression over the column that gives the new value; None: the cast.
        down: expression over the new column, by its new name, that gives the old value; None: the cast.
        to: the new column's name; None: it has the old one's name in the end.
        in_place: by ALTER COLUMN … TYPE, also where that reads or writes each row of a small table.
        rejects: what becomes of values that the new type cannot give back: they are refused, null, or taken as they
            come out.
        on_conflict: what the sync trigger does with a statement that writes different values to both columns.
        accept_lost: rows that may lose what the new type cannot give back.
    """

    kind: ClassVar[str] = "change-type"
    column: str
    type: str
    up: str | None = None
    down: str | None = None
    to: str | None = None
    in_place: bool = False
    rejects: Rejects = "refuse"
    on_conflict: sync.OnConflict = "raise"
    accept_lost: int = 0

    def words(self) -> Sequence[str]:
        return ["change", *table_words(self.table), self.column, "to", self.type]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column, self.new_name)))

    @property
    def new_name(self) -> str:
        """Of the new column until it takes the old one's name."""
        return self.to or shorten("_evolve_n", self.id)


class SameType(Misuse):
    def __init__(self, change: ChangeType, type_: str) -> None:
        super().__init__(
            f'column "{change.column}" of "{change.table.plain}" is a {type_} already',
            fix="there is nothing to do",
        )


class TwoRoads(Misuse):
    def __init__(self, other: str) -> None:
        super().__init__(
            f"--in-place and {other} cannot both be given",
            why="in place the column keeps its name, and each value is cast by the server",
            fix="leave out one of them",
        )


class TooLargeInPlace(Refused):
    def __init__(self, change: ChangeType, target: Target, costs: str) -> None:
        size = "of unknown size" if target.bytes is None else f"of {target.bytes // 2**20} MB"
        super().__init__(
            f"--in-place {costs}, and the table is {size}",
            why="nobody reads or writes the table meanwhile; up to 8 MB that takes about a tenth of a second",
            fix=f"leave out --in-place: evolve plan change-type {change.table}.{quote(change.column)} "
            f'"{change.type}" goes by a new column',
        )


class NeedsNullable(Refused):
    def __init__(self, change: ChangeType) -> None:
        super().__init__(
            f'column "{change.column}" of "{change.table.plain}" is NOT NULL, so what does not fit cannot become null',
            why="the new column is as NOT NULL as the old one",
            fix='give every value a place with --up, e.g. "coalesce(…, 0)", or let the column be null first',
        )


class DoesNotComeBack(Refused):
    def __init__(self, change: ChangeType, count: int, examples: tuple[str, ...]) -> None:
        super().__init__(
            rows_of(change.table.plain, count, "holds", "hold")
            + f" a {change.column} that {change.type} cannot give back: "
            + "; ".join(examples),
            why="old code would read another value than it wrote, or fail where it writes such a one",
            fix="mend those rows; or say what becomes of them: --rejects null (the old column keeps them until purge) "
            "or --rejects accept (new code reads what comes out)",
        )


def plan(change: ChangeType, facts: Facts) -> Plan:
    """The phases: two in place, six by a new column.

    Raises:
        Misuse: a name, type or expression does not fit.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    refuse_family(target)
    column = known_column(target, change.column)
    definition = read_type(change.type)
    if definition.collation is None and base(definition.type) in STRINGS and base(column.type) in STRINGS:
        collation = column.collation
    else:
        collation = definition.collation
    if (definition.type, collation) == (column.type, column.collation):
        raise SameType(change, column.type)
    cost = type_change(column.type, definition.type, old_collation=column.collation, new_collation=collation)
    work = _work(target, column, cost)
    given = next(
        (name for name in ("up", "down", "to", "versions") if getattr(change, name) is not None), None
    )
    if change.in_place and given is not None:
        raise TwoRoads(f"--{given}")
    if change.in_place or (work is None and given is None):
        return _in_place(change, target, column, definition, collation, work)
    return _by_new_column(change, target, column, definition, collation, cost)


def _work(target: Target, column: TargetColumn, cost: TypeChange) -> str | None:
    """What ALTER COLUMN … TYPE does beside the catalog; None: nothing."""
    if cost.cost is not Cost.NOTHING:
        return "writes each row and each index anew"
    for index in target.indexes_on(column.name):
        if cost.rebuilds_indexes or not _plain(index.definition):
            # Measured: PostgreSQL keeps only indexes whose keys are the columns themselves.
            return f'builds index "{index.name}" anew'
    for constraint in target.constraints_on(column.name):
        if constraint.kind == "check":
            return f'reads each row to prove "{constraint.name}" again'
    return None


def _plain(definition: str) -> bool:
    """The index has no predicate and no expression, so that a column of it can only be a key."""
    operations = parse(definition)
    match operations:
        case (CreateIndex(index=index),):
            return index.where is None and all(key.column is not None for key in index.keys)
        case _:
            return False


# -- in place -----------------------------------------------------------------------------------------------
_IN_PLACE = {
    "view": "drop the view and create it again in revisions around this one, or use --to with another name",
    "generated column": "drop the generated column first",
    "partition key": "keep the type",
    "policy": "drop the policy and create it again in revisions around this one",
    "trigger": "drop the trigger and create it again in revisions around this one",
    "function": "replace the function first",
    "publication": "take the column out of the publication's filter first",
    "other": "drop it first",
}


def _in_place(
    change: ChangeType,
    target: Target,
    column: TargetColumn,
    definition: ColumnDefinition,
    collation: str | None,
    work: str | None,
) -> Plan:
    if work is not None and (target.bytes is None or target.bytes > SMALL):
        raise TooLargeInPlace(change, target, work)
    for dependent in target.dependents_of(column.name):
        fix = _IN_PLACE.get(dependent.kind)
        if fix is not None:
            why = "PostgreSQL refuses to change the type of a column that such a thing was made from"
            raise InTheWay(target, column.name, dependent.description, why, fix)
    if column.generated:
        why = "its type follows from the expression"
        raise InTheWay(target, column.name, "an expression that computes it", why, "change the expression")
    name = f"{change.table.plain}.{change.column}"
    alter = f"ALTER TABLE {change.table}\n    ALTER COLUMN {quote(change.column)} TYPE "
    new = f"{definition.type} COLLATE {collation}" if collation else definition.type
    old = f"{column.type} COLLATE {column.collation}" if column.collation else column.type
    why = (
        "every value is stored as before, so only the catalog changes and no row is read"
        if work is None
        else f"it {work} while nobody reads or writes the table, which is small"
    )
    expand = Phase(
        "expand",
        f"{name} is a {new}",
        (
            Part(
                f"{name} is a {new}",
                (Statement(alter + new, LockMode.ACCESS_EXCLUSIVE, why, allow=_IN_PLACE_RULES),),
                (
                    Statement(
                        alter + old,
                        LockMode.ACCESS_EXCLUSIVE,
                        "it may read and write each row while nobody else does: go back on a small table or in a "
                        "maintenance window; a value that does not fit stops it",
                    ),
                ),
            ),
        ),
        instructions=(
            "Recycle every pool of connections right after it: a statement that was prepared before it fails with "
            '"cached plan must not change result type".',
        ),
        go_back="downgrade the expand revision: the column has its old type, if every value fits it",
    )
    switch = Phase(
        "switch",
        "no client holds a statement that was prepared for the old type",
        gates=(recycled(change.table),),
        instructions=("From here on code may rely on the new type.",),
        go_back="nothing is to be done",
    )
    notes: tuple[str, ...] = (
        'In place, each connection that prepared a statement which gives back the column fails once with "cached plan '
        'must not change result type", and in autocommit mode until it is replaced: psycopg 3 prepares after five '
        "runs, asyncpg always, psycopg2 never. Where no transaction may fail, give the column another name: --to NAME.",
    )
    if target.published:
        notes += (
            f"{change.table.plain} is published by {', '.join(target.published)}: change the type on its subscribers "
            "before expand, else they stop at the first value that the type there cannot take.",
        )
    return Plan(change.id, change, (expand, switch), notes, target.source)


_IN_PLACE_RULES = (
    "alter-type-rewrite",
    "alter-type-index-rebuild",
    "alter-type-scan-only",
    "alter-type-narrowing",
    "compat-cached-plan",
)


# -- by a new column ----------------------------------------------------------------------------------------
def _by_new_column(
    change: ChangeType,
    target: Target,
    column: TargetColumn,
    definition: ColumnDefinition,
    collation: str | None,
    cost: TypeChange,
) -> Plan:
    if change.to is not None and target.column(change.to) is not None:
        raise ColumnExists(target, change.to)
    if change.rejects == "null" and column.not_null:
        raise NeedsNullable(change)
    converted = _conversion(change, target, column, definition)
    carried = carry(target, column.name, change.new_name)
    _refuse_other_family(target, column, definition.type, carried)
    helpers: tuple[tuple[str, Statement], ...] = ()
    up = converted.up
    if change.rejects == "null":
        helper = QualifiedName(shorten("evolve_up", change.id), change.table.schema)
        made = rejects_function(helper, change.table, converted)
        drop = Statement(f"DROP FUNCTION {helper}({column.type})", None, "nothing calls it any more")
        helpers = ((made, drop),)
        up = f"{helper}({quote(column.name)})"
    volatile = not column.default_steady
    old = sync.Side(
        column.name,
        column.type,
        sync.is_exact(column.type, collation=column.collation, enum=column.enum),
        None if volatile else column.default,
        volatile=volatile,
        fill=converted.down,
    )
    side = sync.Side(
        change.new_name, definition.type, sync.is_exact(definition.type, collation=collation), fill=up
    )
    default = default_of(side, target, (old,))
    side = sync.Side(side.column, side.type, side.exact, default, fill=up)
    narrow: tuple[tuple[str, str], ...] = ()
    if change.rejects == "refuse" and (cost.narrows or change.up is not None):
        narrow = (
            (shorten("evolve", change.table.name, column.name, "fits"), _fits(column, definition, converted)),
        )
    road = Replacement(
        change,
        target,
        (old,),
        (NewColumn(side, collation, column.not_null),),
        f"{change.table.plain}.{column.name} as {definition.type}" + (f" {change.to}" if change.to else ""),
        carried,
        comments=True,
        on_conflict=change.on_conflict,
        swap=change.to is None,
        before=tuple(part for check in narrow for part in _domain(change, column, definition.type, *check)),
        added_checks=narrow,
        helpers=helpers,
        old_code=(
            f"all running code copes with {change.table.plain}.{column.name} as {definition.type}"
            if change.to is None
            else f"no running code reads or writes {change.table.plain}.{column.name}"
        ),
        loses_at_purge="values of the old column that the new type cannot give back"
        if change.rejects != "refuse"
        else None,
        accept_lost=change.accept_lost if change.rejects != "refuse" else None,
    )
    road.refuse()
    notes = (*_notes(change, column, definition), *road.published_notes())
    return Plan(change.id, change, road.phases(), notes, target.source)


def _conversion(
    change: ChangeType, target: Target, column: TargetColumn, definition: ColumnDefinition
) -> Conversion:
    return conversion(
        target,
        (column.name, column.type),
        (change.new_name, definition.type),
        up=change.up,
        down=change.down,
        shown=change.to,
    )


class OfAnotherFamily(Refused):
    def __init__(self, target: Target, column: str, what: str, new: str) -> None:
        super().__init__(
            f'{what} of "{target.table.plain}" was written for {column} as it is, not for {new}',
            why="what it computes or compares means something else for the new type, or does not work at all",
            fix="drop it in a revision before, and write it anew for the new column after the switch",
        )


def _refuse_other_family(target: Target, column: TargetColumn, new: str, carried: Carry) -> None:
    """Raise where a check, foreign key or an index that computes would have to be translated."""
    alike = _family(column.type) == _family(new)
    # A foreign key refers to another column, whose type stays.
    keys = () if alike and base(new) not in _INEXACT else carried.foreign_keys
    for check in (*keys, *(() if alike else carried.checks)):
        raise OfAnotherFamily(target, column.name, f'constraint "{check.source.name}"', new)
    for index in () if alike else target.indexes_on(column.name):
        if not _plain(index.definition) or " USING btree " not in index.definition:
            raise OfAnotherFamily(target, column.name, f'index "{index.name}"', new)


def _family(type_: str) -> str:
    plain = base(type_)
    if plain in NUMBERS:
        return "number"
    return "string" if plain in STRINGS else plain


_INEXACT = NUMBERS - {"smallint", "integer", "bigint"}
_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


def _domain(change: ChangeType, column: TargetColumn, type_: str, name: str, fits: str) -> tuple[Part, ...]:
    """A check that old values fit the new type, proven before anything depends on it."""
    alter = f"ALTER TABLE {change.table}\n    "
    return (
        Part(
            f"new values of {change.table.plain}.{column.name} fit {type_}",
            (
                Statement(
                    f"{alter}ADD CONSTRAINT {quote(name)} CHECK ({fits}) NOT VALID",
                    LockMode.ACCESS_EXCLUSIVE,
                    "NOT VALID reads no row; from here on a value that the new type cannot give back is refused, "
                    "whoever writes it",
                ),
            ),
            (Statement(f"{alter}DROP CONSTRAINT {quote(name)}", LockMode.ACCESS_EXCLUSIVE, "catalog only"),),
        ),
        Part(
            f"all values of {change.table.plain}.{column.name} fit {type_}",
            (validate_constraint(change.table, name),),
        ),
    )


def _fits(column: TargetColumn, definition: ColumnDefinition, converted: Conversion) -> str:
    name = quote(column.name)
    if converted.cast:
        bound = _INTEGERS.get(definition.type)
        if bound is not None and column.type in _INTEGERS:
            return f"{name} BETWEEN {-bound} AND {bound - 1}"
        if base(definition.type) == "character varying" and base(column.type) in (
            "character varying",
            "text",
        ):
            length = modifiers(definition.type)
            if length:
                return f"char_length({name}) <= {length[0]}"
    return f"{name} IS NULL OR {converted.comes_back}"


def _notes(change: ChangeType, column: TargetColumn, definition: ColumnDefinition) -> tuple[str, ...]:
    notes = [
        f"Until purge a value must fit both types: one that {column.type} cannot hold is refused, also to new code.",
    ]
    if change.rejects != "refuse":
        notes.append(
            kept_until_purge(f"What {definition.type} cannot give back of {column.name}", change.accept_lost)
        )
    if change.rejects == "refuse" and change.up is not None:
        notes.append(
            f"From expand on, a write of a {column.name} that {definition.type} cannot give back fails, also in old "
            "code."
        )
    return tuple(notes)


def trials(change: ChangeType, facts: Facts) -> Iterator[Trial]:
    target = facts.table(change.table)
    column = known_column(target, change.column)
    definition = read_type(change.type)
    plain = change.up is None and change.down is None and change.to is None and change.versions is None
    cost = type_change(column.type, definition.type, old_collation=column.collation)
    if change.in_place or (plain and _work(target, column, cost) is None):
        return
    yield AddsWithoutRewrite(definition.type, "change to the domain's base type and add a NOT VALID check")
    converted = _conversion(change, target, column, definition)
    lost = f"{quote(column.name)} IS NOT NULL AND NOT ({converted.comes_back})"
    yield NoSuchRow(
        change.table,
        lost,
        f"{definition.type} cannot give back {column.name}",
        (*target.key, column.name),
        (lambda count, examples: DoesNotComeBack(change, count, examples))
        if change.rejects == "refuse"
        else None,
        fails=True,
        advice=advice(change.accept_lost),
    )
    if column.not_null or change.rejects == "accept":
        yield converted.holds(may_be_null=not column.not_null)


def shapes(change: ChangeType, facts: Facts) -> Shapes:
    new = {change.to or change.column: change.new_name}
    return Shapes.within(facts.table(change.table), {change.column: new})


RECIPE = Recipe(
    ChangeType,
    "Give a column another type.",
    (
        COLUMN,
        Parameter("type", "type", "Its new type."),
        option(
            "up", "expression", "The new value, an expression over the column; the cast where it is left out."
        ),
        option(
            "down",
            "expression",
            "The old value, an expression over the new column (by the name of --to, else by its own); the cast where "
            "--up is left out.",
        ),
        option("to", "name", "Give the new column a name of its own: no client ever fails.", metavar="NAME"),
        option(
            "in_place", "flag", "Change the column itself, also where each row of a small table is written."
        ),
        option(
            "rejects",
            "choice",
            "What becomes of values that the new type cannot give back.",
            choices=("refuse", "null", "accept"),
        ),
        sync.on_conflict("both columns"),
        ACCEPT_LOST,
    ),
    plan,
    trials,
    shapes,
)
