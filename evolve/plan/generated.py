"""Generated columns: what every recipe about them asks first, how a trigger computes one instead, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evolve.backfill.spec import Spec
from evolve.errors import Misuse, Refused
from evolve.plan import sync
from evolve.plan.carry import comment_and_grants
from evolve.plan.change import Change
from evolve.plan.conversion import refuse_unstable
from evolve.plan.expressions import BadExpression, read_expression
from evolve.plan.model import (
    BackfillDone,
    NoOlderTransaction,
    NoRows,
    Part,
    Phase,
    TriggerArmed,
    function_name,
    trigger_name,
)
from evolve.plan.target import Target, TargetColumn, known_column
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import Expression
from evolve.sql.statements import Statement

VIRTUAL_SINCE = 180000

_AX = LockMode.ACCESS_EXCLUSIVE


class NotGenerated(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is not generated',
            fix="name a generated column, or plan another change",
        )


class ExpressionNotKnown(Refused):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'how "{column}" of "{target.table.plain}" is computed is not known',
            why="the way back has to make the column again",
            fix="give --database-url, so that facts come from the database",
        )


class NoVirtualColumns(Refused):
    def __init__(self, version: int | None) -> None:
        server = "of a version that is not known" if version is None else f"PostgreSQL {version // 10000}"
        super().__init__(
            f"the server is {server}, and columns that are computed on reading came with PostgreSQL 18",
            why="before, GENERATED means STORED, and adding such a column writes each row anew",
            fix="leave out --virtual, or give --database-url of a server of that version",
        )


def generated_column(target: Target, name: str) -> tuple[TargetColumn, str]:
    """The column and the expression that computes it.

    Raises:
        UnknownColumn, NotGenerated, ExpressionNotKnown.
    """
    column = known_column(target, name)
    if not column.generated:
        raise NotGenerated(target, name)
    if column.generation is None:
        raise ExpressionNotKnown(target, name)
    return column, column.generation


def read_generation(target: Target, name: str, text: str) -> Expression:
    """An expression that may compute a column.

    Raises:
        BadExpression: it does not fit the table, or reads a generated column.
        NotTheSameForAll: another moment or session gives another value.
    """
    option = "the expression"
    read = read_expression(option, text, target, column=name)
    refuse_unstable(option, text, read)
    for column in read.columns:
        known = target.column(column)
        if known is not None and known.generated:
            raise BadExpression(option, text, f'it reads "{column}", which is generated itself')
    if not read.columns:
        raise BadExpression(option, text, "it reads no column, so a default would do")
    return read


@dataclass(frozen=True, slots=True)
class Computed:
    """A plain column that a trigger computes on every write, for good.

    Args:
        column: as it is once it is plain.
        expression: over the row's other columns.
    """

    change: Change
    target: Target
    column: TargetColumn
    expression: str

    @property
    def place(self) -> str:
        """In words."""
        return f"{self.target.table.plain}.{self.column.name}"

    # -- the trigger ----------------------------------------------------------------------------------------
    def create_function(self) -> Statement:
        sql = sync.computed_function(self._function, self.target.table, self.column.name, self.expression)
        return sync.create_function(sql)

    def arm(self) -> Iterable[Statement]:
        return sync.create_trigger(self.target.table, self._trigger, self._function)

    def disarmed(self, statements: Iterable[Statement]) -> tuple[Statement, ...]:
        """`statements` where no trigger computes the column any more."""
        return (
            sync.drop_trigger(self.target.table, self._trigger),
            *statements,
            sync.drop_function(self._function),
        )

    @property
    def _function(self) -> QualifiedName:
        return function_name(self.change.id)

    @property
    def _trigger(self) -> str:
        return trigger_name(self.change.id)

    @property
    def _armed(self) -> TriggerArmed:
        return TriggerArmed(self.target.table, self._trigger)

    # -- the rows -------------------------------------------------------------------------------------------
    @property
    def _right(self) -> NoRows:
        column = self.column
        exact = sync.is_exact(column.type, collation=column.collation, enum=column.enum)
        differs = sync.differs(quote(column.name), f"CAST({self.expression} AS {column.type})", exact=exact)
        return NoRows(self.target.table, differs, f"{column.name} is not what its expression gives")

    @property
    def _spec(self) -> Spec:
        return Spec(
            self.change.id,
            self.target.table,
            ((self.column.name, self.expression),),
            where=self._right.predicate,
            key=self.target.other_key,
            mismatch=self._right.predicate,
        )

    # -- phases ---------------------------------------------------------------------------------------------
    def filled(self, summary: str, go_back: str) -> tuple[Phase, Phase]:
        """Backfill and validate; summary and way back of the first."""
        right = f"{self.place} is right in every row"
        return (
            Phase(
                "backfill",
                summary,
                gates=(self._armed, NoOlderTransaction(self.target.table, self._trigger)),
                backfills=(self._spec,),
                instructions=(f"Run: evolve backfill run {self.change.id}",),
                go_back=go_back,
            ),
            Phase(
                "validate",
                right,
                (Part(right, (), (), fills=(self._spec,)),),
                gates=(self._armed, BackfillDone(self.change.id), self._right),
                go_back="downgrade the validate revision: nothing changes",
            ),
        )

    def switch(self, summary: str, deploy: str) -> Phase:
        return Phase(
            "switch",
            summary,
            gates=(self._armed, self._right),
            instructions=(deploy,),
            go_back="deploy the old code again",
        )


def generate_again(target: Target, column: TargetColumn, expression: str) -> Iterator[Statement]:
    """The column as it was, with all that hangs on it; a plain one cannot become generated, so it is dropped first."""
    table = f"ALTER TABLE {target.table}\n    "
    name = quote(column.name)
    held = "under the lock that is held anyway"
    collation = f" COLLATE {column.collation}" if column.collation else ""
    yield Statement(
        f"{table}DROP COLUMN {name}",
        _AX,
        "a plain column cannot become a generated one, so it is made again from what the others hold",
    )
    yield Statement(
        f"{table}ADD COLUMN {name} {column.type}{collation} GENERATED ALWAYS AS ({expression}) STORED"
        + (" NOT NULL" if column.not_null else ""),
        _AX,
        "it writes each row anew while nobody reads or writes the table: go back on a small table or in a "
        "maintenance window",
    )
    for index in target.indexes_on(column.name):
        if index.constraint is None:
            yield Statement(index.definition, LockMode.SHARE, held)
    for constraint in target.constraints_on(column.name):
        yield Statement(f"{table}ADD CONSTRAINT {quote(constraint.name)} {constraint.definition}", _AX, held)
    yield from comment_and_grants(target, column.name, column.name)
