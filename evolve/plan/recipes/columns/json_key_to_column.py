"""Move a key of JSON documents into a column: kept in step both ways, key by key, until nobody looks for it there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evolve.backfill.spec import Spec
from evolve.counted import rows_of
from evolve.errors import Misuse, Refused
from evolve.plan import sync
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.expressions import read_type
from evolve.plan.facts import Facts
from evolve.plan.lost_rows import ACCEPT_LOST, advice, kept_until_purge
from evolve.plan.model import OLD_CODE_GONE, PURGE_APPROVED, LostRows, Part, Phase, Plan, Word
from evolve.plan.parameters import COLUMN, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.replacement import NewColumn, Replacement
from evolve.plan.target import ColumnExists, Target, TargetColumn, known_column
from evolve.plan.trials import AddsWithoutRewrite, NoSuchRow, Trial
from evolve.plan.versions import Shapes
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class JsonKeyToColumn(Change):
    """Let a column hold what documents hold under a key.

    Args:
        column: of the documents, json or jsonb.
        key: keys from the outermost to the innermost, joined by dots; one that has a dot in it is in double quotes.
        to: the new column.
        type: as written by the operator, e.g. "numeric(10,2)".
        rejects: what becomes of values that the type does not take: they are refused, or null in the column.
        remove_key: in the end the key is taken out of the documents.
        on_conflict: what the sync trigger does with a statement that writes different values to key and column.
        accept_lost: documents that may lose a value which the type does not take.
    """

    kind: ClassVar[str] = "json-key-to-column"
    column: str
    key: str
    to: str
    type: str = "text"
    rejects: Literal["refuse", "null"] = "refuse"
    remove_key: bool = False
    on_conflict: sync.OnConflict = "raise"
    accept_lost: int = 0

    def words(self) -> Sequence[str]:
        return ["move", *table_words(self.table), self.column, *self.path, "to", self.to]

    def uses(self) -> Uses:
        # Other keys of the same documents may be on their way, too.
        return Uses(columns(self.table, (self.to,)), columns(self.table, (self.column,)))

    @property
    def path(self) -> tuple[str, ...]:
        """The keys; `BadKey` where it is not written as such."""
        found = re.findall(r'(?:"((?:[^"]|"")+)"|([^".]+))(\.|\Z)', self.key)
        rebuilt = "".join((f'"{quoted}"' if quoted else plain) + dot for quoted, plain, dot in found)
        if not found or rebuilt != self.key or found[-1][2] == ".":
            raise BadKey(self.key)
        return tuple(quoted.replace('""', '"') if quoted else plain for quoted, plain, _ in found)


class BadKey(Misuse):
    def __init__(self, text: str) -> None:
        super().__init__(
            f'"{text}" is not a key',
            fix='write keys as city or address.city, and one with a dot in it as address."zip.code"',
        )


class NoDocuments(Misuse):
    def __init__(self, target: Target, column: TargetColumn) -> None:
        super().__init__(
            f'column "{column.name}" of "{target.table.plain}" is {column.type}, not json or jsonb',
            fix="name a column that holds documents",
        )


class CannotWrite(Refused):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is generated',
            why="what new code writes has to reach the documents while old code runs, and nothing can write these",
            fix="move the key of the column that it is computed from",
        )


class NoPlaceForKey(Refused):
    def __init__(self, change: JsonKeyToColumn, count: int, examples: tuple[str, ...]) -> None:
        super().__init__(
            f"in {rows_of(change.table.plain, count)} there is no place for {change.key}, since something "
            "else than an object is where it belongs: " + "; ".join(examples),
            why="what new code writes could not be put there without losing what is there",
            fix="mend those documents first",
        )


def no_place(change: JsonKeyToColumn, document: str) -> str:
    """True of a document in which something else than an object is where the key belongs."""
    parents = [
        document if depth == 0 else f"({document}) #> {_path(change.path[:depth])}"
        for depth in range(len(change.path))
    ]
    return " OR ".join(f"jsonb_typeof({parent}) NOT IN ('object', 'null')" for parent in parents)


class DoesNotFit(Refused):
    def __init__(self, change: JsonKeyToColumn, count: int, examples: tuple[str, ...]) -> None:
        super().__init__(
            f"in {rows_of(change.table.plain, count)} {change.key} is no {change.type}: "
            + "; ".join(examples),
            why="old code that writes such a document would fail",
            fix="mend those documents; or let the column be null there and the documents keep them: --rejects null",
        )


def plan(change: JsonKeyToColumn, facts: Facts) -> Plan:
    """The six phases.

    Raises:
        Misuse: a name, key or type does not fit.
        Refused: something about the table stands in the way.
    """
    moved = _Moved.of(change, facts.table(change.table))
    road = moved.road
    road.refuse()
    phases = (
        road.expand(),
        road.backfill(),
        road.validate(),
        road.switch(),
        moved.contract(),
        moved.purge(),
    )
    return Plan(change.id, change, phases, moved.notes(), moved.target.source)


@dataclass(frozen=True, slots=True)
class _Moved:
    change: JsonKeyToColumn
    target: Target
    column: TargetColumn
    type: str
    collation: str | None

    @classmethod
    def of(cls, change: JsonKeyToColumn, target: Target) -> _Moved:
        column = known_column(target, change.column)
        if column.type not in ("json", "jsonb"):
            raise NoDocuments(target, column)
        if column.generated:
            raise CannotWrite(target, column.name)
        if target.column(change.to) is not None:
            raise ColumnExists(target, change.to)
        definition = read_type(change.type)
        return cls(change, target, column, definition.type, definition.collation)

    # -- expressions ----------------------------------------------------------------------------------------
    @property
    def path(self) -> str:
        return _path(self.change.path)

    @property
    def document(self) -> str:
        """As jsonb."""
        name = quote(self.column.name)
        return name if self.column.type == "jsonb" else f"{name}::jsonb"

    @property
    def cast(self) -> str:
        """What the column holds of the key, or an error."""
        if self.type == "jsonb":
            return f"({self.document}) #> {self.path}"
        text = f"({self.document}) #>> {self.path}"
        return text if self.type == "text" else f"CAST({text} AS {self.type})"

    @property
    def helper(self) -> QualifiedName:
        return QualifiedName(shorten("evolve_up", self.change.id), self.change.table.schema)

    @property
    def up(self) -> str:
        return f"{self.helper}({quote(self.column.name)})" if self.change.rejects == "null" else self.cast

    @property
    def down(self) -> str:
        """The document with the key as the column has it, and without it where that is null."""
        new = quote(self.change.to)
        made = f"to_jsonb({new})"
        path = self.change.path
        for depth in reversed(range(len(path))):
            parent = self.document if depth == 0 else f"({self.document}) #> {_path(path[:depth])}"
            there = f"CASE WHEN jsonb_typeof({parent}) = 'object' THEN {parent} ELSE '{{}}'::jsonb END"
            made = f"({there}) || jsonb_build_object({_text(path[depth])}, {made})"
        # There was no such document when this was planned, see NoPlaceForKey; one that has come since is left alone.
        whole = (
            f"CASE WHEN {no_place(self.change, self.document)} THEN {self.document} "
            f"WHEN {new} IS NULL THEN ({self.document}) #- {self.path} ELSE {made} END"
        )
        return whole if self.column.type == "jsonb" else f"({whole})::json"

    # -- the road -------------------------------------------------------------------------------------------
    @property
    def road(self) -> Replacement:
        change, column = self.change, self.column
        old = sync.Side(
            column.name,
            column.type,
            exact=True,
            default=column.default if column.default_constant else None,
            fill=self.down,
            part=f"#>> {self.path}",
        )
        exact = sync.is_exact(self.type, collation=self.collation)
        new = sync.Side(change.to, self.type, exact, fill=self.up)
        helpers: tuple[tuple[str, Statement], ...] = ()
        if change.rejects == "null":
            drop = Statement(
                f"DROP FUNCTION {self.helper}({column.type})",
                None,
                "only the trigger's function called it",
                allow=("drop-function",),
            )
            helpers = ((self.rejecting(), drop),)
        return Replacement(
            change,
            self.target,
            (old,),
            (NewColumn(new, self.collation),),
            f"{self.name} to {change.to}",
            on_conflict=change.on_conflict,
            helpers=helpers,
            called=f"{change.key} of {column.name}",
            deploy=(
                f"Deploy code that reads and writes {change.to} and looks for {change.key} in {column.name} no more.",
                f"Where it writes documents it must leave the key in them as it found it: until contract a document "
                f"that loses the key is taken for one whose {change.key} was removed.",
            ),
        )

    @property
    def name(self) -> str:
        return f"{self.change.key} of {self.change.table.plain}.{self.column.name}"

    def rejecting(self) -> str:
        body = f"""\
#variable_conflict use_variable
BEGIN
    RETURN {self.cast};
EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
    RETURN NULL;
END
"""
        signature = f"{self.helper}({sync.quote(self.column.name)} {self.column.type})"
        return sync.pinned_function(signature, self.type, self.change.table, body, "IMMUTABLE")

    def backward(self) -> str:
        road = self.road
        return sync.backward_function(road.function, road.table, road.old, road.sides)

    def contract(self) -> Phase:
        road = self.road
        return Phase(
            "contract",
            f"{self.change.to} alone counts; the documents still get what is written to it",
            (
                Part(
                    f"{self.change.to} alone counts, not {self.name}",
                    (
                        Statement(
                            self.backward(),
                            None,
                            "from here on the trigger only writes the documents, so that the way back stays open",
                        ),
                    ),
                    (Statement(road.two_way(), None, "both may be written again"),),
                    (road.armed, road.divergent),
                ),
            ),
            gates=(
                Word(OLD_CODE_GONE, f"no running code reads or writes {self.name}"),
                road.armed,
                road.divergent,
            ),
            go_back="downgrade the contract revision: the documents have every value, and may be written again",
        )

    @property
    def given(self) -> str:
        """True of a document that holds something under the key."""
        return f"jsonb_typeof(({self.document}) #> {self.path}) <> 'null'"

    @property
    def loses(self) -> bool:
        """Values that the type does not take go with the key."""
        return self.change.remove_key and self.change.rejects == "null"

    @property
    def losing(self) -> tuple[LostRows, ...]:
        if not self.loses:
            return ()
        to = quote(self.change.to)
        return (
            LostRows(
                self.change.table,
                f"{self.given} AND {to} IS NULL",
                f"more under {self.change.key} of {self.column.name} than {self.change.to} tells",
                self.change.accept_lost,
                f"give {self.change.to} a value that tells it",
            ),
        )

    def purge(self) -> Phase:
        road = self.road
        removal: tuple[Spec, ...] = ()
        if self.change.remove_key:
            document = f"({self.document}) #- {self.path}"
            value = document if self.column.type == "jsonb" else f"({document})::json"
            there = f"({self.document}) #> {self.path} IS NOT NULL"
            # The first backfill's name is the change's own.
            removal = (
                Spec(
                    f"{self.change.id}_key",
                    road.table,
                    ((self.column.name, value),),
                    there,
                    road.spec.key,
                    there,
                ),
            )
        undo = (
            *(sync.create_function(sql) for sql, _ in road.helpers),
            sync.create_function(self.backward()),
            *sync.create_trigger(road.table, road.trigger, road.function),
            Statement(
                f"UPDATE {road.table} SET {quote(self.column.name)} = {self.down}\n"  # noqa: S608 - of the plan
                f"    WHERE {road.divergent.predicate}",
                LockMode.SHARE_ROW_EXCLUSIVE,
                "writers wait for the lock of CREATE TRIGGER until every document is brought up to date: go back this "
                "far only on a small table or in a maintenance window",
            ),
        )
        return Phase(
            "purge",
            f"the key is taken out of the documents; {self.change.to} stands alone"
            if removal
            else f"{self.change.to} stands alone; the documents keep the key as it was",
            (
                Part(
                    f"{self.change.to} without {self.name}",
                    (
                        sync.drop_trigger(road.table, road.trigger),
                        sync.drop_function(road.function),
                        *(drop for _, drop in road.helpers),
                    ),
                    undo,
                    self.losing,
                ),
            ),
            gates=(Word(PURGE_APPROVED, f"nobody will look for {self.name} again"), *self.losing),
            backfills=removal,
            instructions=(f"After the upgrade run: evolve backfill run {self.change.id}_key",)
            if removal
            else (),
            go_back="downgrade the purge revision: it writes the column's values into the documents again, in one "
            "transaction",
            undo_loses=f"what the documents held under {self.change.key} and {self.type} does not take"
            if self.loses
            else None,
        )

    def notes(self) -> tuple[str, ...]:
        change = self.change
        notes = [
            'Clients that prepared SELECT * or RETURNING * on the table fail once with "cached plan must not change '
            'result type" after expand; recycle their connections then. SQLAlchemy names its columns and is not '
            "concerned.",
            f"A null in {change.to} and no {change.key} at all are the same: where new code writes null the key is "
            "removed.",
        ]
        if not change.remove_key:
            notes.append(
                f"After purge the documents keep {change.key} as it was then; --remove-key takes it out."
            )
        if self.loses:
            notes.append(kept_until_purge(f"What is no {change.type} under {change.key}", change.accept_lost))
        return (*notes, *self.road.published_notes(renames=False))


def _text(value: str) -> str:
    return f"{literal(value).strip()}::text"


def _path(keys: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(literal(key).strip() for key in keys)}]::text[]"


def trials(change: JsonKeyToColumn, facts: Facts) -> Iterator[Trial]:
    target = facts.table(change.table)
    moved = _Moved.of(change, target)
    yield AddsWithoutRewrite(moved.type, "take the domain's base type and add a NOT VALID check")
    show = (*target.key, change.column)
    yield NoSuchRow(
        change.table,
        no_place(change, moved.document),
        f"something else than an object is where {change.key} belongs",
        show,
        lambda count, examples: NoPlaceForKey(change, count, examples),
    )
    value, given = f"({moved.document}) #> {moved.path}", moved.given
    yield NoSuchRow(
        change.table,
        f"{given} AND ({moved.cast}) IS NULL",
        f"{change.key} is no {change.type}",
        show,
        (lambda count, examples: DoesNotFit(change, count, examples)) if change.rejects == "refuse" else None,
        fails=True,
        advice=advice(change.accept_lost) if moved.loses else None,
    )
    if change.rejects == "refuse":
        yield NoSuchRow(
            change.table,
            f"{given} AND to_jsonb({moved.cast}) IS DISTINCT FROM {value}",
            f"{change.key} is of another JSON type, or spelled otherwise, than it will be once new code writes it",
            show,
        )


def shapes(change: JsonKeyToColumn, facts: Facts) -> Shapes:
    return Shapes.within(facts.table(change.table), also=(change.to,))


RECIPE = Recipe(
    JsonKeyToColumn,
    "Move a key of JSON documents into a column.",
    (
        COLUMN,
        Parameter("key", "text", "The key: city, or address.city.", metavar="KEY"),
        option("to", "name", "The new column.", required=True, metavar="NAME"),
        option("type", "type", "Its type; text where it is left out."),
        option(
            "rejects",
            "choice",
            "What becomes of values that the type does not take.",
            choices=("refuse", "null"),
        ),
        option("remove_key", "flag", "In the end take the key out of the documents, in batches."),
        sync.on_conflict("key and column"),
        ACCEPT_LOST,
    ),
    plan,
    trials,
    shapes,
)
