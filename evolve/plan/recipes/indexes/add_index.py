"""Add an index beside the traffic; to a partitioned table partition by partition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from evolve.counted import rows_of
from evolve.errors import Misuse, Refused
from evolve.plan import index_build
from evolve.plan.change import Change, Uses
from evolve.plan.constraint import refuse_relatives
from evolve.plan.facts import Facts, refuse_taken
from evolve.plan.index_definition import Wished, checked, parameters
from evolve.plan.model import Gate, NoRows, Part, Phase, Plan, ValidIndex
from evolve.plan.parameters import TABLE, option
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target
from evolve.plan.trials import NoSuchRow, Trial
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, check_length, shorten
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class AddIndex(Change):
    """Let PostgreSQL find rows by some columns or expressions.

    Args:
        on: what stands between the parentheses of CREATE INDEX.
        name: of the index; None: ix_ with the names of table and columns.
    """

    kind: ClassVar[str] = "add-index"
    on: str
    using: str = "btree"
    where: str | None = None
    include: tuple[str, ...] = ()
    unique: bool = False
    name: str | None = None

    def words(self) -> Sequence[str]:
        schema = [] if self.table.schema == "public" else [self.table.schema]
        return ["add", *schema, self.index.name]

    def uses(self) -> Uses:
        return Uses(frozenset(), self.wish.places)

    @property
    def wish(self) -> Wished:
        return Wished(self.table, self.on, self.using, self.where, self.include, self.unique)

    @property
    def index(self) -> QualifiedName:
        return QualifiedName(self.name or self.wish.usual_name, self.table.schema)


class IndexedAlready(Misuse):
    def __init__(self, target: Target, name: str) -> None:
        super().__init__(
            f'index "{name}" of "{target.table.plain}" holds the same', fix="there is nothing to do"
        )


class DuplicateKeys(Refused):
    def __init__(self, wish: Wished, count: int, examples: tuple[str, ...]) -> None:
        shown = f", among them {'; '.join(examples)}" if examples else ""
        super().__init__(
            f"{rows_of(wish.table.plain, count, 'shares its', 'share their')} ({wish.on}) with another{shown}",
            why="the unique index could not be built: PostgreSQL reads the whole table, fails, and leaves it behind "
            "invalid",
            fix="which of them is right only you can say: mend or delete the others in small batches, then plan it "
            "again",
        )


def plan(change: AddIndex, facts: Facts) -> Plan:
    """One phase; two for a partitioned table.

    Raises:
        Misuse: the definition does not parse or fit, the name is taken, or such an index is there.
        Refused: the table is a partition or takes part in inheritance.
    """
    target = facts.table(change.table)
    refuse_relatives(target)
    wish = checked(change.wish, target)
    check_length(change.index.name)
    for there in target.indexes:
        if wish.same_as(there):
            raise IndexedAlready(target, there.name)
    refuse_taken(facts, change.index)
    if target.partitioned:
        recipe = _Partitioned(change, wish, target, facts)
        return Plan(change.id, change, (recipe.expand(), recipe.validate()), recipe.notes(), target.source)
    phase = Phase(
        "expand",
        f"index {change.index.plain} is there",
        (
            Part(
                f"index {change.index.plain} on {change.table.plain}",
                index_build.build(
                    change.index, wish.create(change.index.name), "reads and writes go on while it is built"
                ),
                (index_build.drop(change.index),),
                _no_duplicates(wish),
            ),
        ),
        instructions=_first(wish),
        go_back="downgrade the expand revision: the index goes, beside the traffic as well",
    )
    return Plan(change.id, change, (phase,), (), target.source)


def _no_duplicates(wish: Wished) -> tuple[Gate, ...]:
    return (none_twice(wish),) if wish.unique else ()


def none_twice(wish: Wished) -> NoRows:
    return NoRows(
        wish.table,
        wish.duplicated(),
        "another row has the same keys",
        fix="mend or delete all but one of each in small batches",
    )


def _first(wish: Wished) -> tuple[str, ...]:
    if not wish.unique:
        return ()
    return (
        f"First deploy code that gives every row its own ({wish.on}): a write that makes a second one fails before "
        "the index is even finished.",
    )


class _Partitioned:
    def __init__(self, change: AddIndex, wish: Wished, target: Target, facts: Facts) -> None:
        self.change = change
        self.wish = wish
        self.target = target
        self.index = change.index
        self.below = tuple(self._below(target, change.index, facts))
        self.leaves = tuple(each for each in self.below if not each.partitioned)

    def _below(self, parent: Target, parent_index: QualifiedName, facts: Facts) -> Iterator[_Below]:
        for name in parent.partitions:
            partition = facts.table(name)
            index = QualifiedName(shorten(self.index.name, name.name), name.schema)
            refuse_taken(facts, index)
            yield _Below(name, index, parent_index, partitioned=partition.partitioned)
            yield from self._below(partition, index, facts)

    def expand(self) -> Phase:
        whole = [
            Statement(
                self.wish.create(self.index.name, concurrently=False, only=True),
                LockMode.SHARE,
                "on the table ONLY, so no row is read; it stays invalid until every partition has its own, and writes "
                "through the table wait for an instant",
                allow=_ON_ONLY,
            )
        ]
        whole += [
            Statement(
                self.wish.create(each.index.name, concurrently=False, only=True, table=each.table),
                LockMode.SHARE,
                "the same for a partition that has partitions itself",
                allow=_ON_ONLY,
            )
            for each in self.below
            if each.partitioned
        ]
        drops = [
            Statement(
                f"DROP INDEX IF EXISTS {name}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; it locks the table and its partitions for an instant, and takes what is attached to it",
            )
            for name in (self.index, *(each.index for each in self.below))
        ]
        built = tuple(
            Statement(
                self.wish.create(each.index.name, if_not_exists=True, table=each.table),
                LockMode.SHARE_UPDATE_EXCLUSIVE,
                "reads and writes go on while it is built; what an earlier attempt finished stays, and one that it "
                "left invalid the gate of validate finds",
                transactional=False,
                allow=("concurrent-if-not-exists",),
            )
            for each in self.leaves
        )
        parts = [
            Part(
                f"index {self.index.plain}, still invalid",
                tuple(whole),
                tuple(drops),
                _no_duplicates(self.wish),
            )
        ]
        if built:
            parts.append(Part(f"index {self.index.plain} of each partition", built))
        return Phase(
            "expand",
            f"each partition of {self.change.table.plain} has its index",
            tuple(parts),
            instructions=_first(self.wish),
            go_back="downgrade the expand revisions: the indexes go, with the table and all partitions locked for an "
            "instant",
        )

    def validate(self) -> Phase:
        valid: tuple[Gate, ...] = tuple(ValidIndex(each.index) for each in self.leaves)
        attached = tuple(
            Statement(
                f"ALTER INDEX {each.parent}\n    ATTACH PARTITION {each.index}",
                LockMode.ACCESS_SHARE,
                "catalog only; queries of that partition wait for an instant, since its index is locked",
            )
            # The deepest first: an index becomes valid when all below it are.
            for each in reversed(self.below)
        )
        return Phase(
            "validate",
            f"index {self.index.plain} is valid, and partitions to come get it by themselves",
            (Part(f"index {self.index.plain} is whole", attached, (), valid),) if attached else (),
            gates=valid,
            go_back="downgrade the validate revision: nothing changes, attached indexes do no harm",
        )

    def notes(self) -> tuple[str, ...]:
        return (
            "A partition that comes while this is in flight gets its index with it: nothing else is to be done for it.",
        )


@dataclass(frozen=True, slots=True)
class _Below:
    table: QualifiedName
    index: QualifiedName
    parent: QualifiedName
    partitioned: bool


_ON_ONLY = ("create-index-blocking",)


def trials(change: AddIndex, facts: Facts) -> Iterator[Trial]:
    wish = checked(change.wish, facts.table(change.table))
    if wish.unique:
        show = tuple(dict.fromkeys((*facts.table(change.table).key, *wish.columns)))
        refusal = partial(DuplicateKeys, wish)
        yield NoSuchRow(wish.table, wish.duplicated(), "another row has the same keys", show, refusal)


RECIPE = Recipe(
    AddIndex,
    "Add an index while everybody reads and writes.",
    (TABLE, *parameters(), option("name", "name", "Name of the index.")),
    plan,
    trials,
)
