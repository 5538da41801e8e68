"""Widen an integer key with everything that refers to it: twins beside all columns, swapped in one transaction."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from evolve.backfill.spec import Spec
from evolve.counted import counted
from evolve.errors import Misuse, Refused
from evolve.plan import index_build, sequences, sync
from evolve.plan.carry import comment_and_grants, validate_constraint
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.constraint import drop_constraint
from evolve.plan.facts import Facts, SequenceFacts
from evolve.plan.gate_sql import Conditions, gate_block
from evolve.plan.key_family import MAXIMA, WIDTHS, Member, foreign_keys, key_family
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    BackfillDone,
    ColumnNotNull,
    Gate,
    NoOlderTransaction,
    NoRows,
    Part,
    Phase,
    Plan,
    TriggerArmed,
    Validated,
    ValidIndex,
    Word,
    function_name,
    quarantine_name,
    trigger_name,
)
from evolve.plan.parameters import COLUMN, Parameter
from evolve.plan.recipe import Recipe
from evolve.plan.replayed import NeedsDatabase
from evolve.plan.target import (
    ColumnExists,
    InTheWay,
    NoKey,
    Target,
    TargetColumn,
    TargetConstraint,
    TargetIndex,
    known_column,
    refuse_later_triggers,
)
from evolve.plan.versions import Shapes
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.parse import rename_in_definition, retarget_foreign_key
from evolve.sql.statements import Statement

_AX = LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class WidenKey(Change):
    """Give a key a wider integer type, and with it every column that refers to it."""

    kind: ClassVar[str] = "widen-key"
    column: str
    to: Literal["bigint", "integer"] = "bigint"

    def words(self) -> Sequence[str]:
        return ["widen", *table_words(self.table), self.column, "to", self.to]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column, _twin(self.column))))


class NotAKey(Misuse):
    def __init__(self, target: Target, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is not part of the primary key',
            fix="name the column that others refer to; for other columns see: evolve plan list",
        )


class WideEnough(Misuse):
    def __init__(self, target: Target, column: TargetColumn, to: str) -> None:
        super().__init__(
            f'column "{column.name}" of "{target.table.plain}" is {column.type}',
            why=f"only a smallint or integer column narrower than {to} becomes wider",
            fix="there is nothing to do"
            if column.type in WIDTHS
            else "for other types see: evolve plan list",
        )


class RefersItself(Refused):
    def __init__(self, target: Target, column: str, constraint: str, referred: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" itself refers to "{referred}" ({constraint})',
            why="its values come from there, so it needs no wider type before that key has one",
            fix=f"widen that one; this column goes with it: evolve plan widen-key {referred}",
        )


class Family(Refused):
    """A partitioned table, a partition, or inheritance."""

    def __init__(self, target: Target, what: str, *, referring: bool) -> None:
        super().__init__(
            f'table "{target.table.plain}" {what}',
            why="a column added to one table of such a family must reach the others in the same statement, and a "
            "foreign key of a partitioned table cannot be added NOT VALID before PostgreSQL 18",
            fix="drop its foreign key in a revision before; the column can be widened by itself then, partition by "
            "partition"
            if referring
            else "make a table with the wider key, partitioned alike, and move the rows to it",
        )


class DeferrableKey(Refused):
    def __init__(self, target: Target, constraint: str) -> None:
        super().__init__(
            f'the primary key "{constraint}" of "{target.table.plain}" is deferrable',
            why="its twin is a plain unique index until the swap, which would refuse what is right at COMMIT only",
            fix="make the primary key one that is not deferrable in a revision before",
        )


def _twin(name: str) -> str:
    """Of a column, index or constraint, until it takes the place of the first."""
    return shorten("_evolve", name)


def _rebuilt(name: str) -> str:
    """Of an old index that is built again on the way back."""
    return shorten("_evolve_old", name)


def plan(change: WidenKey, facts: Facts) -> Plan:
    """The phases.

    Raises:
        Misuse: the column is unknown, no key, or wide enough.
        Refused: something about one of the tables stands in the way.
    """
    if facts.source == "revisions":
        raise NeedsDatabase("a key with all that refers to it", change.table)
    target = facts.table(change.table)
    column = known_column(target, change.column)
    _refuse_family(target, referring=False)
    if column.type not in WIDTHS or WIDTHS.index(column.type) >= WIDTHS.index(change.to):
        raise WideEnough(target, column, change.to)
    if not any(c.kind == "primary key" for c in target.constraints_on(change.column)):
        raise NotAKey(target, change.column)
    for constraint, key in foreign_keys(facts, target):
        if change.column in key.columns:
            name = key.target_columns[key.columns.index(change.column)]
            referred = facts.table(key.target).column(name)
            if referred is None or referred.type != change.to:
                raise RefersItself(target, change.column, constraint.name, f"{key.target}.{quote(name)}")
    members = key_family(facts, change.table, change.column, change.to)
    return _Recipe(change, facts, members).plan()


def _refuse_family(target: Target, *, referring: bool) -> None:
    if target.partitioned:
        raise Family(target, "is partitioned", referring=referring)
    if target.partition_of is not None:
        raise Family(target, f'is a partition of "{target.partition_of}"', referring=referring)
    if target.inherits:
        raise Family(target, "takes part in inheritance", referring=referring)


class _Column:
    """One column that becomes wider."""

    def __init__(self, change: WidenKey, target: Target, column: TargetColumn, facts: Facts) -> None:
        self.table = target.table
        self.known = column
        self.name = column.name
        first = (target.table, column.name) == (change.table, change.column)
        # The trigger of the key is named like the change, those of other columns tell theirs.
        own = change.id if first else "_".join([change.id, *table_words(target.table), column.name])
        self.trigger = trigger_name(own)
        self.function = function_name(own)
        self.kept = quarantine_name(own)
        self.twin = _twin(column.name)
        self.check = shorten("evolve", target.table.name, column.name, "not_null")
        self.volatile = column.default is not None and not column.default_constant
        self.wide = change.to
        self.range = f"BETWEEN {-MAXIMA[column.type] - 1} AND {MAXIMA[column.type]}"
        self.sequence: SequenceFacts | None = facts.sequence(column.sequence) if column.sequence else None

    @property
    def alter(self) -> str:
        return f"ALTER TABLE {self.table}\n    "

    @property
    def differs(self) -> str:
        return f"{quote(self.twin)} IS DISTINCT FROM {quote(self.name)}"

    def two_way(self) -> str:
        default = None if self.volatile else self.known.default
        old = sync.Side(self.name, self.known.type, True, default, volatile=self.volatile)
        new = sync.Side(self.twin, self.wide, True, default)
        return sync.two_way_function(self.function, self.table, old, new)

    def keep(self) -> str:
        """What the trigger does after the swap: the old column gets what fits it."""
        return sync.copy_function(self.function, self.table, self.name, self.kept, only=self.range)

    @property
    def strays(self) -> str:
        """True of a row whose old column, after the swap, is not what the trigger keeps there."""
        name = quote(self.name)
        return f"{quote(self.kept)} IS DISTINCT FROM CASE WHEN {name} {self.range} THEN {name} END"


class _Table:
    """One table, and what of it is concerned.

    Args:
        twins: (table, column) → the twin, of all columns that become wider.
        backfill: names the one that fills its twins.
    """

    def __init__(
        self,
        target: Target,
        columns_: Sequence[_Column],
        facts: Facts,
        twins: dict[tuple[QualifiedName, str], str],
        backfill: str,
    ) -> None:
        self.target = target
        self.table = target.table
        self.columns = tuple(columns_)
        self.backfill = backfill
        own = {column.name for column in columns_}
        referred = {
            constraint.name: key.target
            for constraint, key in foreign_keys(facts, target)
            if own.intersection(key.columns)
            or any((key.target, name) in twins for name in key.target_columns)
        }
        self.referred = referred
        self.constraints = tuple(
            c for c in target.constraints if own.intersection(c.columns) or c.name in referred
        )
        self.foreign_keys = tuple(c for c in self.constraints if c.kind == "foreign key")
        self.checks = tuple(c for c in self.constraints if c.kind == "check")
        self.uniques = tuple(c for c in self.constraints if c.kind == "unique")
        self.primary = next((c for c in self.constraints if c.kind == "primary key"), None)
        self.indexes = tuple(i for i in target.indexes if own.intersection(i.columns))
        self._twins = twins

    # -- definitions ----------------------------------------------------------------------------------------
    def _renamed(self, sql: str, names: dict[str, str], name: str) -> str:
        for column, to in names.items():
            sql = rename_in_definition(sql, column, to)
        return rename_in_definition(sql, "", "", name=name)

    def constraint_on_twins(self, constraint: TargetConstraint) -> str:
        definition = constraint.definition.removesuffix(" NOT VALID")
        sql = f"ALTER TABLE {self.table} ADD CONSTRAINT x {definition} NOT VALID"
        sql = self._renamed(sql, {c.name: c.twin for c in self.columns}, _twin(constraint.name))
        referred = self.referred.get(constraint.name)
        if referred is not None:
            sql = retarget_foreign_key(
                sql, {name: twin for (table, name), twin in self._twins.items() if table == referred}
            )
        return _in_lines(sql)

    def constraint_again(self, constraint: TargetConstraint) -> str:
        definition = constraint.definition.removesuffix(" NOT VALID")
        return f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {quote(constraint.name)} {definition} NOT VALID"

    def index_on(self, index: TargetIndex, names: dict[str, str], name: str) -> str:
        sql = self._renamed(index.definition, names, name)
        if not re.match(r"CREATE (UNIQUE )?INDEX CONCURRENTLY ", sql):
            sql = re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", sql)
        return _in_lines(sql)

    def in_schema(self, name: str) -> QualifiedName:
        return QualifiedName(name, self.table.schema)

    # -- gates ----------------------------------------------------------------------------------------------
    @property
    def armed(self) -> tuple[TriggerArmed, ...]:
        return tuple(TriggerArmed(self.table, column.trigger) for column in self.columns)

    @property
    def differs(self) -> str:
        return " OR ".join(column.differs for column in self.columns)

    @property
    def equal(self) -> NoRows:
        """What is so until the swap; the table has columns."""
        names = " or ".join(column.name for column in self.columns)
        return NoRows(self.table, self.differs, f"the wider twin of {names} differs", self.backfill)

    @property
    def kept(self) -> NoRows:
        """What is behind the swap; the table has columns."""
        names = " or ".join(column.name for column in self.columns)
        return NoRows(
            self.table,
            " OR ".join(column.strays for column in self.columns),
            f"{names} differs from what is kept of it",
        )

    @property
    def proofs(self) -> Iterator[Gate]:
        for constraint in (*self.checks, *self.foreign_keys):
            if constraint.validated:
                yield Validated(self.table, _twin(constraint.name))
        for index in self.indexes:
            yield ValidIndex(self.in_schema(_twin(index.name)))
        for column in self.columns:
            if column.known.not_null:
                yield ColumnNotNull(self.table, column.twin)


def _in_lines(sql: str) -> str:
    sql = sql.replace(" ADD CONSTRAINT ", "\n    ADD CONSTRAINT ", 1)
    return re.sub(r" (ON \S+ USING |WHERE )", r"\n    \1", sql) if len(sql) > 70 else sql


class _Recipe:
    def __init__(self, change: WidenKey, facts: Facts, members: Sequence[Member]) -> None:
        self.change = change
        self.facts = facts
        self.id = change.id
        self.name = f"{change.table.plain}.{change.column}"
        known = {
            member.table: tuple(
                _Column(change, member.target, known_column(member.target, name), facts)
                for name in member.columns
            )
            for member in members
        }
        twins = {(table, column.name): column.twin for table, found in known.items() for column in found}
        # Tables that refer with a column which is wide enough are concerned by their foreign key alone.
        names = dict.fromkeys([*known, *(other for m in members for other in m.target.referenced_by)])
        tables = [
            _Table(facts.table(name), known.get(name, ()), facts, twins, self.backfill_of(name))
            for name in names
        ]
        self.tables = tuple(table for table in tables if table.columns or table.foreign_keys)
        self.widened = tuple(table for table in self.tables if table.columns)
        self.columns = tuple(column for table in self.widened for column in table.columns)
        self.key = self.columns[0]
        for table in self.tables:
            self.refuse(table)

    def plan(self) -> Plan:
        phases = (
            self.expand(),
            self.backfill(),
            self.validate(),
            self.switch(),
            self.contract(),
            self.purge(),
        )
        also = Uses(
            frozenset().union(*(columns(c.table, (c.name, c.twin, c.kept)) for c in self.columns)),
        )
        return Plan(self.id, self.change, phases, self.notes(), also=also)

    # -- refusals -------------------------------------------------------------------------------------------
    def refuse(self, table: _Table) -> None:
        target = table.target
        _refuse_family(target, referring=table.table != self.change.table)
        if not table.columns:
            return
        if not target.key:
            raise NoKey(target)
        primary = table.primary
        if primary is not None and "DEFERRABLE" in primary.definition:
            raise DeferrableKey(target, primary.name)
        for column in table.columns:
            if target.column(column.twin) is not None:
                raise ColumnExists(target, column.twin)
            refuse_later_triggers(target, column.trigger)
            for dependent in target.dependents_of(column.name):
                if dependent.kind in ("inbound foreign key", "trigger function") or (
                    dependent.kind == "sequence" and column.sequence is not None
                ):
                    continue  # moved with it, or in the notes
                raise InTheWay(
                    target,
                    column.name,
                    dependent.description,
                    "it would stay with the old column at the swap, and block its removal",
                    "drop it in a revision before, and make it again when the change is over",
                )
        for constraint in table.constraints:
            if constraint.kind == "exclude":
                raise InTheWay(
                    target,
                    constraint.columns[0],
                    f'the exclusion constraint "{constraint.name}"',
                    "PostgreSQL cannot build such a constraint without blocking writes",
                    "drop it in a revision before, if the application can do without it",
                )

    def backfill_of(self, table: QualifiedName) -> str:
        return self.id if table == self.change.table else "_".join([self.id, *table_words(table)])

    # -- backfills and gates --------------------------------------------------------------------------------
    def spec(self, table: _Table) -> Spec:
        return Spec(
            table.backfill,
            table.table,
            tuple((column.twin, quote(column.name)) for column in table.columns),
            where=table.differs,
            key=table.target.other_key,
            mismatch=table.differs,
        )

    @property
    def specs(self) -> tuple[Spec, ...]:
        return tuple(self.spec(table) for table in self.widened)

    @property
    def armed(self) -> tuple[TriggerArmed, ...]:
        return tuple(gate for table in self.widened for gate in table.armed)

    @property
    def equal(self) -> tuple[NoRows, ...]:
        return tuple(table.equal for table in self.widened)

    # -- phases ---------------------------------------------------------------------------------------------
    def expand(self) -> Phase:
        return Phase(
            "expand",
            f"beside {self.name} and each column that refers to it is a twin of type {self.change.to}, and triggers "
            "keep them equal on every write",
            tuple(self._expand(table) for table in self.widened),
            instructions=("Code that runs now goes on as it is; nothing reads or writes the twins.",),
            go_back="downgrade the expand revisions: triggers, functions and twins go",
        )

    def _expand(self, table: _Table) -> Part:
        statements = [sync.create_schema()]
        undo: list[Statement] = []
        for column in table.columns:
            statements += [
                sync.create_function(column.two_way()),
                Statement(
                    f"{column.alter}ADD COLUMN {quote(column.twin)} {self.change.to}",
                    _AX,
                    "a nullable column without a default changes only the catalog; no row is read or written",
                ),
            ]
            if column.known.default is not None and not column.volatile:
                statements.append(
                    Statement(
                        f"{column.alter}ALTER COLUMN {quote(column.twin)} SET DEFAULT {column.known.default}",
                        _AX,
                        "catalog only; set apart from ADD COLUMN, so that rows which exist stay null until they are "
                        "backfilled",
                    )
                )
            statements += sync.create_trigger(column.table, column.trigger, column.function)
            if column.known.not_null:
                statements.append(
                    Statement(
                        f"{column.alter}ADD CONSTRAINT {quote(column.check)} "
                        f"CHECK ({quote(column.twin)} IS NOT NULL) NOT VALID",
                        _AX,
                        "NOT VALID reads no row; the trigger is there already, so no writer can break it",
                    )
                )
            statements += comment_and_grants(table.target, column.name, column.twin)
            undo += [
                sync.drop_trigger(column.table, column.trigger),
                Statement(
                    f"{column.alter}DROP COLUMN {quote(column.twin)}",
                    _AX,
                    "catalog only; the column itself holds every value",
                ),
                sync.drop_function(column.function),
            ]
        for check in table.checks:
            statements.append(
                Statement(
                    table.constraint_on_twins(check),
                    _AX,
                    f'the same rule as "{check.name}"; NOT VALID, so no row is read now',
                )
            )
        names = ", ".join(column.name for column in table.columns)
        return Part(
            f"a twin of type {self.change.to} for {table.table.plain}.{names}", tuple(statements), tuple(undo)
        )

    def backfill(self) -> Phase:
        return Phase(
            "backfill",
            "each twin equals its column in every row",
            gates=(
                *self.armed,
                *(NoOlderTransaction(column.table, column.trigger) for column in self.columns),
            ),
            backfills=self.specs,
            instructions=tuple(f"Run: evolve backfill run {spec.name}" for spec in self.specs),
            go_back="stop the backfill; rows filled so far do no harm",
        )

    def validate(self) -> Phase:
        parts = [self._build(table) for table in self.tables]
        parts += [self._prove(table) for table in self.tables]
        return Phase(
            "validate",
            "the twins have the same indexes and constraints as their columns, all of them valid",
            tuple(part for part in parts if part.statements or part.fills),
            gates=(*self.armed, *(BackfillDone(spec.name) for spec in self.specs), *self.equal),
            go_back="downgrade the validate revisions: the indexes and constraints of the twins go",
        )

    def _build(self, table: _Table) -> Part:
        """Indexes, and the constraints that need them; those of tables that are referred to come first."""
        statements: list[Statement] = []
        undo: list[Statement] = []
        names = {column.name: column.twin for column in table.columns}
        for index in table.indexes:
            name = table.in_schema(_twin(index.name))
            statements += index_build.build(
                name,
                table.index_on(index, names, _twin(index.name)),
                f'reads and writes go on while the twin of "{index.name}" is built',
            )
            undo.append(index_build.drop(name))
        for unique in table.uniques:
            statements.append(
                _use_index(table, _twin(unique.name), "UNIQUE", _twin(unique.name), _deferrable(unique))
            )
            undo.insert(0, drop_constraint(table.table, _twin(unique.name)))
        for key in table.foreign_keys:
            statements.append(
                Statement(
                    table.constraint_on_twins(key),
                    LockMode.SHARE_ROW_EXCLUSIVE,
                    f'what "{key.name}" asks for, indexed as that is; it blocks writes of both tables for an '
                    "instant; NOT VALID, so no row is read now",
                    allow=_AS_IT_IS,
                )
            )
            undo.insert(
                0,
                drop_constraint(
                    table.table, _twin(key.name), "catalog only, but of both tables, for an instant"
                ),
            )
        fills = (self.spec(table),) if table.columns else ()
        return Part(
            f"indexes and keys of the twins in {table.table.plain}",
            tuple(statements),
            tuple(undo),
            fills=fills,
        )

    def _prove(self, table: _Table) -> Part:
        statements: list[Statement] = []
        undo: list[Statement] = []
        not_null = [column for column in table.columns if column.known.not_null]
        statements += [validate_constraint(table.table, column.check) for column in not_null]
        statements += [
            validate_constraint(table.table, _twin(constraint.name))
            for constraint in (*table.checks, *table.foreign_keys)
            if constraint.validated
        ]
        for column in not_null:
            statements += [
                Statement(
                    f"{column.alter}ALTER COLUMN {quote(column.twin)} SET NOT NULL",
                    _AX,
                    "the validated check proves it, so no row is read",
                ),
                drop_constraint(
                    table.table,
                    column.check,
                    "catalog only; a statement of its own, since together with SET NOT NULL the table would be scanned",
                ),
            ]
            undo += [
                Statement(
                    f"{column.alter}ADD CONSTRAINT {quote(column.check)} "
                    f"CHECK ({quote(column.twin)} IS NOT NULL) NOT VALID",
                    _AX,
                    "NOT VALID reads no row",
                ),
                Statement(
                    f"{column.alter}ALTER COLUMN {quote(column.twin)} DROP NOT NULL", _AX, "catalog only"
                ),
            ]
        return Part(f"what the twins in {table.table.plain} promise", tuple(statements), tuple(undo))

    def switch(self) -> Phase:
        return Phase(
            "switch",
            f"all code takes values of type {self.change.to}",
            gates=(*self.armed, *(proof for table in self.tables for proof in table.proofs), *self.equal),
            instructions=(
                f"Deploy code that holds {self.name}, and all that refers to it, in 64 bits"
                if self.change.to == "bigint"
                else f"Deploy code that holds {self.name}, and all that refers to it, in 32 bits",
                "Models say so, too: BigInteger in SQLAlchemy; functions, jobs and other programs have variables of "
                "that width.",
                "The swap that comes next changes the type of results: be ready to replace pooled connections right "
                "after it.",
            ),
            go_back="deploy the old code again; nothing has changed for it",
        )

    def contract(self) -> Phase:
        proofs = tuple(
            validate_constraint(table.table, name)
            for table in self.tables
            for constraint in (*table.checks, *table.foreign_keys)
            if constraint.validated
            for name in (constraint.name, _twin(constraint.name))
            if name == constraint.name or constraint.kind == "foreign key"
        )
        parts = [
            Part(
                f"{self.name} trades places with its twin",
                tuple(self._swap()),
                tuple(self._swap_back()),
                (*self.armed, *self.equal),
            )
        ]
        if proofs:
            # The way back from the swap adds constraints NOT VALID under its lock; they are validated here, behind it.
            parts.insert(0, Part(f"before the swap of {self.name}", (), proofs, (*self.armed, *self.equal)))
        return Phase(
            "contract",
            f"{self.name} and all that refers to it is {self.change.to}; the old values are kept as "
            f"{self.key.kept}, as far as they fit",
            tuple(parts),
            gates=(
                Word(
                    OLD_CODE_GONE,
                    f"all code takes {self.name} as {self.change.to}, and pooled connections can be replaced right "
                    "after the swap",
                ),
                *self.armed,
                *self.equal,
            ),
            instructions=(
                'Replace pooled connections now: a statement that was prepared before fails once with "cached plan '
                'must not change result type".',
            ),
            go_back="downgrade the contract revisions: indexes of the old columns are built again CONCURRENTLY, then "
            "the columns trade places once more",
            undo_loses=f"nothing until a value passes {MAXIMA[self.key.known.type]}; from then on there is no way "
            "back, and the downgrade says so before it changes anything",
        )

    # -- the swap -------------------------------------------------------------------------------------------
    def _lock(self) -> Statement:
        # Those that refer first, the key last, as writers of them take their locks.
        names = ", ".join(str(table.table) for table in reversed(self.tables))
        return Statement(
            f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE",
            _AX,
            "all tables at once and always in this order; what follows changes catalogs alone, so the locks are held "
            "for some milliseconds",
        )

    def _swap(self) -> Iterator[Statement]:
        for table in self.tables:
            for key in table.foreign_keys:
                if key.validated:
                    yield replace(
                        validate_constraint(table.table, _twin(key.name)),
                        why="it is valid already and this takes an instant, unless the swap was taken back alone",
                    )
        yield self._lock()
        for table in self.tables:
            for key in table.foreign_keys:
                yield _hand_over(table, key)
        for table in self.tables:
            for constraint in table.constraints:
                if constraint.kind != "foreign key":
                    yield _hand_over(table, constraint)
            for index in table.indexes:
                if index.constraint is None:
                    yield Statement(
                        f"DROP INDEX {table.in_schema(index.name)}",
                        _AX,
                        "the table is locked already and the index's twin is there, so this takes an instant",
                        allow=_DROP_INDEX,
                    )
        for column in self.columns:
            yield self._rename(column.table, column.name, column.kept)
            yield self._rename(column.table, column.twin, column.name)
        for column in self.columns:
            yield from self._move_default(column, column.kept, forward=True)
            if column.known.not_null:  # which an identity must be
                yield Statement(
                    f"{column.alter}ALTER COLUMN {quote(column.kept)} DROP NOT NULL",
                    _AX,
                    "catalog only; what does not fit the old type is kept as null",
                )
        for table in self.tables:
            primary = table.primary
            if primary is not None:
                backing = _twin(primary.index or primary.name)
                yield _use_index(table, primary.name, "PRIMARY KEY", backing)
            yield from self._rename_all(table, back=False)
        for column in self.columns:
            yield Statement(
                column.keep(),
                None,
                "from here on the trigger only copies to the old column what fits it, so that the way back stays open",
            )

    def _swap_back(self) -> Iterator[Statement]:
        yield self._refuse_return(transactional=False)
        for table in self.widened:
            yield from self._rebuild(table)
        yield self._lock()
        yield self._refuse_return(transactional=True)
        for table in self.tables:
            for key in table.foreign_keys:
                yield drop_constraint(table.table, key.name)
        for table in self.tables:
            if table.primary is not None:
                yield drop_constraint(table.table, table.primary.name)
            yield from self._rename_all(table, back=True)
        for column in self.columns:
            yield self._rename(column.table, column.name, column.twin)
            yield self._rename(column.table, column.kept, column.name)
        for column in self.columns:
            if column.known.not_null:
                yield Statement(
                    f"{column.alter}ALTER COLUMN {quote(column.name)} SET NOT NULL",
                    _AX,
                    "the validated check proves it, so no row is read",
                )
                yield drop_constraint(column.table, column.check)
            yield from self._move_default(column, column.twin, forward=False)
        for table in self.tables:
            yield from self._put_back(table)
        for table in self.tables:  # all keys that are referred to are there now
            for key in table.foreign_keys:
                for sql in (table.constraint_again(key), table.constraint_on_twins(key)):
                    yield Statement(sql, _AX, "NOT VALID, so no row is read now")
        for column in self.columns:
            yield Statement(column.two_way(), None, "both columns may be written again")

    def _rebuild(self, table: _Table) -> Iterator[Statement]:
        """What the old columns need before they can take their place again, while everybody reads and writes."""
        for column in table.columns:
            if column.known.not_null:
                yield Statement(
                    f"{column.alter}DROP CONSTRAINT IF EXISTS {quote(column.check)},\n    ADD CONSTRAINT "
                    f"{quote(column.check)} CHECK ({quote(column.kept)} IS NOT NULL) NOT VALID",
                    _AX,
                    "NOT VALID reads no row; from here on a value that does not fit the old type is refused",
                    transactional=False,
                )
                yield validate_constraint(table.table, column.check)
        kept = {column.name: column.kept for column in table.columns}
        for index in table.indexes:
            yield from index_build.build(
                table.in_schema(_rebuilt(index.name)),
                table.index_on(index, kept, _rebuilt(index.name)),
                f'reads and writes go on while "{index.name}" is built again for the old column',
            )
        primary = table.primary
        for index in table.indexes:
            if primary is not None and index.constraint == primary.name:
                yield from index_build.build(
                    table.in_schema(_twin(index.name)),
                    table.index_on(index, {}, _twin(index.name)),
                    "reads and writes go on while the unique index is built that the primary key's will leave behind",
                )

    def _put_back(self, table: _Table) -> Iterator[Statement]:
        for index in table.indexes:
            constraint = next((c for c in table.constraints if c.name == index.constraint), None)
            if constraint is None:
                yield Statement(
                    f"ALTER INDEX {table.in_schema(_rebuilt(index.name))} RENAME TO {quote(index.name)}",
                    LockMode.SHARE_UPDATE_EXCLUSIVE,
                    "catalog only",
                )
            else:
                kind = "PRIMARY KEY" if constraint.kind == "primary key" else "UNIQUE"
                yield _use_index(table, constraint.name, kind, _rebuilt(index.name), _deferrable(constraint))
        for check in table.checks:
            yield Statement(table.constraint_again(check), _AX, "NOT VALID, so no row is read now")

    def _refuse_return(self, *, transactional: bool) -> Statement:
        key, limit = self.key, MAXIMA[self.key.known.type]
        beyond = (
            f"SELECT FROM {key.table} WHERE {quote(key.name)} > {limit} OR {quote(key.name)} < {-limit - 1}"
        )
        holds = [(f"NOT EXISTS ({beyond})", f"every {self.name} fits {key.known.type}; there is no way back")]
        if key.sequence is not None:
            holds.append(
                (
                    f"(SELECT last_value <= {limit} FROM {key.sequence.name})",  # noqa: S608 - quoted names
                    f"{key.sequence.name.plain} gives numbers that fit {key.known.type}; there is no way back",
                )
            )
        return Statement(
            gate_block(self.id, Conditions(holds=tuple(holds))),
            LockMode.ACCESS_SHARE,
            "it only looks, through the index of the key, whether the old type can hold every value",
            transactional=transactional,
        )

    def _rename(self, table: QualifiedName, name: str, to: str) -> Statement:
        return Statement(
            f"ALTER TABLE {table}\n    RENAME COLUMN {quote(name)} TO {quote(to)}", _AX, "catalog only"
        )

    def _rename_all(self, table: _Table, *, back: bool) -> Iterator[Statement]:
        """Constraints and indexes of the twins take the names of the first, or give them back.

        A foreign key gets no name back: it is dropped, and added again.
        """
        constraints = [*table.uniques, *table.checks, *(() if back else table.foreign_keys)]
        for constraint in constraints:
            names = (constraint.name, _twin(constraint.name))
            old, new = names if back else reversed(names)
            yield Statement(
                f"ALTER TABLE {table.table}\n    RENAME CONSTRAINT {quote(old)} TO {quote(new)}",
                _AX,
                "catalog only; whoever knows a constraint by its name finds it",
            )
        for index in table.indexes:
            if index.constraint is None:
                names = (index.name, _twin(index.name))
                old, new = names if back else reversed(names)
                yield Statement(
                    f"ALTER INDEX {table.in_schema(old)} RENAME TO {quote(new)}",
                    LockMode.SHARE_UPDATE_EXCLUSIVE,
                    "catalog only; whoever knows an index by its name finds it",
                )

    def _move_default(self, column: _Column, from_: str, *, forward: bool) -> Iterator[Statement]:
        """Default, identity and sequence go from that column to the one that has taken the name."""
        known, sequence, to = column.known, column.sequence, quote(column.name)
        if known.identity and sequence is not None:
            yield from self._move_identity(column, sequence, from_)
            return
        if known.default is None:
            return
        if sequence is not None and WIDTHS.index(sequence.type) < WIDTHS.index(column.wide):
            yield Statement(
                f"ALTER SEQUENCE {sequence.name} AS {column.wide if forward else sequence.type}",
                LockMode.SHARE_ROW_EXCLUSIVE,
                "of the sequence alone: its limit follows its type",
            )
        if sequence is not None and sequence.owned_by == (column.table, column.name):
            yield Statement(
                f"ALTER SEQUENCE {sequence.name} OWNED BY {column.table}.{to}",
                LockMode.SHARE_ROW_EXCLUSIVE,
                "of the sequence alone: it stays when the other column is dropped",
            )
        if forward or column.volatile:
            yield Statement(
                f"{column.alter}ALTER COLUMN {quote(from_)} DROP DEFAULT",
                _AX,
                "catalog only; the trigger fills it",
            )
        if column.volatile or not forward:
            yield Statement(
                f"{column.alter}ALTER COLUMN {to} SET DEFAULT {known.default}", _AX, "catalog only"
            )

    def _move_identity(self, column: _Column, sequence: SequenceFacts, from_: str) -> Iterator[Statement]:
        made = QualifiedName(_twin(sequence.name.name), sequence.name.schema)
        always = "ALWAYS" if column.known.always else "BY DEFAULT"
        yield sequences.hold(sequence)
        yield Statement(
            f"{column.alter}ALTER COLUMN {quote(column.name)} ADD GENERATED {always} AS IDENTITY\n"
            f"    (SEQUENCE NAME {made} {sequences.options(sequence)})",
            _AX,
            "catalog only; an identity cannot move to another column, so a new sequence takes over",
        )
        yield sequences.go_on_from(made, sequence.name)
        yield Statement(
            f"{column.alter}ALTER COLUMN {quote(from_)} DROP IDENTITY",
            _AX,
            "catalog only; its sequence goes with it",
        )
        yield Statement(
            f"ALTER SEQUENCE {made} RENAME TO {quote(sequence.name.name)}",
            _AX,
            "of the sequence alone: whoever knows it by its name finds it",
        )
        yield from sequences.grants(sequence, sequence.name)

    # -- the end --------------------------------------------------------------------------------------------
    def purge(self) -> Phase:
        return Phase(
            "purge",
            "nothing of the narrow columns is left",
            tuple(self._purge(table) for table in self.widened),
            gates=(
                Word(PURGE_APPROVED, f"nobody will want {self.name} as {self.key.known.type} back"),
                *(table.kept for table in self.widened),
            ),
            go_back="downgrade the purge revisions: they fill the old columns again, one transaction for each table",
        )

    def _purge(self, table: _Table) -> Part:
        statements: list[Statement] = []
        undo: list[Statement] = []
        for column in table.columns:
            kept = quote(column.kept)
            statements += [
                sync.drop_trigger(column.table, column.trigger),
                Statement(
                    f"{column.alter}DROP COLUMN {kept}",
                    _AX,
                    "catalog only; the wider column holds every value",
                ),
                sync.drop_function(column.function),
            ]
            undo += [
                Statement(f"{column.alter}ADD COLUMN {kept} {column.known.type}", _AX, "catalog only"),
                sync.create_function(column.keep()),
                *sync.create_trigger(column.table, column.trigger, column.function),
                *comment_and_grants(table.target, column.name, column.kept),
            ]
        assignments = ", ".join(f"{quote(column.kept)} = NULL" for column in table.columns)
        undo.append(
            Statement(
                f"UPDATE {table.table} SET {assignments}",  # noqa: S608 - quoted names
                _AX,
                "the triggers fill it; the lock of ADD COLUMN is held until every row is written: go back this far "
                "only on a small table or in a maintenance window",
            )
        )
        return Part(
            f"the narrow columns of {table.table.plain}", tuple(statements), tuple(undo), (table.kept,)
        )

    # -- notes ----------------------------------------------------------------------------------------------
    def notes(self) -> tuple[str, ...]:
        limit = MAXIMA[self.key.known.type]
        notes = [
            'At contract each statement that was prepared before fails once with "cached plan must not change result '
            'type" (SQLAlchemy with psycopg prepares what it runs five times): replace pooled connections right after, '
            "and let clients try again.",
            f"There is no way back once a value passes {limit}: the old column cannot hold it.",
        ]
        others = [f"{column.table.plain}.{column.name}" for column in self.columns[1:]]
        if others:
            notes.append(f"With {self.name} become wider: {', '.join(others)}.")
        for column in self.columns:
            sequence = column.sequence
            if sequence is not None and sequence.last_value is not None:
                share = 100 * sequence.last_value // MAXIMA[column.known.type]
                notes.append(
                    f"The sequence {sequence.name.plain} is at {sequence.last_value}: {share} % of what "
                    f"{column.known.type} holds."
                )
        rows = [table.target.rows for table in self.widened]
        if all(known is not None for known in rows):
            written, tables = sum(known or 0 for known in rows), counted(len(rows), "table")
            notes.append(f"About {counted(written, 'row')} in {tables} will be written.")
        for table in self.widened:
            if table.target.published:
                twins = ", ".join(f"{column.twin} {self.change.to}" for column in table.columns)
                kept = ", ".join(f"{column.kept} {column.known.type}" for column in table.columns)
                names = ", ".join(column.name for column in table.columns)
                notes.append(
                    f"{table.table.plain} is published by {', '.join(table.target.published)}: its subscribers need "
                    f"{twins} before expand, and {kept} before contract, else they stop with an error; and {names} as "
                    f"{self.change.to} before a value passes {limit}."
                )
        told = dict.fromkeys(
            dependent.description
            for table in self.widened
            for column in table.columns
            for dependent in table.target.dependents_of(column.name)
            if dependent.kind == "trigger function"
        )
        if told:
            notes.append(f"See that their variables are wide enough: {'; '.join(told)}.")
        return tuple(notes)


# Twins of both are there and valid, under other names that they change in the same transaction.
_DROP_INDEX = ("drop-index-blocking",)
_DROP_CONSTRAINT = ("drop-constraint",)
# What the plan makes again is no better indexed than what is there.
_AS_IT_IS = ("fk-missing-index",)
_TAKEN_OVER = "its twin is valid, and takes over in this transaction"


def _hand_over(table: _Table, constraint: TargetConstraint) -> Statement:
    return replace(drop_constraint(table.table, constraint.name, _TAKEN_OVER), allow=_DROP_CONSTRAINT)


def _use_index(table: _Table, name: str, kind: str, index: str, suffix: str = "") -> Statement:
    return Statement(
        f"ALTER TABLE {table.table}\n    ADD CONSTRAINT {quote(name)} {kind} USING INDEX {quote(index)}{suffix}",
        _AX,
        "the index is there already and its columns are NOT NULL where they must be, so this is a change of the "
        "catalog and takes an instant",
    )


def _deferrable(constraint: TargetConstraint) -> str:
    found = re.search(r"\bDEFERRABLE.*$", constraint.definition)
    return f" {found[0]}" if found else ""


def shapes(change: WidenKey, facts: Facts) -> Shapes:
    each = [
        Shapes.within(member.target, {name: {name: _twin(name)} for name in member.columns})
        for member in key_family(facts, change.table, change.column, change.to)
    ]
    return sum(each[1:], start=each[0])


RECIPE = Recipe(
    WidenKey,
    "Give an integer key a wider type, with every column that refers to it.",
    (
        COLUMN,
        Parameter(
            "to",
            "choice",
            "Its new type.",
            required=False,
            choices=("bigint", "integer"),
            metavar="[TYPE]",
        ),
    ),
    plan,
    shapes=shapes,
)
