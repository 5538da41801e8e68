"""Rename a column: a twin under the new name, kept equal by a trigger, until nobody uses the old one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.errors import Misuse
from evolve.plan import sync
from evolve.plan.carry import (
    Carry,
    add_checks,
    add_uniques_and_foreign_keys,
    build_indexes,
    carry,
    comment_and_grants,
    drop_indexes,
    drop_uniques_and_foreign_keys,
    validate,
    validate_constraint,
)
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.expressions import read_type
from evolve.plan.facts import Facts
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
from evolve.plan.parameters import COLUMN, Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import (
    ColumnExists,
    NoKey,
    Target,
    TargetColumn,
    known_column,
    refuse_family,
    refuse_later_triggers,
)
from evolve.plan.trials import AddsWithoutRewrite, Trial
from evolve.plan.versions import Shapes
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.parse import rename_in_definition
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class RenameColumn(Change):
    """Give a column another name.

    Args:
        on_conflict: what the sync trigger does with a statement that writes different values to both names.
    """

    kind: ClassVar[str] = "rename-column"
    column: str
    to: str
    on_conflict: sync.OnConflict = "raise"

    def words(self) -> Sequence[str]:
        return ["rename", *table_words(self.table), self.column, "to", self.to]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column, self.to)))


# pg_attribute's own, on every table
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


class ReservedName(Misuse):
    def __init__(self, name: str) -> None:
        super().__init__(
            f'"{name}" is a system column of every table', fix="choose another name for the column"
        )


class SameName(Misuse):
    def __init__(self, name: str) -> None:
        super().__init__(f'the column is called "{name}" already', fix="give the new name as second argument")


def plan(change: RenameColumn, facts: Facts) -> Plan:
    """The phases of a rename.

    Raises:
        Misuse: a name is unknown, taken or reserved.
        Refused: something about the table stands in the way.
    """
    target = facts.table(change.table)
    return _Recipe.of(change, target).plan()


class _Recipe:
    """All names and parts of one rename."""

    def __init__(self, change: RenameColumn, target: Target, column: TargetColumn, carried: Carry) -> None:
        self.change = change
        self.target = target
        self.column = column
        self.carried = carried
        self.table = target.table
        self.id = change.id
        self.trigger = trigger_name(self.id)
        self.function = function_name(self.id)
        self.quarantine = quarantine_name(self.id)
        self.not_null_check = shorten("evolve", self.table.name, change.to, "not_null")
        self.old, self.new = quote(change.column), quote(change.to)
        self.exact = sync.is_exact(column.type, collation=column.collation, enum=column.enum)
        self.volatile = not column.default_steady
        self.differs = sync.differs(self.new, self.old, exact=self.exact)

    @classmethod
    def of(cls, change: RenameColumn, target: Target) -> _Recipe:
        refuse_family(target)
        column = known_column(target, change.column)
        if change.to == change.column:
            raise SameName(change.to)
        if change.to in _SYSTEM_COLUMNS:
            raise ReservedName(change.to)
        if target.column(change.to) is not None:
            raise ColumnExists(target, change.to)
        carried = carry(target, change.column, change.to)
        if not target.key:
            raise NoKey(target)
        refuse_later_triggers(target, trigger_name(change.id))
        return cls(change, target, column, carried)

    def plan(self) -> Plan:
        phases = (
            self.expand(),
            self.backfill(),
            self.validate(),
            self.switch(),
            self.contract(),
            self.purge(),
        )
        return Plan(self.id, self.change, phases, self.notes(), self.target.source)

    # -- gates ----------------------------------------------------------------------------------------------
    @property
    def armed(self) -> TriggerArmed:
        return TriggerArmed(self.table, self.trigger)

    @property
    def equal(self) -> NoRows:
        return NoRows(self.table, self.differs, f"{self.change.to} differs from {self.change.column}")

    @property
    def spec(self) -> Spec:
        return Spec(
            self.id,
            self.table,
            ((self.change.to, self.old),),
            where=self.differs,
            key=None if self._has_primary_key else self.target.key,
            mismatch=self.differs,
        )

    # -- phases ---------------------------------------------------------------------------------------------
    def expand(self) -> Phase:
        statements = [
            sync.create_schema(),
            sync.create_function(self.two_way()),
            Statement(
                f"ALTER TABLE {self.table}\n    ADD COLUMN {self.new} {self.type}",
                LockMode.ACCESS_EXCLUSIVE,
                "a nullable column without a default changes only the catalog; no row is read or written",
            ),
        ]
        if self.column.default is not None and not self.volatile:
            statements.append(
                Statement(
                    f"ALTER TABLE {self.table}\n    ALTER COLUMN {self.new} SET DEFAULT {self.column.default}",
                    LockMode.ACCESS_EXCLUSIVE,
                    "catalog only; set apart from ADD COLUMN, so that rows which exist stay null until they "
                    "are backfilled",
                )
            )
        statements += sync.create_trigger(self.table, self.trigger, self.function)
        if self.column.not_null:
            statements.append(
                Statement(
                    f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {quote(self.not_null_check)} "
                    f"CHECK ({self.new} IS NOT NULL) NOT VALID",
                    LockMode.ACCESS_EXCLUSIVE,
                    "NOT VALID reads no row; the trigger is there already, so no writer can break it",
                )
            )
        statements += add_checks(self.carried)
        statements += comment_and_grants(self.target, self.change.column, self.change.to)
        undo = (
            sync.drop_trigger(self.table, self.trigger),
            Statement(
                f"ALTER TABLE {self.table}\n    DROP COLUMN {self.new}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; the old column holds every value",
            ),
            sync.drop_function(self.function),
        )
        name = f"{self.table.plain}.{self.change.column} to {self.change.to}"
        return Phase(
            "expand",
            f"{self.change.to} is there beside {self.change.column}, and a trigger keeps the two equal on every "
            "write",
            (Part(f"rename {name}", tuple(statements), undo),),
            instructions=(
                f"Code that runs now goes on as it is; code that writes {self.change.to} may start.",
            ),
            go_back="downgrade the expand revision: trigger, function and new column go",
            undo_loses=None,
        )

    def backfill(self) -> Phase:
        return Phase(
            "backfill",
            f"{self.change.to} equals {self.change.column} in every row",
            gates=(self.armed, NoOlderTransaction(self.table, self.trigger)),
            backfills=(self.spec,),
            instructions=(f"Run: evolve backfill run {self.id}",),
            go_back="stop the backfill; rows filled so far do no harm",
        )

    def validate(self) -> Phase:
        parts = []
        if self.carried.indexes or self.carried.foreign_keys:
            parts.append(
                Part(
                    f"indexes and keys for {self.table.plain}.{self.change.to}",
                    (*build_indexes(self.carried), *add_uniques_and_foreign_keys(self.carried)),
                    (*drop_uniques_and_foreign_keys(self.carried), *drop_indexes(self.carried)),
                    fills=(self.spec,),
                )
            )
        proofs = list(validate(self.carried))
        undo: list[Statement] = []
        if self.column.not_null:
            check = quote(self.not_null_check)
            proofs = [
                validate_constraint(self.table, self.not_null_check),
                *proofs,
                Statement(
                    f"ALTER TABLE {self.table}\n    ALTER COLUMN {self.new} SET NOT NULL",
                    LockMode.ACCESS_EXCLUSIVE,
                    "the validated check proves it, so no row is read",
                ),
                Statement(
                    f"ALTER TABLE {self.table}\n    DROP CONSTRAINT {check}",
                    LockMode.ACCESS_EXCLUSIVE,
                    "catalog only; a statement of its own, since together with SET NOT NULL the table would be "
                    "scanned",
                ),
            ]
            undo = [
                Statement(
                    f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {check} CHECK ({self.new} IS NOT NULL) "
                    "NOT VALID",
                    LockMode.ACCESS_EXCLUSIVE,
                    "NOT VALID reads no row",
                ),
                Statement(
                    f"ALTER TABLE {self.table}\n    ALTER COLUMN {self.new} DROP NOT NULL",
                    LockMode.ACCESS_EXCLUSIVE,
                    "catalog only",
                ),
            ]
        if proofs:
            title = f"what {self.table.plain}.{self.change.to} promises"
            # One look at every row is enough for the phase.
            parts.append(Part(title, tuple(proofs), tuple(undo), fills=() if parts else (self.spec,)))
        if not parts:
            # Nothing to prove, but a new database has seed rows, which only a gate fills.
            parts.append(
                Part(f"every row has {self.table.plain}.{self.change.to}", (), (), fills=(self.spec,))
            )
        return Phase(
            "validate",
            f"{self.change.to} has the same indexes and constraints as {self.change.column}, all of them valid",
            tuple(parts),
            gates=(self.armed, BackfillDone(self.id), self.equal),
            go_back="downgrade the validate revisions: the new column's indexes and constraints go",
        )

    def switch(self) -> Phase:
        proofs: list[Gate] = [Validated(self.table, c.name) for c in self.carried.to_validate]
        proofs += [ValidIndex(QualifiedName(i.name, self.table.schema)) for i in self.carried.indexes]
        if self.column.not_null:
            proofs.append(ColumnNotNull(self.table, self.change.to))
        return Phase(
            "switch",
            f"all code reads and writes {self.change.to}",
            gates=(self.armed, *proofs, self.equal),
            instructions=(
                f"Deploy code that reads and writes {self.change.to} and no longer maps {self.change.column}.",
                "One class must not map both columns: it would write a null to one of them.",
            ),
            go_back="deploy the old code again; the trigger kept its column fresh",
        )

    def contract(self) -> Phase:
        quarantine = quote(self.quarantine)
        statements = [
            Statement(
                f"ALTER TABLE {self.table}\n    RENAME COLUMN {self.old} TO {quarantine}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; the old column and its indexes stay, out of sight, until they are purged",
            ),
        ]
        undo = [
            Statement(
                f"ALTER TABLE {self.table}\n    RENAME COLUMN {quarantine} TO {self.old}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; the trigger kept the column equal, so nothing is lost",
            ),
        ]
        if self.volatile:
            statements.append(
                Statement(
                    f"ALTER TABLE {self.table}\n    ALTER COLUMN {self.new} SET DEFAULT {self.column.default}",
                    LockMode.ACCESS_EXCLUSIVE,
                    "catalog only; until now the trigger copied what the old column's default gave",
                )
            )
            undo.append(
                Statement(
                    f"ALTER TABLE {self.table}\n    ALTER COLUMN {self.new} DROP DEFAULT",
                    LockMode.ACCESS_EXCLUSIVE,
                    "catalog only",
                )
            )
        statements.append(
            Statement(
                sync.copy_function(self.function, self.table, self.change.to, self.quarantine),
                None,
                "from here on the trigger only copies to the old column, so that the way back stays open",
            )
        )
        undo.append(Statement(self.two_way(), None, "both columns may be written again"))
        return Phase(
            "contract",
            f"{self.change.column} is gone for every client; its values are kept under {self.quarantine}",
            (
                Part(
                    f"{self.table.plain}.{self.change.column} goes into quarantine",
                    tuple(statements),
                    tuple(undo),
                    (self.armed, self.equal),
                ),
            ),
            gates=(
                Word(
                    OLD_CODE_GONE, f"no running code reads or writes {self.table.plain}.{self.change.column}"
                ),
                self.armed,
                self.equal,
            ),
            go_back="downgrade the contract revision: the old column is back, with every value",
        )

    def purge(self) -> Phase:
        quarantine = quote(self.quarantine)
        kept = NoRows(
            self.table,
            sync.differs(self.new, quarantine, exact=self.exact),
            f"{self.change.to} differs from what is kept of {self.change.column}",
        )
        foreign_keys = [c for c in self.target.constraints_on(self.change.column) if c.kind == "foreign key"]
        drops = [
            Statement(
                f"ALTER TABLE {self.table}\n    DROP CONSTRAINT {quote(key.name)}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only, but of both tables: writers of the other table wait for an instant too",
            )
            for key in foreign_keys
        ]
        statements = (
            sync.drop_trigger(self.table, self.trigger),
            *drops,
            Statement(
                f"ALTER TABLE {self.table}\n    DROP COLUMN {quarantine}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; its indexes go with it, and the new column holds every value",
            ),
            sync.drop_function(self.function),
        )
        return Phase(
            "purge",
            "nothing of the old column is left",
            (
                Part(
                    f"what was {self.table.plain}.{self.change.column}",
                    statements,
                    tuple(self.unpurge()),
                    (kept,),
                ),
            ),
            gates=(
                Word(PURGE_APPROVED, f"nobody will want {self.table.plain}.{self.change.column} back"),
                kept,
            ),
            go_back="downgrade the purge revision: it fills the column again from the new one, in one transaction",
            undo_loses=None,
        )

    # -- parts ----------------------------------------------------------------------------------------------
    @property
    def type(self) -> str:
        return (
            f"{self.column.type} COLLATE {self.column.collation}"
            if self.column.collation
            else self.column.type
        )

    @property
    def _has_primary_key(self) -> bool:
        return any(constraint.kind == "primary key" for constraint in self.target.constraints)

    def two_way(self) -> str:
        default = None if self.volatile else self.column.default
        old = sync.Side(self.change.column, self.column.type, self.exact, default, volatile=self.volatile)
        new = sync.Side(self.change.to, self.column.type, self.exact, default)
        return sync.two_way_function(self.function, self.table, old, new, on_conflict=self.change.on_conflict)

    def unpurge(self) -> list[Statement]:
        """The quarantined column again, from the new one."""
        quarantine = quote(self.quarantine)
        table = f"ALTER TABLE {self.table}\n    "
        statements = [
            Statement(
                f"{table}ADD COLUMN {quarantine} {self.type}", LockMode.ACCESS_EXCLUSIVE, "catalog only"
            ),
            sync.create_function(
                sync.copy_function(self.function, self.table, self.change.to, self.quarantine)
            ),
            *sync.create_trigger(self.table, self.trigger, self.function),
            Statement(
                f"UPDATE {self.table} SET {quarantine} = {self.new}",  # noqa: S608 - quoted names
                LockMode.ACCESS_EXCLUSIVE,
                "the lock of ADD COLUMN is held until every row is written: go back this far only on a small "
                "table or in a maintenance window",
            ),
        ]
        if self.column.default is not None:
            statements.append(
                Statement(
                    f"{table}ALTER COLUMN {quarantine} SET DEFAULT {self.column.default}",
                    LockMode.ACCESS_EXCLUSIVE,
                    "catalog only",
                )
            )
        if self.column.not_null:
            statements.append(
                Statement(
                    f"{table}ALTER COLUMN {quarantine} SET NOT NULL",
                    LockMode.ACCESS_EXCLUSIVE,
                    "it reads every row, under the lock that is held anyway",
                )
            )
        constraints = {c.name: c for c in self.target.constraints_on(self.change.column)}
        for index in self.target.indexes_on(self.change.column):
            if index.constraint is None:
                sql = rename_in_definition(index.definition, self.change.column, self.quarantine)
                statements.append(Statement(sql, LockMode.SHARE, "under the lock that is held anyway"))
        for constraint in constraints.values():
            if constraint.kind in ("check", "foreign key", "unique"):
                sql = rename_in_definition(
                    f"ALTER TABLE {self.table} ADD CONSTRAINT {quote(constraint.name)} "
                    f"{constraint.definition}",
                    self.change.column,
                    self.quarantine,
                )
                statements.append(
                    Statement(sql, LockMode.ACCESS_EXCLUSIVE, "under the lock that is held anyway")
                )
        statements += comment_and_grants(self.target, self.change.column, self.quarantine)
        return statements

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.target.published:
            notes.append(
                f"The table is published by {', '.join(self.target.published)}: its subscribers need the new column "
                f"before expand, and before contract a column {self.quarantine} {self.type}, else they stop with an "
                "error."
            )
        if self.volatile:
            notes.append(
                f"The default of {self.change.column} is a function call: an INSERT that gives both columns is "
                f"taken to mean the new one, and one that gives null for {self.change.to} gets the default, until "
                "contract."
            )
        if not self.exact:
            notes.append(
                f"Values of {self.column.type} can be equal and still differ (1.0 and 1.00, or in case); the "
                "trigger and the counts compare them byte by byte."
            )
        return tuple(notes)


def trials(change: RenameColumn, facts: Facts) -> Iterator[Trial]:
    column = known_column(facts.table(change.table), change.column)
    yield AddsWithoutRewrite(
        read_type(column.type).type, "keep the name, or move the rows to a column of the base type"
    )


def shapes(change: RenameColumn, facts: Facts) -> Shapes:
    target = facts.table(change.table)
    column = known_column(target, change.column)
    shared = column.default if column.default_steady else None
    return Shapes.within(
        target,
        {change.column: {change.to: change.to}},
        defaults={} if shared is None else {change.to: shared},
    )


RECIPE = Recipe(
    RenameColumn,
    "Give a column another name.",
    (
        COLUMN,
        Parameter("to", "name", "Its new name.", metavar="NAME"),
        option(
            "on_conflict",
            "choice",
            "When one statement writes different values to both names.",
            choices=("raise", "new-wins", "old-wins"),
        ),
    ),
    plan,
    trials,
    shapes,
)
