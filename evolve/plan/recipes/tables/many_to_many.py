"""Let a row have several parents: a junction table takes the place of its foreign key column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.counted import counted
from evolve.errors import Misuse, Refused
from evolve.plan import junction_sync, not_null, sync
from evolve.plan.carry import refuse_dependents
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.constraint import drop_constraint
from evolve.plan.facts import Facts, refuse_taken
from evolve.plan.grants import grant_again
from evolve.plan.junction_sync import Junction
from evolve.plan.key_family import read_foreign_key
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    BackfillDone,
    Gate,
    NoOlderTransaction,
    NoRows,
    Part,
    Phase,
    Plan,
    TriggerArmed,
    Word,
    function_name,
    quarantine_name,
    trigger_name,
)
from evolve.plan.parameters import COLUMN, Parameter, option
from evolve.plan.put_back import hang_again, point_again, type_of
from evolve.plan.recipe import Recipe
from evolve.plan.synced_tables import (
    hold_still,
    published_notes,
    reference_names,
    refuse_unsyncable,
    row_security_notes,
    unseen,
)
from evolve.plan.target import InTheWay, NoKey, Target, TargetColumn, TargetConstraint, known_column
from evolve.plan.versions import Shapes, whole
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, check_length, quote, shorten
from evolve.sql.operations import ForeignKey
from evolve.sql.statements import Statement

_AX = LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class ManyToMany(Change):
    """Replace a foreign key column by a junction table.

    Args:
        column: refers to the one parent that a row has now; the junction's column is called like it.
        junction: the table that is made.
        child_columns: its columns that refer to the row itself, in the order of the primary key; empty: called after
            table and key, "order_id" of orders.id.
    """

    kind: ClassVar[str] = "many-to-many"
    column: str
    junction: QualifiedName
    child_columns: tuple[str, ...] = ()

    def words(self) -> Sequence[str]:
        return ["link", *table_words(self.table), self.column]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)) | {(self.junction, None)})


class NoForeignKey(Refused):
    def __init__(self, target: Target, column: str) -> None:
        name = f"{target.table.plain}.{column}"
        super().__init__(
            f'"{name}" has no foreign key',
            why="the junction table refers to the rows that it refers to, and what they are is not known",
            fix=f"give it one first: evolve plan add-foreign-key {target.table}.{quote(column)} TABLE.COLUMN",
        )


class KeyNotValidated(Refused):
    def __init__(self, target: Target, key: TargetConstraint) -> None:
        super().__init__(
            f'foreign key "{key.name}" of "{target.table.plain}" is not validated',
            why="a value without a parent could not come into the junction table",
            fix=f"run: ALTER TABLE {target.table} VALIDATE CONSTRAINT {quote(key.name)}",
        )


class OneOfSeveral(Refused):
    def __init__(self, target: Target, key: TargetConstraint, column: str) -> None:
        super().__init__(
            f'column "{column}" of "{target.table.plain}" is one of several in foreign key "{key.name}"',
            why="this recipe moves a foreign key of one column",
            fix="make the junction table by hand with revisions that `evolve lint` passes",
        )


class GoesWithParent(Refused):
    def __init__(self, target: Target, key: TargetConstraint, action: str) -> None:
        super().__init__(
            f'foreign key "{key.name}" of "{target.table.plain}" is ON DELETE {action}',
            why="whether a row with several parents is to go with one of them, or get another, only you can say"
            if action == "CASCADE"
            else "a row without a parent has no row in the junction table, so there is nothing to give it a default",
            fix="first give it another action, in revisions of its own: ON DELETE SET NULL lets the row stay "
            "without that parent",
        )


class BadChildColumns(Misuse):
    def __init__(self, what: str, key: tuple[str, ...]) -> None:
        super().__init__(
            what, fix=f"give --child-column once for each column of the primary key ({', '.join(key)})"
        )


def plan(change: ManyToMany, facts: Facts) -> Plan:
    """The phases.

    Raises:
        Misuse: a name is unknown, or taken.
        Refused: the column is no plain foreign key, or something about it or its table stands in the way.
    """
    target = facts.table(change.table)
    column = known_column(target, change.column)
    key = _foreign_key(target, column.name)
    refuse_unsyncable(target, trigger_name(change.id))
    if not target.key:
        raise NoKey(target)
    _refuse_column(target, column)
    recipe = _Recipe(change, target, column, key)
    facts.table(recipe.refers.target)  # kept, since the plan locks it too
    for name in (change.junction.name, recipe.primary_key, recipe.index):
        refuse_taken(facts, QualifiedName(name, change.junction.schema))
    return recipe.plan()


def _foreign_key(target: Target, column: str) -> TargetConstraint:
    keys = [c for c in target.constraints_on(column) if c.kind == "foreign key"]
    if not keys:
        raise NoForeignKey(target, column)
    for key in keys:
        if len(key.columns) > 1:
            raise OneOfSeveral(target, key, column)
        if not key.validated:
            raise KeyNotValidated(target, key)
        action = read_foreign_key(key).on_delete
        if action in ("CASCADE", "SET DEFAULT"):
            raise GoesWithParent(target, key, action)
    if len(keys) > 1:
        why = "the junction's column could refer to one of them only"
        raise InTheWay(
            target, column, f'two foreign keys, "{keys[0].name}" and "{keys[1].name}"', why, "drop one"
        )
    return keys[0]


def _refuse_column(target: Target, column: TargetColumn) -> None:
    """Raise where something hangs on the column that a junction table cannot have."""
    refuse_dependents(target, column.name)
    for constraint in target.constraints_on(column.name):
        if constraint.kind in ("check", "unique"):
            raise InTheWay(
                target,
                column.name,
                f'{constraint.kind} constraint "{constraint.name}"',
                "no constraint of the junction table can say the same, and new code would break it unawares",
                "drop it in a revision before, if the application can do without it",
            )
    for index in target.indexes_on(column.name):
        if index.unique:
            raise InTheWay(
                target,
                column.name,
                f'unique index "{index.name}"',
                "no index of the junction table can say the same, and new code would break it unawares",
                "drop it in a revision before, if the application can do without it",
            )
    if column.default is not None:
        raise InTheWay(
            target,
            column.name,
            f"its default {column.default}",
            "a row that new code writes would get that parent unasked",
            f"drop it first: evolve plan drop-default {target.table}.{quote(column.name)}",
        )


def _child_columns(change: ManyToMany, target: Target) -> tuple[str, ...]:
    key = target.key
    chosen = change.child_columns or reference_names(target)
    if len(chosen) != len(key):
        raise BadChildColumns(f"{counted(len(chosen), 'column')} cannot refer to {len(key)}", key)
    names = (*chosen, change.column)
    if len(set(names)) < len(names):
        raise BadChildColumns(
            f'"{change.junction.plain}" would have two columns of one name: {", ".join(names)}', key
        )
    return tuple(map(check_length, chosen))


class _Recipe:
    def __init__(
        self, change: ManyToMany, target: Target, column: TargetColumn, key: TargetConstraint
    ) -> None:
        self.change = change
        self.target = target
        self.column = column
        self.key = key
        self.refers: ForeignKey = read_foreign_key(key)
        self.id = change.id
        self.table = target.table
        self.junction = change.junction
        self.own = _child_columns(change, target)
        self.primary_key = shorten(self.junction.name, "pkey")
        self.index = shorten("ix", self.junction.name, column.name)
        self.quarantine = quarantine_name(self.id)
        self.link = Junction(
            self.table,
            target.key,
            (column.name,),
            self.junction,
            self.own,
            (column.name,),
            function_name(self.id),
            trigger_name(self.id),
        )
        self.kept = replace(self.link, parent=(self.quarantine,))
        self.name = f"{self.table.plain}.{column.name}"

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
            frozenset(),
            columns(self.table, self.target.key) | columns(self.refers.target, self.refers.target_columns),
        )
        return Plan(self.id, self.change, phases, self.notes(), self.target.source, also=also)

    # -- gates ----------------------------------------------------------------------------------------------
    @property
    def armed(self) -> tuple[Gate, ...]:
        return tuple(
            TriggerArmed(table, trigger, fires)
            for (table, trigger), fires in zip(junction_sync.armed(self.link), _FIRES, strict=True)
        )

    def in_step(self, link: Junction) -> NoRows:
        return NoRows(
            self.table,
            junction_sync.wrong(link),
            f"{link.parent[0]} and the rows of {self.junction.plain} do not fit",
        )

    @property
    def spec(self) -> Spec:
        touch = junction_sync.touch(self.link)
        return Spec(
            self.id,
            self.table,
            touch.assignments,
            where=touch.where,
            key=self.target.other_key,
            mismatch=touch.mismatch,
        )

    # -- phases ---------------------------------------------------------------------------------------------
    def expand(self) -> Phase:
        relaxed: tuple[Statement, ...] = ()
        restored: tuple[Statement, ...] = ()
        if self.column.not_null:
            relaxed = (
                self._alter(
                    f"ALTER COLUMN {quote(self.column.name)} DROP NOT NULL",
                    "catalog only; new code may take a row's last parent away before it gives it another",
                ),
            )
            restored = tuple(not_null.restore(self.table, self.column.name))
        child = (*relaxed, *junction_sync.arm(self.link, "child"))
        # Statements that are not transactional come first.
        child_undo = (
            *(s for s in restored if not s.transactional),
            *junction_sync.disarm(self.link, "child"),
            *(s for s in restored if s.transactional),
        )
        return Phase(
            "expand",
            f"{self.junction.plain} is there beside {self.name}, and triggers keep the two in step on every write",
            (
                Part(f"table {self.junction.plain}", self._table(), (self._drop_table(),)),
                Part(
                    f"{self.junction.plain} refers to {self.refers.target.plain}",
                    (self._refer_to_parent(), *unseen(junction_sync.arm(self.link, "junction"))),
                    (
                        *junction_sync.disarm(self.link, "junction"),
                        *junction_sync.drop_functions(self.link),
                        drop_constraint(
                            self.junction,
                            self._parent_key,
                            "catalog only, but of both tables: readers and writers of the other wait for an instant",
                        ),
                    ),
                ),
                Part(f"{self.name} is kept in step with {self.junction.plain}", child, child_undo),
            ),
            instructions=(
                f"Code that runs now goes on as it is; code that writes {self.junction.plain} may start, with one "
                "parent for each row.",
            ),
            go_back="downgrade the expand revisions: triggers, functions and the junction table go"
            + (
                f"; it is refused while a row holds null in {self.column.name}"
                if self.column.not_null
                else ""
            ),
            undo_loses="every parent of a row but the one that old code sees",
        )

    def backfill(self) -> Phase:
        return Phase(
            "backfill",
            f"{self.junction.plain} has the parent of every row",
            gates=(*self.armed, NoOlderTransaction(*junction_sync.armed(self.link)[0])),
            backfills=(self.spec,),
            instructions=(f"Run: evolve backfill run {self.id}",),
            go_back="stop the backfill; rows filled so far do no harm",
        )

    def validate(self) -> Phase:
        # Nothing to prove, but a new database has seed rows, which only a gate fills.
        part = Part(f"{self.junction.plain} has every parent", (), (), fills=(self.spec,))
        return Phase(
            "validate",
            f"{self.junction.plain} tells all that {self.name} tells",
            (part,),
            gates=(*self.armed, BackfillDone(self.id), self.in_step(self.link)),
            go_back="downgrade the validate revision: it changes nothing",
        )

    def switch(self) -> Phase:
        one = NoRows(
            self.table,
            junction_sync.more_than_one(self.link),
            "there are several parents, of which old code sees one",
        )
        return Phase(
            "switch",
            f"all code reads and writes {self.junction.plain}",
            gates=(*self.armed, self.in_step(self.link), one),
            instructions=(
                f"Deploy code that reads and writes {self.junction.plain} and no longer maps {self.name}.",
                "It gives no row a second parent before the last old code is gone: old code would not see it.",
            ),
            go_back="deploy the old code again; the triggers kept its column fresh",
        )

    def contract(self) -> Phase:
        old, kept = quote(self.column.name), quote(self.quarantine)
        statements = (
            self._alter(
                f"RENAME COLUMN {old} TO {kept}",
                "catalog only; the column with its foreign key and indexes stays, out of sight, until it is purged",
            ),
            hold_still(self.junction),
            *junction_sync.functions_again(self.kept),
        )
        undo = (
            self._alter(f"RENAME COLUMN {kept} TO {old}", "catalog only; the triggers kept it in step"),
            hold_still(self.junction),
            *junction_sync.functions_again(self.link),
        )
        return Phase(
            "contract",
            f"{self.name} is gone for every client; it is kept, and kept in step, under {self.quarantine}",
            (
                Part(
                    f"{self.name} goes into quarantine",
                    statements,
                    undo,
                    (*self.armed, self.in_step(self.link)),
                ),
            ),
            gates=(
                Word(OLD_CODE_GONE, f"no running code reads or writes {self.name}"),
                *self.armed,
                self.in_step(self.link),
            ),
            instructions=("From here on a row may have several parents.",),
            go_back="downgrade the contract revision: the column is back, with one parent of each row",
        )

    def purge(self) -> Phase:
        refill = junction_sync.touch(self.kept)
        ((column, value),) = refill.assignments
        unbound = Part(
            f"foreign key {self.key.name} of what was {self.name}",
            (
                drop_constraint(
                    self.table,
                    self.key.name,
                    "catalog only, but of both tables; it goes before the triggers do, since a value that is no longer "
                    "kept in step must not hold a parent",
                ),
            ),
            (point_again(self.target, self.key, self.column.name, self.quarantine),),
            (self.in_step(self.kept),),
        )
        drop = (
            self._alter(
                f"DROP COLUMN {quote(self.quarantine)}",
                "catalog only; its indexes go with it, and the junction table holds every parent",
                "drop-column",
            ),
            *(replace(s, allow=("drop-function",)) for s in junction_sync.drop_functions(self.kept)),
        )
        put_back = (
            self._alter(
                f"ADD COLUMN {quote(self.quarantine)} {type_of(self.column)}",
                "catalog only; every row holds null",
            ),
            *hang_again(self.target, self.column.name, self.quarantine),
        )
        return Phase(
            "purge",
            f"nothing of {self.name} is left",
            (
                unbound,
                Part(
                    f"{self.table.plain} without triggers",
                    junction_sync.disarm(self.kept, "child"),
                    (
                        *junction_sync.arm(self.kept, "child"),
                        Statement(
                            f"UPDATE {self.table} SET {quote(column)} = {value}\n    WHERE {refill.where}",  # noqa: S608
                            LockMode.SHARE_ROW_EXCLUSIVE,
                            "the triggers bring each row's least parent; writers wait until every row is written: go "
                            "back this far only on a small table or in a maintenance window",
                        ),
                    ),
                ),
                Part(
                    f"{self.junction.plain} without triggers",
                    junction_sync.disarm(self.kept, "junction"),
                    junction_sync.arm(self.kept, "junction"),
                ),
                Part(f"what was {self.name}", drop, put_back),
            ),
            gates=(
                Word(PURGE_APPROVED, f"nobody will want {self.name} back"),
                self.in_step(self.kept),
            ),
            go_back="downgrade the purge revisions: they make the column again, of the least parent of each row",
            undo_loses="which of several parents old code has seen",
        )

    # -- parts ----------------------------------------------------------------------------------------------
    @property
    def _parent_key(self) -> str:
        return shorten(self.junction.name, self.column.name, "fkey")

    def _alter(self, action: str, why: str, *allow: str) -> Statement:
        return Statement(f"ALTER TABLE {self.table}\n    {action}", _AX, why, allow=allow)

    def _table(self) -> tuple[Statement, ...]:
        types = [
            f"{quote(name)} {type_of(known_column(self.target, of))} NOT NULL"
            for name, of in zip(self.own, self.target.key, strict=True)
        ]
        parent = quote(self.column.name)
        own = ", ".join(map(quote, self.own))
        lines = [
            *types,
            f"{parent} {type_of(self.column)} NOT NULL",
            f"CONSTRAINT {quote(self.primary_key)} PRIMARY KEY ({own}, {parent})",
            f"CONSTRAINT {quote(shorten(self.junction.name, *self.own, 'fkey'))} FOREIGN KEY ({own})\n"
            f"        REFERENCES {self.table} ({', '.join(map(quote, self.target.key))})"
            " ON DELETE CASCADE ON UPDATE CASCADE",
        ]
        body = ",\n    ".join(lines)
        statements = [
            sync.create_schema(),
            Statement(
                f"CREATE TABLE {self.junction} (\n    {body}\n)",
                LockMode.SHARE_ROW_EXCLUSIVE,
                f"a new, empty table; for its foreign key writers of {self.table.plain} wait for an instant",
            ),
            Statement(
                f"CREATE INDEX {quote(self.index)} ON {self.junction} ({parent})",
                None,
                "the table is new and empty; it serves whoever looks for the rows of a parent, and its deletion",
            ),
        ]
        if self.target.row_security:
            statements.append(
                Statement(
                    f"ALTER TABLE {self.junction} ENABLE ROW LEVEL SECURITY",
                    None,
                    "the table is new; what the other table's policies hide is not to be seen here either",
                )
            )
        why = f"whoever may use {self.table.plain} may use the new table"
        grants = grant_again(replace(self.target, columns=()), self.junction, why)
        return (*statements, *grants)

    def _drop_table(self) -> Statement:
        return Statement(
            f"DROP TABLE {self.junction}",
            _AX,
            f"readers and writers of {self.table.plain} wait for an instant; its column holds the parent of each row",
        )

    def _refer_to_parent(self) -> Statement:
        key = self.refers
        on_delete = "CASCADE" if key.on_delete == "SET NULL" else key.on_delete
        actions = f" ON UPDATE {key.on_update}" if key.on_update else ""
        actions += f" ON DELETE {on_delete}" if on_delete else ""
        if key.deferrable:
            actions += " DEFERRABLE"
        if self.key.definition.endswith(" INITIALLY DEFERRED"):
            actions += " INITIALLY DEFERRED"
        referred = f" ({', '.join(map(quote, key.target_columns))})" if key.target_columns else ""
        return Statement(
            f"ALTER TABLE {self.junction}\n    ADD CONSTRAINT {quote(self._parent_key)} FOREIGN KEY "
            f"({quote(self.column.name)})\n        REFERENCES {key.target}{referred}{actions}",
            LockMode.SHARE_ROW_EXCLUSIVE,
            f"writers of {key.target.plain} wait for an instant; the new table has no row that would have to be read",
            allow=("add-fk-validated",),
        )

    def notes(self) -> tuple[str, ...]:
        own = ", ".join(self.own)
        told = [
            f"{self.junction.plain} gets the columns {own} and {self.column.name}; others are named with "
            "--child-column.",
            *junction_sync.notes(self.link),
            'Clients that prepared SELECT * or RETURNING * on the table fail once with "cached plan must not change '
            'result type" after contract and purge; recycle their connections then. SQLAlchemy names its columns and '
            "is not concerned.",
        ]
        if self.column.not_null:
            told.append(
                f"{self.name} may be null from expand on, and nothing makes new code give each row a parent: the "
                "junction table cannot ask for it."
            )
        plain = [
            f'"{index.name}"'
            for index in self.target.indexes_on(self.column.name)
            if index.constraint is None
        ]
        if plain:
            told.append(f"What goes with the column when it is purged: {', '.join(plain)}.")
        told += row_security_notes(self.target, self.junction)
        told += published_notes(self.target, self.junction)
        return tuple(told)


_FIRES = (29, 7, 29)  # of `junction_sync.armed`: the child's; the junction's that locks, and that gives


def shapes(change: ManyToMany, facts: Facts) -> Shapes:
    target = facts.table(change.table)
    names = (*_child_columns(change, target), change.column)
    made = replace(
        target, table=change.junction, comment=None, columns=tuple(TargetColumn(name, "") for name in names)
    )
    return Shapes.within(target, {change.column: {}}) + Shapes((), (whole(made),))


RECIPE = Recipe(
    ManyToMany,
    "Let rows have several parents: a junction table instead of a foreign key column.",
    (
        COLUMN,
        Parameter("junction", "relation", "Name of the junction table.", metavar="TABLE"),
        option(
            "child_columns",
            "names",
            "Its column that refers to the row itself; once for each column of the primary key.",
            metavar="NAME",
            spelled="child-column",
        ),
    ),
    plan,
    shapes=shapes,
)
