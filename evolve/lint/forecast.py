"""What each statement of pending revisions will do to a live database: locks, work, time, needed privileges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from evolve.lint.advance import advance, enter, open_revision
from evolve.lint.engine import steps_of
from evolve.lint.facts import Facts
from evolve.lint.history import History
from evolve.lint.predicted import predicted
from evolve.lint.sizes import Work, leaves, seconds_of, work_of
from evolve.lint.thresholds import Thresholds
from evolve.lint.undo import Undo
from evolve.sql import operations as op
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName
from evolve.sql.privileges import Privilege, privileges
from evolve.sql.schema import Schema
from evolve.sql.steps import CapturedStatement, Place, Recording, Step
from evolve.values import dataclass

_TUPLE = 24  # bytes that an entry of an index takes at least, its line pointer counted


@dataclass(frozen=True, slots=True)
class Forecast:
    """One statement, on the tables that are there before the revisions.

    Args:
        locks: table → strongest lock; ACCESS SHARE and ROW SHARE are left out.
        rewrites: written anew, with all their indexes.
        builds: an index is built on them.
        seconds: that its work takes; None where that depends on rows, or on code that was not read.
        held: seconds from its begin to the end of its transaction, all that time others wait for its locks; None as
            with `seconds`, of any statement up to there.
        bytes: of files that it makes, while the old ones are still there.
        lasting: of these, what is left when its transaction has ended.
        concurrently: it waits for all older transactions of the database, and nobody waits for it.
        opaque: it may do more than is told here.
    """

    revision: str
    place: Place
    sql: str
    transaction: int | None
    locks: Mapping[QualifiedName, LockMode] = field(default_factory=dict)
    scans: tuple[QualifiedName, ...] = ()
    rewrites: tuple[QualifiedName, ...] = ()
    builds: tuple[QualifiedName, ...] = ()
    seconds: float | None = 0.0
    held: float | None = 0.0
    bytes: int = 0
    lasting: int = 0
    needs: tuple[Privilege, ...] = ()
    concurrently: bool = False
    opaque: bool = False

    @property
    def blocking(self) -> dict[QualifiedName, LockMode]:
        """Those of its locks that readers or writers wait for."""
        return {name: mode for name, mode in self.locks.items() if mode.blocks_writes}

    @property
    def worked_on(self) -> frozenset[QualifiedName]:
        return frozenset((*self.scans, *self.rewrites, *self.builds))


def forecast(
    recordings: Sequence[Recording],
    schema: Schema,
    facts: Facts,
    thresholds: Thresholds,
    role: str | None = None,
) -> tuple[Forecast, ...]:
    """Look ahead, statement by statement, in the order of `recordings`.

    Args:
        recordings: of pending revisions; each is run in a transaction of its own, whatever env.py says of it.
        schema: of the live database; it is changed to the one after the last of them.
        facts: of the same.
        role: that env.py switches to; None is whoever connects.
    """
    history = History(schema, facts.server_version, facts=facts, thresholds=thresholds)
    found: list[Forecast] = []
    for recording in recordings:
        found += _held(list(_of_revision(recording, history, role)))
    return tuple(found)


def _of_revision(recording: Recording, history: History, role: str | None) -> Iterable[Forecast]:
    read = list(steps_of(recording, history.schema))
    open_revision(history, recording, [step for step, _ in read])
    undo = Undo(history)
    told: dict[int, Forecast] = {}
    begun_as = role
    for step, together in read:
        undo.enter(step)
        enter(history, step, together)
        key = id(step.statement)
        told[key] = _joined(told.get(key) or _blank(step), _of_step(step, history, role))
        match step.operation:
            case op.SetParameter(name=name, value=to) if name.lower() in (
                "role",
                "session_authorization",
                "all",
            ):
                role = to if to is not None and to.lower() != "none" else begun_as
            case _:
                pass
        advance(history, step)
    undo.enter(None)
    return told.values()


def _blank(step: Step) -> Forecast:
    statement: CapturedStatement = step.statement
    return Forecast(step.revision, statement.place, statement.sql, statement.transaction)


def _of_step(step: Step, history: History, role: str | None) -> Forecast:
    """`history` stands just before `step`."""
    facts, sizes = history.facts, history.thresholds
    assert facts is not None  # noqa: S101  # `forecast` gives them
    effect = predicted(step, history)
    schema = history.schema

    def there(names: Iterable[QualifiedName]) -> frozenset[QualifiedName]:
        return frozenset(name for name in names if name in facts.relations and history.in_use(name))

    work = work_of(step, history)
    scans, rewrites, builds = there(effect.scans), there(effect.rewrites), there(work.indexes)
    opaque = effect.opaque
    lasting = _index_bytes(builds, facts)
    seconds: float | None = seconds_of(Work(frozenset(), rewrites, scans, builds), facts, sizes)
    match step.operation:
        case op.Update(table=table, where=False) | op.Delete(table=table, where=False) if there([table]):
            # Each row is written once more, in the table itself.
            seconds = seconds_of(Work(rewrites=there([table])), facts, sizes)
            lasting += _bytes(there([table]), facts) if isinstance(step.operation, op.Update) else 0
        case op.Update(table=table) | op.Delete(table=table) if there([table]):
            seconds = None
        case op.Insert(from_query=True, sources=sources) if there(sources):
            seconds = None
        case op.Query(reads=reads) if there(reads):
            seconds = None
        case _:
            pass
    rebuilt = sum(
        index.bytes
        for relation in facts.relations.values()
        for index in relation.indexes
        if index.name in effect.rebuilds
    )
    return Forecast(
        step.revision,
        step.place,
        step.sql,
        step.transaction,
        locks={
            name: mode
            for name, mode in effect.locks.items()
            if mode >= LockMode.ROW_EXCLUSIVE and there([name])
        },
        scans=tuple(sorted(scans)),
        rewrites=tuple(sorted(rewrites)),
        builds=tuple(sorted(builds)),
        seconds=None if opaque else seconds,
        bytes=_bytes(rewrites, facts) + rebuilt + lasting,
        lasting=lasting,
        needs=tuple(privileges(step.operation, schema, role)),
        concurrently=_waits_for_snapshots(step.operation),
        opaque=opaque,
    )


def _joined(one: Forecast, other: Forecast) -> Forecast:
    """Of two clauses of a statement; what both work on is worked on once."""
    locks = dict(one.locks)
    for name, mode in other.locks.items():
        locks[name] = max(mode, locks.get(name, mode))
    same = bool(one.worked_on) and one.worked_on == other.worked_on
    unknown = one.seconds is None or other.seconds is None
    return replace(
        one,
        locks=locks,
        scans=tuple(sorted({*one.scans, *other.scans})),
        rewrites=tuple(sorted({*one.rewrites, *other.rewrites})),
        builds=tuple(sorted({*one.builds, *other.builds})),
        seconds=None
        if unknown
        else max(one.seconds or 0.0, other.seconds or 0.0)
        if same
        else (one.seconds or 0.0) + (other.seconds or 0.0),
        bytes=max(one.bytes, other.bytes) if same else one.bytes + other.bytes,
        lasting=max(one.lasting, other.lasting) if same else one.lasting + other.lasting,
        needs=tuple(dict.fromkeys((*one.needs, *other.needs))),
        concurrently=one.concurrently or other.concurrently,
        opaque=one.opaque or other.opaque,
    )


def _held(statements: list[Forecast]) -> list[Forecast]:
    """With the seconds up to the end of the transaction; in autocommit mode each ends its own."""
    found: list[Forecast] = []
    left: dict[int, float | None] = {}
    for each in reversed(statements):
        held = each.seconds
        if each.transaction is not None:
            behind = left.get(each.transaction, 0.0)
            held = None if held is None or behind is None else held + behind
            left[each.transaction] = held
        found.append(replace(each, held=held))
    return found[::-1]


def _bytes(tables: Iterable[QualifiedName], facts: Facts) -> int:
    return sum(leaf.heap_bytes + leaf.toast_bytes + leaf.index_bytes for leaf in leaves(tables, facts))


def _index_bytes(tables: Iterable[QualifiedName], facts: Facts) -> int:
    """Of one more index on each, at least as large as its largest, and of the sort before it."""
    return sum(
        2 * max([(leaf.rows or 0) * _TUPLE, *(index.bytes for index in leaf.indexes)])
        for leaf in leaves(tables, facts)
    )


def _waits_for_snapshots(operation: op.Operation) -> bool:
    match operation:
        case (
            op.CreateIndex(concurrently=concurrently)
            | op.DropIndex(concurrently=concurrently)
            | op.Reindex(concurrently=concurrently)
            | op.DetachPartition(concurrently=concurrently)
        ):
            return concurrently
        case _:
            return False
