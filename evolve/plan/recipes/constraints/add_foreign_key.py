"""Add a foreign key: an index to find its rows, the key for new rows, orphans settled, then the rows that are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from shlex import quote as shell_quote
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.counted import rows_of
from evolve.errors import Misuse, Refused
from evolve.plan import index_build
from evolve.plan.carry import validate_constraint
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.constraint import (
    chosen_name,
    drop_constraint,
    refuse_constraint,
    refuse_relatives,
)
from evolve.plan.facts import Facts, refuse_taken
from evolve.plan.model import BackfillDone, Gate, NoRows, Part, Phase, Plan, ValidIndex
from evolve.plan.parameters import COLUMN, ColumnName, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import NoKey, Target, known_column
from evolve.plan.trials import NoSuchRow, Trial
from evolve.sql.locks import LockMode
from evolve.sql.names import BadName, NameTooLong, QualifiedName, parse_name, quote, shorten
from evolve.sql.statements import Statement

_ACTIONS = ("no action", "restrict", "cascade", "set null", "set default")
_NOT_VALID_ON_PARTITIONED = 180000  # PostgreSQL 18

# Types whose values `=` compares with each other by an index of either.
_FAMILIES = (
    frozenset({"smallint", "integer", "bigint"}),
    frozenset({"text", "character varying"}),
    frozenset({"date", "timestamp without time zone", "timestamp with time zone"}),
    frozenset({"real", "double precision"}),
)


@dataclass(frozen=True, slots=True)
class AddForeignKey(Change):
    """Let a column point at rows of another table.

    Args:
        references: the column it points at.
        also: further (column, column of the other table), of a key of several columns.
        orphans: what becomes of rows that point at nothing: "fail" refuses to plan while there are any, "null" takes
            the value out of `column`.
        name: of the constraint; None: the one that PostgreSQL would give.
    """

    kind: ClassVar[str] = "add-foreign-key"
    column: str
    references: ColumnName
    also: tuple[tuple[str, str], ...] = ()
    on_delete: str = "no action"
    on_update: str = "no action"
    deferrable: bool = False
    orphans: str = "fail"
    name: str | None = None

    def words(self) -> Sequence[str]:
        return ["add_fk", *table_words(self.table), self.name or self.column]

    def uses(self) -> Uses:
        own = columns(self.table, self.columns)
        theirs = columns(self.references.table, self.target_columns)
        written = columns(self.table, (self.column,)) if self.orphans == "null" else frozenset()
        return Uses(written, own | theirs)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, *(column for column, _ in self.also))

    @property
    def target_columns(self) -> tuple[str, ...]:
        return (self.references.column, *(_name(text) for _, text in self.also))

    @property
    def orphan(self) -> str:
        """Predicate of a row that points at no row."""
        mine = quote(self.table.name)
        given = " AND ".join(f"{mine}.{quote(column)} IS NOT NULL" for column in self.columns)
        equal = " AND ".join(
            f"evolve_target.{quote(theirs)} = {mine}.{quote(ours)}"
            for ours, theirs in zip(self.columns, self.target_columns, strict=True)
        )
        target = self.references.table.full
        # Each row is sought by the index that the key points at.
        return f"{given} AND NOT EXISTS (SELECT FROM {target} AS evolve_target WHERE {equal})"


def _name(text: str) -> str:
    """A column's name as it was typed behind the sign of --also."""
    try:
        parsed = parse_name(text)
    except (BadName, NameTooLong):
        raise NoColumnName(text) from None
    if parsed.schema != "public":
        raise NoColumnName(text)
    return parsed.name


class NoColumnName(Misuse):
    def __init__(self, text: str) -> None:
        super().__init__(
            f"--also names {text!r}, which is no column's name",
            fix="write --also COLUMN=COLUMN, the other table's column behind the sign",
        )


def _unique(target: Target, names: Sequence[str]) -> str:
    """The change that keeps `names` unique; a partitioned table gets no constraint beside its traffic."""
    if target.partitioned:
        return f"add-index {target.table} --on {shell_quote(', '.join(names))} --unique"
    return f"add-unique {target.table} {' '.join(names)}"


class NotUnique(Refused):
    def __init__(self, target: Target, names: Sequence[str]) -> None:
        listed = ", ".join(names)
        super().__init__(
            f'no unique constraint or index of "{target.table.plain}" is over ({listed}) alone',
            why="a foreign key points at one row, so something must keep those columns unique",
            fix=f"first: evolve plan {_unique(target, [quote(name) for name in names])}",
        )


class TypesDiffer(Refused):
    def __init__(self, ours: str, theirs: str, types: tuple[str, str]) -> None:
        super().__init__(
            f"{ours} is {types[0]}, {theirs} is {types[1]}",
            why="PostgreSQL makes no foreign key between types that it cannot compare by an index",
            fix=f"give {ours} the type {types[1]} first: evolve plan change-type",
        )


class PartitionedBefore18(Refused):
    def __init__(self, target: Target, change: AddForeignKey) -> None:
        super().__init__(
            f'table "{target.table.plain}" is partitioned, and the server '
            + (
                f"is PostgreSQL {target.server_version // 10000}"
                if target.server_version
                else "is not known to be PostgreSQL 18"
            ),
            why="before 18 a foreign key of a partitioned table cannot be NOT VALID: adding it reads every row while "
            "nobody writes to either table",
            fix=f"give each partition the same key NOT VALID and VALIDATE it there (evolve plan does neither), then "
            f"add it to {change.table}: the keys of the partitions are taken over and no row is read",
        )


class Orphans(Refused):
    def __init__(self, change: AddForeignKey, count: int, examples: tuple[str, ...]) -> None:
        shown = f", among them {'; '.join(examples)}" if examples else ""
        super().__init__(
            f"{rows_of(change.table.plain, count, 'points', 'point')} at no row of "
            f'"{change.references.table.plain}"{shown}',
            why="the key could not be validated while they are there",
            fix=f"add what is missing, delete them in small batches, or take the value out: --orphans null (a backfill "
            f"sets {change.column} to null)",
        )


class CannotBeNull(Refused):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is NOT NULL",
            why="--orphans null takes the value out of rows that point at nothing",
            fix="add the rows they point at, or delete them in small batches, and plan it without --orphans",
        )


def plan(change: AddForeignKey, facts: Facts) -> Plan:
    """The phases; a backfill only where orphans lose their value.

    Raises:
        Misuse: a column is unknown, or the constraint is there already.
        Refused: nothing keeps the target unique, the types do not fit, a table does not allow it.
    """
    target = facts.table(change.table)
    other = facts.table(change.references.table)
    refuse_relatives(target)
    if other.inherits:
        refuse_relatives(other)
    if target.partitioned and (facts.server_version or 0) < _NOT_VALID_ON_PARTITIONED:
        raise PartitionedBefore18(target, change)
    _refuse_types(change, target, other)
    if not _is_unique(other, change.target_columns):
        raise NotUnique(other, change.target_columns)
    name = chosen_name(change.name, change.table.name, *change.columns, "fkey")
    refuse_constraint(target, name)
    if change.orphans == "null":
        if known_column(target, change.column).not_null:
            raise CannotBeNull(f"{change.table.plain}.{change.column}")
        if not target.key:
            raise NoKey(target)
    index = None
    if index_build.serving(target.indexes, change.columns) is None:
        if target.partitioned:
            raise IndexFirst(change)
        index = QualifiedName(shorten("ix", change.table.name, *change.columns), change.table.schema)
        refuse_taken(facts, index)
    recipe = _Recipe(change, target, other, name, index)
    phases = [recipe.expand()]
    if change.orphans == "null":
        phases.append(recipe.backfill())
    phases.append(recipe.validate())
    return Plan(change.id, change, tuple(phases), recipe.notes(), target.source)


class IndexFirst(Refused):
    def __init__(self, change: AddForeignKey) -> None:
        listed = index_build.columns_sql(change.columns)
        super().__init__(
            f'no index of the partitioned table "{change.table.plain}" leads with {listed}',
            why="without one every delete of a row that is pointed at reads all partitions",
            fix=f'first: evolve plan add-index {change.table} --on "{listed}"'.replace('""', '"'),
        )


def _refuse_types(change: AddForeignKey, target: Target, other: Target) -> None:
    for ours, theirs in zip(change.columns, change.target_columns, strict=True):
        mine, far = known_column(target, ours), known_column(other, theirs)
        types = (mine.type, far.type)
        if _family(mine.type) != _family(far.type):
            raise TypesDiffer(f"{target.table.plain}.{ours}", f"{other.table.plain}.{theirs}", types)


def _family(type_name: str) -> object:
    bare = (
        type_name.partition("(")[0]
        if not type_name.startswith("timestamp")
        else _without_precision(type_name)
    )
    return next((family for family in _FAMILIES if bare in family), bare)


def _without_precision(type_name: str) -> str:
    return "timestamp with time zone" if "with time zone" in type_name else "timestamp without time zone"


def _is_unique(other: Target, names: Sequence[str]) -> bool:
    for index in other.indexes:
        definition = index_build.definition_of(index.definition)
        if index.unique and index.valid and definition is not None and definition.where is None:
            keys = [key.column for key in definition.keys]
            if None not in keys and sorted(map(str, keys)) == sorted(names):
                return True
    # The revisions tell of constraints whose index has no statement of its own.
    return any(
        constraint.kind in ("primary key", "unique") and sorted(constraint.columns) == sorted(names)
        for constraint in other.constraints
        if other.source == "revisions"
    )


class _Recipe:
    def __init__(
        self, change: AddForeignKey, target: Target, other: Target, name: str, index: QualifiedName | None
    ) -> None:
        self.change = change
        self.target = target
        self.other = other
        self.table = target.table
        self.name = name
        self.index = index
        self.shown = f"{self.table.plain}.{change.column}"
        self.no_orphans = NoRows(
            self.table,
            change.orphan,
            f"{change.column} points at no row of {other.table.plain}",
            fix="add what they point at, or mend or delete them in small batches"
            if change.orphans == "fail"
            else None,
        )

    def expand(self) -> Phase:
        parts = []
        if self.index is not None:
            on = index_build.columns_sql(self.change.columns)
            parts.append(
                Part(
                    f"index {self.shown}",
                    index_build.build(
                        self.index,
                        f"CREATE INDEX CONCURRENTLY {quote(self.index.name)}\n    ON {self.table} ({on})",
                        "reads and writes go on while it is built; with it a delete of a row that is pointed at "
                        "reads no more than it must",
                    ),
                    (index_build.drop(self.index),),
                )
            )
        parts.append(
            Part(
                f"{self.shown} points at {self.other.table.plain}",
                (self._add(),),
                (
                    drop_constraint(
                        self.table,
                        self.name,
                        f'catalog only; "{self.other.table.plain}" is locked as well, for an instant',
                    ),
                ),
                conditions=(ValidIndex(self.index),) if self.index is not None else (),
            )
        )
        return Phase(
            "expand",
            f"no write can make {self.shown} point at nothing any more",
            tuple(parts),
            instructions=(
                f"First deploy code that writes a row of {self.other.table.plain} before rows that point at it, and "
                f"{self._deletes()}: from this revision on other writes fail.",
            ),
            go_back="downgrade the expand revisions: the key goes, and the index that was built for it",
        )

    def backfill(self) -> Phase:
        return Phase(
            "backfill",
            f"every {self.shown} points at a row, or is null",
            backfills=(self.spec(),),
            instructions=(f"Run: evolve backfill run {self.change.id}",),
            go_back="stop the backfill; `evolve backfill undo` cannot put back values that the key refuses",
            undo_loses=f"what {self.change.column} of the orphans was; the backfill's log has it",
        )

    def validate(self) -> Phase:
        null = self.change.orphans == "null"
        gates: tuple[Gate, ...] = (
            (BackfillDone(self.change.id), self.no_orphans) if null else (self.no_orphans,)
        )
        return Phase(
            "validate",
            f"every {self.shown} is known to point at a row",
            (
                Part(
                    f"{self.shown} is proven",
                    (validate_constraint(self.table, self.name),),
                    fills=(self.spec(),) if null else (),
                ),
            ),
            gates=gates,
            go_back="downgrade the validate revision: nothing changes, the proof does no harm",
        )

    def spec(self) -> Spec:
        return Spec(
            self.change.id,
            self.table,
            ((self.change.column, "NULL"),),
            where=self.no_orphans.predicate,
            key=self.target.other_key,
            mismatch=self.no_orphans.predicate,
        )

    def notes(self) -> tuple[str, ...]:
        far = self.other.table.plain
        notes = [
            f"From expand on a write of {self.shown} locks the row of {far} that it points at (FOR KEY SHARE): "
            f"an update of that row's key, or its delete, waits for it.",
        ]
        if self.change.on_delete == "cascade":
            notes.append(
                f"ON DELETE CASCADE: one delete in {far} deletes every row that points at it, in one transaction."
            )
        if self.other.published or self.target.published:
            notes.append(
                "Subscribers of a publication do not check foreign keys; add it there if it must hold there."
            )
        return tuple(notes)

    def _deletes(self) -> str:
        match self.change.on_delete:
            case "cascade":
                return "expects that a delete there deletes the rows that point at it"
            case "set null" | "set default":
                return f"expects that a delete there changes {self.change.column} here"
            case _:
                return "never deletes a row that is pointed at"

    def _add(self) -> Statement:
        change = self.change
        theirs = index_build.columns_sql(change.target_columns)
        clauses = f"REFERENCES {self.other.table} ({theirs})"
        for word, action in (("UPDATE", change.on_update), ("DELETE", change.on_delete)):
            if action != "no action":
                clauses += f" ON {word} {action.upper()}"
        if change.deferrable:
            clauses += " DEFERRABLE INITIALLY IMMEDIATE"
        return Statement(
            f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {quote(self.name)}\n"
            f"    FOREIGN KEY ({index_build.columns_sql(change.columns)}) {clauses} NOT VALID",
            LockMode.SHARE_ROW_EXCLUSIVE,
            f'it blocks writes of both tables, "{self.other.table.plain}" too, for an instant; NOT VALID, so no row '
            "is read now",
        )


def trials(change: AddForeignKey, facts: Facts) -> Iterator[Trial]:
    key = facts.table(change.table).key
    yield NoSuchRow(
        change.table,
        change.orphan,
        f"{change.column} points at no row of {change.references.table.plain}",
        tuple(dict.fromkeys((*key, *change.columns))),
        partial(Orphans, change) if change.orphans == "fail" else None,
    )


RECIPE = Recipe(
    AddForeignKey,
    "Let a column point at rows of another table.",
    (
        COLUMN,
        Parameter("references", "reference", "What it points at.", metavar="TABLE.COLUMN"),
        option("also", "pairs", "A further column of a key of several.", metavar="COLUMN=COLUMN"),
        option("on_delete", "choice", "What a delete of the row pointed at does.", choices=_ACTIONS),
        option("on_update", "choice", "What a change of the key pointed at does.", choices=_ACTIONS),
        option("deferrable", "flag", "Let a transaction put the check off until its end."),
        option(
            "orphans",
            "choice",
            "Rows that point at nothing: refuse (fail), or set the column to null by a backfill (null).",
            choices=("fail", "null"),
        ),
        option("name", "name", "Name of the constraint."),
    ),
    plan,
    trials,
)
