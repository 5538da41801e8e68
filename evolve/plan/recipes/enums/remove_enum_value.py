"""Take a value out of an enumeration: a type without it, and columns of that type which take the place of the old ones.

PostgreSQL cannot drop a value, and giving a column another type writes its table anew. Drivers name the type of what
they send, so columns and type have names of their own: no client meets another type under a name it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, assert_never

from evolve.errors import Misuse, Refused
from evolve.plan.carry import carry
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.enum_values import as_literal, as_printed, known_enum, refuse_unknown
from evolve.plan.facts import EnumFacts, Facts, refuse_taken
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    QUARANTINE,
    Gate,
    Holds,
    Part,
    Phase,
    Plan,
    Word,
)
from evolve.plan.parameters import Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.replacement import NewColumn, Replacement
from evolve.plan.sync import Side
from evolve.plan.target import ColumnExists, InTheWay, Target, known_column
from evolve.plan.trials import NoSuchRow, Trial
from evolve.sql.names import QualifiedName, check_length, quote
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class RemoveEnumValue(Change):
    """Take a value away; `table` is the type.

    Args:
        instead: the value that stands in rows which hold it.
        suffix: what the names of the new type and of the new columns end with.
    """

    kind: ClassVar[str] = "remove-enum-value"
    value: str
    instead: str
    suffix: str = "_v2"

    def words(self) -> Sequence[str]:
        return ["remove", *table_words(self.table), self.value]

    def uses(self) -> Uses:
        return Uses(frozenset({(self.table, None), (self.new_type, None)}))

    @property
    def new_type(self) -> QualifiedName:
        return QualifiedName(self.table.name + self.suffix, self.table.schema)


class NothingInstead(Misuse):
    def __init__(self, enum: EnumFacts, value: str) -> None:
        others = ", ".join(f"'{each}'" for each in enum.values if each != value)
        super().__init__(
            f"--instead is '{value}' too",
            fix=f"name one of {others}" if others else "it is the only value: drop the columns and the type",
        )


class TypeExists(Misuse):
    def __init__(self, name: QualifiedName) -> None:
        super().__init__(f'there is a type "{name.plain}" already', fix="choose another name with --suffix")


class NoSuffix(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "--suffix is empty", why="old and new names must differ", fix="give one, such as _v2"
        )


class NoColumns(Refused):
    def __init__(self, enum: EnumFacts) -> None:
        super().__init__(
            f'no column is of type "{enum.name.plain}"',
            why="there is nothing to bring over to another type",
            fix="once no code names the type: DROP TYPE and CREATE TYPE in one revision",
        )


class UsedElsewhere(Refused):
    def __init__(self, enum: EnumFacts) -> None:
        super().__init__(
            f'type "{enum.name.plain}" is used by {"; ".join(enum.users)}',
            why="the old type is dropped in the end, and what was written for it does not take the new one",
            fix="drop it in a revision before, and write it anew for the new type after the switch",
        )


class NotTheTypeItself(Refused):
    def __init__(self, target: Target, column: str, type_name: str, enum: EnumFacts) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is {type_name}',
            why="the value may stand anywhere in it, and this recipe replaces whole values",
            fix=f"bring it over to a type of its own first: evolve plan change-type {target.table}.{quote(column)} "
            f'"text[]" --to NAME; then it does not hold {enum.name.plain} any more',
        )


def plan(change: RemoveEnumValue, facts: Facts) -> Plan:
    """All six phases, for all columns together; a revision for each column.

    Raises:
        Misuse: there is no such type or value, or a new name is taken.
        Refused: something about a column of the type, or something else that uses it, stands in the way.
    """
    enum = known_enum(facts, change.table)
    refuse_unknown(enum, change.value)
    if change.instead == change.value:
        raise NothingInstead(enum, change.value)
    refuse_unknown(enum, change.instead)
    if not change.suffix:
        raise NoSuffix
    check_length(change.new_type.name)
    if facts.enum(change.new_type) is not None:
        raise TypeExists(change.new_type)
    refuse_taken(facts, change.new_type)
    if not enum.columns:
        raise NoColumns(enum)
    roads = tuple(_road(change, enum, facts.table(table), column) for table, column in enum.columns)
    if enum.users:
        raise UsedElsewhere(enum)
    also = Uses(
        frozenset().union(
            *(columns(road.table, (road.old[0].column, road.sides[0].column)) for road in roads)
        )
    )
    phases = tuple(
        _phase(change, enum, roads, each) for each in zip(*(road.phases() for road in roads), strict=True)
    )
    return Plan(change.id, change, phases, tuple(_notes(change, roads)), facts.source, also=also)


# -- one column ---------------------------------------------------------------------------------------------
def _road(change: RemoveEnumValue, enum: EnumFacts, target: Target, name: str) -> Replacement:
    column = known_column(target, name)
    if column.type != str(enum.name):
        raise NotTheTypeItself(target, name, column.type, enum)
    new_name = name + change.suffix
    check_length(new_name)
    if target.column(new_name) is not None:
        raise ColumnExists(target, new_name)
    carried = carry(target, name, new_name)
    _refuse_uncarried(enum, target, name)
    text = f"CAST({quote(name)} AS text)"
    old = Side(
        name,
        column.type,
        exact=True,
        default=column.default,
        fill=f"CAST(CAST({quote(new_name)} AS text) AS {enum.name})",
    )
    new = Side(
        new_name,
        str(change.new_type),
        exact=True,
        default=_default(change, enum, target, name),
        fill=f"CAST(CASE {text} WHEN {as_literal(change.value)} THEN {as_literal(change.instead)} "
        f"ELSE {text} END AS {change.new_type})",
    )
    road = Replacement(
        change,
        target,
        (old,),
        (NewColumn(new, not_null=column.not_null),),
        f"{target.table.plain}.{name} without {change.value}",
        carried,
        comments=True,
        own=None if len(enum.columns) == 1 else "_".join([change.id, *table_words(target.table), name]),
    )
    road.refuse()
    return road


def _default(change: RemoveEnumValue, enum: EnumFacts, target: Target, name: str) -> str | None:
    """The default of the new column: a constant, so that nothing of it names the old type."""
    default = known_column(target, name).default
    if default is None or default == f"NULL::{enum.name}":
        return None
    for value in enum.values:
        if default == f"{as_printed(value)}::{enum.name}":
            kept = change.instead if value == change.value else value
            return f"{as_literal(kept)}::{change.new_type}"
    raise InTheWay(
        target,
        name,
        f"its default {default}",
        "only a default that is one of the values can be said of the new type",
        "give it a constant default in a revision before, or drop it",
    )


def _refuse_uncarried(enum: EnumFacts, target: Target, name: str) -> None:
    """Raise where what hangs on the column names a value, or would take two values for one."""
    again = "drop it in a revision before, and make it anew on the new column after the switch"
    others = {column.name for column in target.columns if column.type == str(enum.name)} - {name}
    for constraint in target.constraints_on(name):
        what = f'the constraint "{constraint.name}"'
        if constraint.kind == "foreign key":
            raise InTheWay(target, name, what, "the other table's column is of the old type", again)
        if constraint.kind == "unique":
            raise InTheWay(target, name, what, _TWO_IN_ONE, again)
        if f"::{enum.name}" in constraint.definition:
            raise InTheWay(target, name, what, _NAMES_A_VALUE, again)
        if others.intersection(constraint.columns):
            raise InTheWay(target, name, what, _SEVERAL, again)
    for index in target.indexes_on(name):
        what = f'the index "{index.name}"'
        if index.unique:
            raise InTheWay(target, name, what, _TWO_IN_ONE, again)
        if f"::{enum.name}" in index.definition:
            raise InTheWay(target, name, what, _NAMES_A_VALUE, again)
        if others.intersection(index.columns):
            raise InTheWay(target, name, what, _SEVERAL, again)


_TWO_IN_ONE = "rows that differ in the two values only would be the same for it"
_NAMES_A_VALUE = "it names a value of the old type, which does not compare with the new one"
_SEVERAL = "it reads several columns of the type, which are brought over one by one"


# -- all columns --------------------------------------------------------------------------------------------
def _phase(
    change: RemoveEnumValue, enum: EnumFacts, roads: Sequence[Replacement], each: Sequence[Phase]
) -> Phase:
    """What the phases of that name do for each column, said once."""
    old, new = enum.name.plain, change.new_type.plain
    olds = ", ".join(f"{road.table.plain}.{road.old[0].column}" for road in roads)
    news = ", ".join(f"{road.table.plain}.{road.sides[0].column}" for road in roads)
    parts = tuple(part for phase in each for part in phase.parts)
    gates: tuple[Gate, ...] = tuple(
        gate for phase in each for gate in phase.gates if not isinstance(gate, Word)
    )
    backfills = tuple(spec for phase in each for spec in phase.backfills)
    name = each[0].name
    match name:
        case "expand":
            return Phase(
                name,
                f"{news} of a type without {change.value} stand beside {olds}, and triggers keep them in step",
                (_create(change, enum), *parts),
                instructions=(
                    "Code that runs now goes on as it is; code that maps the new columns may start.",
                ),
                go_back="downgrade the expand revisions: triggers, functions, new columns and the new type go",
            )
        case "backfill":
            return Phase(
                name,
                f"every row has {news}; {change.instead} where it holds {change.value}",
                gates=gates,
                backfills=backfills,
                instructions=tuple(f"Run: evolve backfill run {spec.name}" for spec in backfills),
                go_back="stop the backfills; rows filled so far do no harm",
            )
        case "validate":
            return Phase(name, f"{news} can stand in for {olds}", parts, gates=gates, go_back=each[0].go_back)
        case "switch":
            return Phase(
                name,
                f"all code reads and writes {news}",
                gates=gates,
                instructions=(
                    f"Deploy code that maps {news} as type {new}, in SQLAlchemy Enum(…, "
                    f"name={change.new_type.name!r}), and no longer maps {olds}.",
                    "One class must not map both: it would write a null to one of them.",
                ),
                go_back="deploy the old code again; the triggers kept the old columns fresh",
            )
        case "contract":
            return Phase(
                name,
                f"{olds}: gone for every client; the values are kept",
                parts,
                gates=(Word(OLD_CODE_GONE, f"no running code reads or writes {olds}"), *gates),
                go_back=f"downgrade the contract revisions: {olds} come back, with every value",
            )
        case "purge":
            unused = _unused(enum)
            return Phase(
                name,
                f"nothing of type {old} is left, nor the type",
                (*parts, _drop(change, enum, unused)),
                gates=(
                    Word(PURGE_APPROVED, f"nobody will want to know which rows held {change.value}"),
                    *gates,
                    unused,
                ),
                go_back="downgrade the purge revisions: they make the type and the old values anew, in one transaction "
                "for each column",
                undo_loses=f"which rows held {change.value}",
            )
        case _:
            assert_never(name)


def _create_type(name: QualifiedName, values: Sequence[str]) -> Statement:
    listed = ", ".join(map(as_literal, values))
    return Statement(
        f"CREATE TYPE {name} AS ENUM ({listed})", None, "a type that nobody uses yet; no table is touched"
    )


def _drop_type(name: QualifiedName) -> Statement:
    return Statement(f"DROP TYPE {name}", None, "it fails where anything still uses it; no table is touched")


def _create(change: RemoveEnumValue, enum: EnumFacts) -> Part:
    kept = [value for value in enum.values if value != change.value]
    return Part(
        f"{change.new_type.plain}, which is {enum.name.plain} without {change.value}",
        (_create_type(change.new_type, kept),),
        (_drop_type(change.new_type),),
    )


def _drop(change: RemoveEnumValue, enum: EnumFacts, unused: Holds) -> Part:
    return Part(
        f"what was {enum.name.plain}, with {change.value}",
        (_drop_type(enum.name),),
        (_create_type(enum.name, enum.values),),
        (unused,),
    )


def _unused(enum: EnumFacts) -> Holds:
    condition = (
        "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_type t JOIN pg_catalog.pg_depend d "  # noqa: S608 - a literal
        "ON d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (t.oid, t.typarray) "
        "LEFT JOIN pg_catalog.pg_attribute a ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass "
        "AND a.attrelid = d.objid AND a.attnum = d.objsubid "
        f"WHERE t.oid = pg_catalog.to_regtype({as_literal(enum.name.full)}) AND d.deptype = 'n' "
        "AND d.classid <> 'pg_catalog.pg_attrdef'::pg_catalog.regclass "
        f"AND (a.attname IS NULL OR NOT pg_catalog.starts_with(a.attname, {as_literal(QUARANTINE)})))"
    )
    return Holds(
        condition,
        f"nothing but what is in quarantine is of type {enum.name.plain}",
        f"bring over or drop what has come to use it since: in psql, DROP TYPE {enum.name} inside BEGIN and ROLLBACK "
        "names it",
    )


def _notes(change: RemoveEnumValue, roads: Sequence[Replacement]) -> Iterator[str]:
    yield (
        f"Type and columns get names of their own, since drivers send the type's name with a value: "
        f"{change.new_type.plain}; "
        + ", ".join(f"{r.table.plain}.{r.old[0].column} to {r.sides[0].column}" for r in roads)
        + "."
    )
    yield (
        f"Functions that name type {change.table.plain} in their bodies, privileges on the type and its comment are "
        "not carried over: see to them before the switch."
    )
    if any(road.target.published for road in roads):
        yield f"Subscribers need type {change.new_type.plain} before expand as well."
    for road in roads:
        yield from road.published_notes()


def trials(change: RemoveEnumValue, facts: Facts) -> Iterator[Trial]:
    enum = known_enum(facts, change.table)
    for table, name in enum.columns:
        target = facts.table(table)
        yield NoSuchRow(
            table,
            f"{quote(name)} = {as_literal(change.value)}::{enum.name}",
            f"{name} becomes {change.instead} in the new column",
            (*target.key, name),
        )


RECIPE = Recipe(
    RemoveEnumValue,
    "Take a value out of an enumeration.",
    (
        Parameter("table", "relation", "The enumeration.", metavar="TYPE"),
        Parameter("value", "text", "The value.", metavar="VALUE"),
        option("instead", "text", "The value that rows get instead of it.", required=True, metavar="VALUE"),
        option(
            "suffix", "text", "What the names of the new type and the new columns end with.", metavar="TEXT"
        ),
    ),
    plan,
    trials,
)
