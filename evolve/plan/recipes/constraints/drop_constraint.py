"""Drop a constraint: code that does without it comes first, and the way back adds it again without blocking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Misuse, Refused
from evolve.plan import constraint, index_build
from evolve.plan.carry import validate_constraint
from evolve.plan.change import Change, Uses, table_words
from evolve.plan.constraint import refuse_relatives
from evolve.plan.facts import Facts
from evolve.plan.model import OLD_CODE_GONE, Part, Phase, Plan, Word
from evolve.plan.parameters import TABLE, Parameter
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target, TargetConstraint
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote
from evolve.sql.operations import AddConstraint, ForeignKey
from evolve.sql.parse import parse
from evolve.sql.statements import Statement

_NOT_VALID_ON_PARTITIONED = 180000  # PostgreSQL 18


@dataclass(frozen=True, slots=True)
class DropConstraint(Change):
    """Let a table accept what a constraint refuses."""

    kind: ClassVar[str] = "drop-constraint"
    name: str

    def words(self) -> Sequence[str]:
        return ["drop_constraint", *table_words(self.table), self.name]

    def uses(self) -> Uses:
        # Only the facts tell which columns it is over.
        return Uses(frozenset(), frozenset({(self.table, None)}))


class UnknownConstraint(Misuse):
    def __init__(self, target: Target, name: str) -> None:
        names = ", ".join(f'"{known.name}"' for known in target.constraints)
        super().__init__(
            f'table "{target.table.plain}" has no constraint "{name}"',
            fix=f"name one of {names}"
            if names
            else "it has none; what makes a column NOT NULL goes with: evolve plan drop-not-null",
        )


class Needed(Refused):
    def __init__(self, target: Target, name: str, what: str, why: str, fix: str) -> None:
        super().__init__(
            f'constraint "{name}" of "{target.table.plain}" is needed by {what}', why=why, fix=fix
        )


class NoWayBack(Refused):
    def __init__(self, target: Target, name: str, why: str) -> None:
        super().__init__(
            f'once dropped, constraint "{name}" could not come back to the partitioned table '
            f'"{target.table.plain}" without blocking it',
            why=why,
            fix="if it need not come back, drop it by hand in a revision that `evolve lint` passes",
        )


def plan(change: DropConstraint, facts: Facts) -> Plan:
    """The phases: nothing changes until old code is gone.

    Raises:
        Misuse: there is no such constraint.
        Refused: something needs it, or it could not come back.
    """
    target = facts.table(change.table)
    refuse_relatives(target)
    found = target.constraint(change.name)
    if found is None:
        raise UnknownConstraint(target, change.name)
    _refuse_needed(target, found, facts)
    recipe = _Recipe(change, target, found)
    return Plan(change.id, change, (recipe.expand(), recipe.contract()), recipe.notes(), target.source)


def _refuse_needed(target: Target, found: TargetConstraint, facts: Facts) -> None:
    if target.partitioned and found.kind in ("unique", "primary key", "exclude"):
        raise NoWayBack(
            target,
            found.name,
            "such a constraint of a partitioned table is built while nobody reads or writes",
        )
    if (
        target.partitioned
        and found.kind == "foreign key"
        and (facts.server_version or 0) < _NOT_VALID_ON_PARTITIONED
    ):
        raise NoWayBack(
            target,
            found.name,
            "before PostgreSQL 18 a foreign key of a partitioned table cannot be NOT VALID",
        )
    if found.index is None:
        return
    index = facts.index(QualifiedName(found.index, target.table.schema))
    for what in index.needed_by if index is not None else ():
        raise Needed(
            target,
            found.name,
            what,
            "PostgreSQL refuses to drop it while that is there",
            "drop that first, or let it use another unique index"
            + ("; a foreign key: evolve plan drop-constraint" if what.startswith("foreign key") else ""),
        )
    if found.kind == "primary key" and target.published:
        raise Needed(
            target,
            found.name,
            f"publication {', '.join(target.published)}",
            "without a replica identity every UPDATE and DELETE of a published table fails",
            f"choose another first: ALTER TABLE {target.table} REPLICA IDENTITY USING INDEX …",
        )


class _Recipe:
    def __init__(self, change: DropConstraint, target: Target, found: TargetConstraint) -> None:
        self.change = change
        self.target = target
        self.table = target.table
        self.found = found
        self.other = _other_table(found)

    def expand(self) -> Phase:
        return Phase(
            "expand",
            f'the table is as it was: {self.found.kind} "{self.found.name}" still holds',
            instructions=(f"Deploy code that {self._bears()}.",),
            go_back="nothing has changed",
        )

    def contract(self) -> Phase:
        parts = []
        if self.found.kind in ("check", "foreign key"):
            if self.found.validated:
                # Taken back last, when the constraint is there again.
                proven = (validate_constraint(self.table, self.found.name),)
                parts.append(Part(f'on the way back "{self.found.name}" is proven', (), proven))
            again: tuple[Statement, ...] = (self._add_not_valid(),)
        else:
            again = tuple(self._build_again())
        parts.append(
            Part(
                f'drop "{self.found.name}" of {self.table.plain}',
                (self._drop(),),
                again,
            )
        )
        return Phase(
            "contract",
            f'{self.table.plain} accepts what "{self.found.name}" refused',
            tuple(parts),
            gates=(Word(OLD_CODE_GONE, f"all running code {self._bears()}"),),
            go_back=self._go_back(),
            undo_loses=f'nothing, as long as no row has come that "{self.found.name}" would refuse; with such rows the '
            "way back fails until they are mended",
        )

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.found.kind in ("unique", "primary key"):
            notes.append(
                "The index goes with the constraint: queries that use it read the table from then on."
            )
        if self.found.kind == "foreign key" and self.other is not None:
            notes.append(
                f"Rows that point at nothing are no longer prevented, and deletes in {self.other.plain} no longer "
                "reach this table."
            )
        if self.found.kind == "check":
            notes.append(
                "The planner no longer knows that the check holds; SET NOT NULL may need it as its proof."
            )
        return tuple(notes)

    def _bears(self) -> str:
        name = self.table.plain
        match self.found.kind:
            case "foreign key":
                other = self.other.plain if self.other is not None else "the other table"
                return f"neither relies on {other} to refuse or pass on a delete, nor on rows of {name} pointing at one"
            case "check":
                return f"bears rows of {name} that break {self.found.definition.removesuffix(' NOT VALID')}"
            case "exclude":
                return f"bears rows of {name} that conflict"
            case "unique" | "primary key":
                listed = ", ".join(self.found.columns)
                return (
                    f"bears two rows of {name} with the same ({listed}), and says no ON CONFLICT ({listed})"
                )

    def _drop(self) -> Statement:
        why = "catalog only, for an instant; somebody has said that no running code relies on it"
        if self.other is not None and self.other != self.table:
            why += f'; "{self.other.plain}" is locked as well, against reads too'
        allow: tuple[str, ...] = ()
        if self.found.kind == "primary key":
            allow = ("drop-pk-replica-identity",)
        elif self.found.kind in ("unique", "exclude") or " ON DELETE " in self.found.definition:
            allow = ("drop-constraint",)
        return constraint.drop_constraint(self.table, self.found.name, why, allow=allow)

    def _go_back(self) -> str:
        match self.found.kind:
            case "check" | "foreign key":
                return "downgrade the contract revisions: it is added NOT VALID, then validated beside the traffic"
            case "exclude":
                return "downgrade the contract revision in a quiet hour: it reads every row while nobody else does"
            case "unique" | "primary key":
                return "downgrade the contract revision: its index is built beside the traffic, then it takes that over"

    def _add_not_valid(self) -> Statement:
        definition = self.found.definition.removesuffix(" NOT VALID")
        lock = LockMode.SHARE_ROW_EXCLUSIVE if self.found.kind == "foreign key" else LockMode.ACCESS_EXCLUSIVE
        return Statement(
            f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {quote(self.found.name)}\n    {definition} NOT VALID",
            lock,
            "NOT VALID reads no row; from its commit on writes obey it again",
        )

    def _build_again(self) -> list[Statement]:
        head = f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {quote(self.found.name)}"
        index = next((index for index in self.target.indexes if index.name == self.found.index), None)
        if self.found.kind == "exclude" or index is None:
            why = "it reads every row while nobody else does: PostgreSQL knows no other way"
            return [Statement(f"{head}\n    {self.found.definition}", LockMode.ACCESS_EXCLUSIVE, why)]
        name = QualifiedName(index.name, self.table.schema)
        built = re.sub(r"^CREATE UNIQUE INDEX ", "CREATE UNIQUE INDEX CONCURRENTLY ", index.definition)
        deferred = re.search(r"\bDEFERRABLE.*$", self.found.definition)
        word = "PRIMARY KEY" if self.found.kind == "primary key" else "UNIQUE"
        clause = f"{word} USING INDEX {quote(index.name)}" + (f" {deferred[0]}" if deferred else "")
        return [
            *index_build.build(name, built, "reads and writes go on while the index is built again"),
            Statement(
                f"{head}\n    {clause}",
                LockMode.ACCESS_EXCLUSIVE,
                "the index is there already, so no row is read and it takes an instant",
            ),
        ]


def _other_table(found: TargetConstraint) -> QualifiedName | None:
    if found.kind != "foreign key":
        return None
    match parse(f"ALTER TABLE t ADD CONSTRAINT c {found.definition}"):
        case (AddConstraint(constraint=ForeignKey(target=target)),):
            return target
        case _:
            return None


RECIPE = Recipe(
    DropConstraint,
    "Let a table accept what a constraint refuses.",
    (TABLE, Parameter("name", "name", "The constraint.", metavar="CONSTRAINT")),
    plan,
)
