"""The cached-plan break: which prepared statements a plan's own statements make fail, when, and what helps.

A server keeps the result type of a prepared statement: names, types and order of its columns. Where that would become
another one, each run fails with "cached plan must not change result type". Drivers prepare by themselves: psycopg 3
what it has sent five times, asyncpg everything. In a transaction the statement fails once on every pooled connection,
since the rollback makes psycopg forget it; in autocommit mode it goes on failing until the connection is closed.

Two kinds of statement are told apart. `SELECT *` and `RETURNING *` break with every column that comes, goes or gets
another name. A statement that names its columns, as an ORM's does, breaks only where one of them gets another type, be
it by another column that takes its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from evolve.plan.expressions import BadType, read_type
from evolve.plan.facts import Facts, ViewFacts
from evolve.plan.kept_facts import KeptFacts, Remembering
from evolve.plan.model import Part, PhaseName, Plan, Word
from evolve.plan.target import Target
from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    AddColumn,
    AlterColumnType,
    CreateTable,
    CreateView,
    DropColumn,
    DropTable,
    DropView,
    MoveToSchema,
    Operation,
    RenameColumn,
    RenameTable,
    RenameView,
)
from evolve.sql.parse import parse

ERROR = "cached plan must not change result type"
POOLS_RECYCLED = "pools-recycled"

Columns = Mapping[str, str]  # name → type, in order


@dataclass(frozen=True, slots=True)
class Break:
    """What a phase does to prepared statements on one relation.

    Args:
        retyped: columns whose type is another one afterwards: every statement that gives them back breaks. Empty:
            only SELECT * and RETURNING * do.
    """

    phase: PhaseName
    relation: QualifiedName
    retyped: tuple[str, ...] = ()


def recycled(relation: QualifiedName) -> Word:
    """A gate for the phase behind one that breaks statements which name their columns."""
    return Word(
        POOLS_RECYCLED,
        f"every connection that was open when {relation.plain} changed its types has been replaced",
    )


def breaks(plan: Plan, facts: Facts) -> tuple[Break, ...]:
    """The breaks of `plan`, in the order of its phases, on relations that were there before it began.

    Of the facts only those that have been asked for are looked at.
    """
    walk = _Walk(_known(facts))
    found: dict[Break, None] = {}
    for phase in plan.phases:
        for part in phase.parts:
            for relation, retyped in walk.part(part):
                found[Break(phase.name, relation, retyped)] = None
    return tuple(found)


def with_notes(plan: Plan, facts: Facts) -> Plan:
    """`plan` with a note on each kind of statement that it breaks, unless it tells of that kind by itself."""
    told = [note for note in plan.notes if ERROR in note]
    found = breaks(plan, facts)
    notes: list[str] = []
    if not any("SELECT *" in note for note in told):
        notes += _star_notes(found)
    if not any("SELECT *" not in note for note in told):
        notes += _retyped_notes(found)
    return replace(plan, notes=(*notes, *plan.notes)) if notes else plan


# -- words --------------------------------------------------------------------------------------------------
def _star_notes(found: tuple[Break, ...]) -> Iterator[str]:
    # One that breaks every statement breaks these too, and its own note says so.
    for relations, phases in _gathered(found, retyped=False).items():
        yield (
            f'Clients that prepared SELECT * or RETURNING * on {relations} fail with "{ERROR}" after {phases}, in '
            "autocommit mode until they connect anew: recycle their connections then. SQLAlchemy names its columns and "
            "is not concerned."
        )


def _retyped_notes(found: tuple[Break, ...]) -> Iterator[str]:
    for columns, phases in _gathered(found, retyped=True).items():
        yield (
            f'Every prepared statement that gives back {columns}, an ORM\'s too, fails with "{ERROR}" after {phases}: '
            "in a transaction once per connection, in autocommit mode until it connects anew. Recycle the connection "
            "pools of all clients right after that revision."
        )


def _gathered(found: tuple[Break, ...], *, retyped: bool) -> dict[str, str]:
    """What breaks → the phases in which it does, in words."""
    phases: dict[str, dict[str, None]] = {}
    for each in found:
        if bool(each.retyped) is retyped:
            names = [f"{each.relation.plain}.{column}" for column in each.retyped] or [each.relation.plain]
            phases.setdefault(_listed(names), {})[each.phase] = None
    by_phases: dict[str, list[str]] = {}
    for what, when in phases.items():
        by_phases.setdefault(_listed(list(when)), []).append(what)
    return {_listed(what): when for when, what in by_phases.items()}


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# -- relations, statement by statement ----------------------------------------------------------------------
def _known(facts: Facts) -> dict[QualifiedName, Columns]:
    kept = facts.kept if isinstance(facts, Remembering) else facts
    answers = kept.answers if isinstance(kept, KeptFacts) else {}
    found: dict[QualifiedName, Columns] = {}
    for (_, name), answer in answers.items():
        match answer:
            case Target():
                found[name] = {column.name: column.type for column in answer.columns}
            case ViewFacts():
                found[name] = dict.fromkeys((column for column, _ in answer.columns), _OF_VIEW)
            case _:
                pass
    return found


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return read_type(one).type == read_type(other).type
    except BadType:
        return False


# Whether a view's column keeps its type is not told by its text; that of its table is noted for the table.
_OF_VIEW = "?"


class _Walk:
    """Relations by name, as far as they have been heard of; a type that nobody told is one of its own."""

    def __init__(self, known: Mapping[QualifiedName, Columns]) -> None:
        self._now: dict[QualifiedName, dict[str, str]] = {
            name: dict(columns) for name, columns in known.items()
        }
        # Those that clients can have prepared something on: not what the plan has made itself.
        self._public = set(known)
        self._before: dict[QualifiedName, dict[str, str]] = {}

    def part(self, part: Part) -> Iterator[tuple[QualifiedName, tuple[str, ...]]]:
        """Relations whose result type is another one when the part is over, and their retyped columns."""
        self._before = {name: dict(columns) for name, columns in self._now.items()}
        for statement in part.statements:
            for operation in parse(statement.sql):
                self._apply(operation)
        for name in sorted(self._public):
            before, now = self._before.get(name), self._now.get(name)
            if before is None or now is None:
                continue  # what is gone breaks otherwise
            retyped = tuple(
                column for column in before if column in now and not _same(before[column], now[column])
            )
            if retyped or list(before) != list(now):
                yield name, retyped

    def _apply(self, operation: Operation) -> None:
        match operation:
            case AddColumn(table, column):
                self._table(table)[column.name] = column.type
            case DropColumn(table, column):
                self._column(table, column)
                del self._now[table][column]
            case RenameColumn(table, column, to):
                self._column(table, column)
                columns = self._now[table].items()
                self._now[table] = {to if name == column else name: type_ for name, type_ in columns}
            case AlterColumnType(table, column, type_):
                self._column(table, column)
                self._now[table][column] = type_
            case CreateTable(table, columns):
                self._now[table] = {column.name: column.type for column in columns}
            case CreateView(view):
                # Its text may tell its columns; their types are taken to be those of what it takes the place of.
                before = self._before.get(view, {})
                names = operation.columns if operation.columns is not None else tuple(before)
                self._now[view] = {name: before.get(name, _OF_VIEW) for name in names}
            case DropTable(name) | DropView(name):
                self._now.pop(name, None)
            case RenameTable(name, to) | RenameView(name, to):
                self._move(name, QualifiedName(to, name.schema))
            case MoveToSchema(_, name, schema):
                self._move(name, QualifiedName(name.name, schema))
            case _:
                pass

    def _table(self, name: QualifiedName) -> dict[str, str]:
        if name not in self._now:
            self._now[name], self._before[name] = {}, {}
            self._public.add(name)
        return self._now[name]

    def _column(self, table: QualifiedName, column: str) -> None:
        """Hear of a column that was there all the time."""
        if column not in self._table(table):
            self._now[table][column] = f"? {table.plain}.{column}"
            self._before.setdefault(table, {})[column] = self._now[table][column]

    def _move(self, name: QualifiedName, to: QualifiedName) -> None:
        if name in self._now:
            self._now[to] = self._now.pop(name)
