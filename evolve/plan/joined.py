"""Two tables that a foreign key joins: a column of one gets a twin in the other, kept equal across the join."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from evolve.backfill.spec import Spec
from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan import cross_sync, index_build, new_column, sync
from evolve.plan.change import Uses, columns
from evolve.plan.cross_sync import Direction, End, Link, Role
from evolve.plan.expressions import read_type
from evolve.plan.model import (
    Gate,
    Holds,
    NoOlderTransaction,
    NoRows,
    Phase,
    TriggerArmed,
    function_name,
    trigger_name,
)
from evolve.plan.put_back import type_of
from evolve.plan.target import (
    ColumnExists,
    InTheWay,
    NoKey,
    Target,
    TargetColumn,
    TargetConstraint,
    known_column,
    refuse_family,
    refuse_later_triggers,
)
from evolve.plan.trials import AddsWithoutRewrite, NoSuchRow, Trial
from evolve.sql.names import QualifiedName, literal, quote
from evolve.sql.operations import AddConstraint, ForeignKey
from evolve.sql.parse import parse
from evolve.sql.statements import Statement


class SameTable(Misuse):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'both columns are of table "{table.plain}"',
            fix="name a column of another table; within one table: evolve plan rename-column",
        )


class NotJoined(Refused):
    def __init__(self, source: QualifiedName, target: QualifiedName) -> None:
        super().__init__(
            f'no foreign key joins "{source.plain}" and "{target.plain}"',
            why="it says which rows belong together, and lets two transactions that write both rows of a pair wait for "
            "each other",
            fix=f"add one first: evolve plan add-foreign-key, from a column of {source} to {target} or back",
        )


class SeveralKeys(Misuse):
    def __init__(self, source: QualifiedName, target: QualifiedName, names: Sequence[str]) -> None:
        super().__init__(
            f'{len(names)} foreign keys join "{source.plain}" and "{target.plain}": {", ".join(names)}',
            fix=f"say which: --foreign-key {quote(names[0])}",
        )


class UnknownKey(Misuse):
    def __init__(
        self, source: QualifiedName, target: QualifiedName, given: str, names: Sequence[str]
    ) -> None:
        super().__init__(
            f'"{given}" is no foreign key between "{source.plain}" and "{target.plain}"',
            fix=f"name one of {', '.join(names)}",
        )


class NoIndex(Refused):
    def __init__(self, table: QualifiedName, key: Sequence[str]) -> None:
        listed = index_build.columns_sql(key)
        super().__init__(
            f'no index of "{table.plain}" begins with ({listed})',
            why="every write of the other table would read the whole table to find the rows that it joins",
            fix=f"build one first: CREATE INDEX CONCURRENTLY ON {table} ({listed})",
        )


class PartOfJoin(Refused):
    def __init__(self, target: Target, column: str, key: str) -> None:
        super().__init__(
            f'foreign key "{key}" joins the tables by "{target.table.plain}.{column}" itself',
            why="the column says which rows belong together, so it cannot be among what they share",
            fix="leave it where it is",
        )


class CalledDefault(Refused):
    def __init__(self, target: Target, column: TargetColumn) -> None:
        super().__init__(
            f'the default of "{target.table.plain}.{column.name}" is a function call: {column.default}',
            why="what it gives to a row that is inserted without the column cannot be told from a value that was "
            "written, and would replace the one that the other table holds",
            fix="let the code give the value, and drop the default first: evolve plan drop-default",
        )


class ForcedRowSecurity(Refused):
    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'row level security is forced on "{table.plain}"',
            why="it hides rows from the triggers too, which run with the rights of the tables' owner",
            fix=f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY for as long as the change lasts",
        )


@dataclass(frozen=True, slots=True)
class Join:
    """A foreign key, seen from the table that has the column.

    Args:
        child: the end that has the key.
        source: its columns in the source; `target`: in the target, in the same order.
    """

    name: str
    child: Role
    source: tuple[str, ...]
    target: tuple[str, ...]
    deferrable: bool


def join(source: Target, target: Target, name: str | None) -> Join:
    """The foreign key of that name between the two tables, or the only one.

    Raises:
        Misuse: both are one table, several keys join them, or none of that name does.
        NotJoined.
    """
    if source.table == target.table:
        raise SameTable(source.table)
    found = []
    for child, parent, role in ((source, target, "source"), (target, source, "target")):
        for constraint in child.constraints:
            key = _foreign_key(child.table, constraint)
            if key is not None and key.target == parent.table:
                pair = (key.columns, key.target_columns or parent.key)
                ours, theirs = pair if role == "source" else pair[::-1]
                found.append(
                    Join(
                        constraint.name,
                        "source" if role == "source" else "target",
                        ours,
                        theirs,
                        key.deferrable,
                    )
                )
    if not found:
        raise NotJoined(source.table, target.table)
    names = [each.name for each in found]
    if name is None:
        if len(found) > 1:
            raise SeveralKeys(source.table, target.table, names)
        return found[0]
    for each in found:
        if each.name == name:
            return each
    raise UnknownKey(source.table, target.table, name, names)


def _foreign_key(table: QualifiedName, constraint: TargetConstraint) -> ForeignKey | None:
    if constraint.kind != "foreign key":
        return None
    match parse(f"ALTER TABLE {table} ADD CONSTRAINT {quote(constraint.name)} {constraint.definition}"):
        case (AddConstraint(constraint=ForeignKey(enforced=True) as key),):
            return key
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Twin:
    """A column of `source` and the one of the same value in `target`.

    Args:
        id: of the change.
        column: of the source.
        to: its name in the target, where it is not there yet.
        direction: of the sync; see `cross_sync.Link`.
    """

    id: str
    source: Target
    target: Target
    column: TargetColumn
    to: str
    join: Join
    direction: Direction

    @property
    def link(self) -> Link:
        return self.linked(self.column.name)

    def linked(self, column: str) -> Link:
        """The link while the source's column has that name."""
        known = self.column
        exact = sync.is_exact(known.type, collation=known.collation, enum=known.enum)
        source = sync.Side(column, known.type, exact, known.default)
        return Link(
            End(self.source.table, self.join.source, self.source.key, (source,)),
            End(
                self.target.table, self.join.target, self.target.key, (sync.Side(self.to, known.type, exact),)
            ),
            self.join.child,
            function_name(self.id),
            trigger_name(self.id),
            self.direction,
        )

    # -- names ----------------------------------------------------------------------------------------------
    @property
    def old(self) -> str:
        """In words."""
        return f"{self.source.table.plain}.{self.column.name}"

    @property
    def new(self) -> str:
        return f"{self.target.table.plain}.{self.to}"

    @property
    def child(self) -> Target:
        return self.source if self.join.child == "source" else self.target

    @property
    def parent(self) -> Target:
        return self.target if self.join.child == "source" else self.source

    @property
    def child_key(self) -> tuple[str, ...]:
        return self.join.source if self.join.child == "source" else self.join.target

    @property
    def one_to_one(self) -> bool:
        """No two rows of the child belong to one of the parent."""
        return any(
            index.unique
            and index.valid
            and " WHERE " not in index.definition
            and set(index.columns) <= set(self.child_key)
            for index in self.child.indexes
        )

    @property
    def always_paired(self) -> bool:
        """Each row of the target has one of the source from the moment on that it is there."""
        return (
            self.join.child == "target"
            and not self.join.deferrable
            and all(known_column(self.target, name).not_null for name in self.join.target)
        )

    @property
    def reads(self) -> Uses:
        return Uses(
            frozenset(),
            columns(self.source.table, self.join.source) | columns(self.target.table, self.join.target),
        )

    # -- what is refused ------------------------------------------------------------------------------------
    def refuse(self) -> None:
        """Raise what no such pair of columns can do without."""
        for table in (self.source, self.target):
            refuse_family(table)
            if not table.key:
                raise NoKey(table)
            refuse_later_triggers(table, trigger_name(self.id))
        if self.target.column(self.to) is not None:
            raise ColumnExists(self.target, self.to)
        if self.column.name in self.join.source:
            raise PartOfJoin(self.source, self.column.name, self.join.name)
        if self.column.generated:
            raise InTheWay(
                self.source,
                self.column.name,
                "an expression that computes it",
                "a row trigger does not see the value of a generated column before it is stored",
                "name a column that it is computed from",
            )
        if self.direction == "both" and self.column.default is not None and not self.column.default_constant:
            raise CalledDefault(self.source, self.column)
        if index_build.serving(self.child.indexes, self.child_key) is None:
            raise NoIndex(self.child.table, self.child_key)

    def trials(self) -> Iterator[Trial]:
        for table in (self.source.table, self.target.table):
            yield NoSuchRow(
                QualifiedName("pg_class", "pg_catalog"),
                f"{_is(table)} AND relforcerowsecurity",
                "row level security is forced on the table",
                refusal=_forced(table),
            )
        yield AddsWithoutRewrite(
            read_type(self.column.type).type, "give the column the domain's base type first"
        )

    @property
    def not_forced(self) -> tuple[Gate, ...]:
        """No row is hidden from the triggers."""
        return tuple(
            Holds(
                f"NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE {_is(table)} AND relforcerowsecurity)",
                f"row level security is not forced on {table.plain}",
                f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            )
            for table in (self.source.table, self.target.table)
        )

    # -- gates ----------------------------------------------------------------------------------------------
    @property
    def armed(self) -> tuple[Gate, ...]:
        return tuple(
            TriggerArmed(table, trigger, fires)
            for table, trigger, fires in cross_sync.unconditional(self.link)
        )

    @property
    def equal(self) -> NoRows:
        return NoRows(
            self.source.table,
            cross_sync.wrong(self.link),
            f"{self.new} differs from {self.column.name}",
            backfill=self.id,
        )

    @property
    def spec(self) -> Spec:
        touch = cross_sync.touch(self.link)
        return Spec(
            self.id,
            self.source.table,
            touch.assignments,
            touch.where,
            key=self.source.other_key,
            mismatch=touch.mismatch,
        )

    # -- statements -----------------------------------------------------------------------------------------
    def add(self) -> Statement:
        return new_column.add_empty(self.target.table, self.to, type_of(self.column))

    def arm(self, role: Role) -> tuple[Statement, ...]:
        return (sync.create_schema(), *cross_sync.arm(self.link, role))

    def disarm(self, role: Role) -> tuple[Statement, ...]:
        return (*cross_sync.disarm(self.link, role), *cross_sync.drop_functions(self.link, role))

    # -- phases ---------------------------------------------------------------------------------------------
    def backfill(self) -> Phase:
        triggers = cross_sync.armed(self.link)
        # The triggers of one table came in one transaction.
        first = dict(reversed(triggers))
        return Phase(
            "backfill",
            f"{self.new} equals {self.column.name} wherever a row of {self.source.table.plain} belongs to it",
            gates=(
                *self.armed,
                *(NoOlderTransaction(table, trigger) for table, trigger in first.items()),
            ),
            backfills=(self.spec,),
            instructions=(
                f"Run: evolve backfill run {self.id}",
                f"It writes {self.old} to itself, row by row, and the triggers bring {self.new} along.",
            ),
            go_back="stop the backfill; rows filled so far do no harm",
        )

    def notes(self) -> Iterator[str]:
        yield from cross_sync.notes(self.link)
        yield (
            f'Clients that prepared SELECT * or RETURNING * on {self.target.table.plain} fail once with "cached plan '
            'must not change result type" after expand; recycle their connections then. SQLAlchemy names its columns '
            "and is not concerned."
        )
        if self.target.published:
            yield (
                f"{self.target.table.plain} is published by {', '.join(self.target.published)}: add the column on "
                "every subscriber before expand."
            )
        yield (
            f"The triggers run with the rights of whoever applies the revisions: that must be the owner of "
            f"{self.source.table.plain} and {self.target.table.plain}, or a member of it."
        )


def _is(table: QualifiedName) -> str:
    return f"oid = pg_catalog.to_regclass({literal(table.full).strip()})"


def _forced(table: QualifiedName) -> Callable[[int, tuple[str, ...]], EvolveError]:
    def refuse(_count: int, _examples: tuple[str, ...]) -> EvolveError:
        return ForcedRowSecurity(table)

    return refuse
