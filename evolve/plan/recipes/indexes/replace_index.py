"""Give an index another definition: the new one is built beside it, takes its name, and the old one goes at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from evolve.errors import Misuse
from evolve.plan import index_build
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.facts import Facts, IndexFacts, refuse_taken
from evolve.plan.index_definition import Wished, checked, parameters
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    Gate,
    Part,
    Phase,
    Plan,
    ValidIndex,
    Word,
    quarantine_name,
)
from evolve.plan.parameters import Parameter
from evolve.plan.recipe import Recipe
from evolve.plan.recipes.indexes.add_index import DuplicateKeys, none_twice
from evolve.plan.recipes.indexes.drop_index import PartitionedIndex, built_again, known_index
from evolve.plan.trials import NoSuchRow, Trial
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class ReplaceIndex(Change):
    """Let another index stand under the name of one that is there.

    Args:
        table: the index.
        on: what stands between the parentheses of CREATE INDEX.
    """

    kind: ClassVar[str] = "replace-index"
    on: str
    using: str = "btree"
    where: str | None = None
    include: tuple[str, ...] = ()
    unique: bool = False

    def words(self) -> Sequence[str]:
        return ["replace_index", *table_words(self.table)]

    def uses(self) -> Uses:
        return Uses(frozenset({(self.table, None)}))

    def wish(self, table: QualifiedName) -> Wished:
        return Wished(table, self.on, self.using, self.where, self.include, self.unique)


class SameIndex(Misuse):
    def __init__(self, index: IndexFacts) -> None:
        super().__init__(
            f'index "{index.name.plain}" is that already',
            fix="there is nothing to do; one that is bloated is built anew by: "
            f"REINDEX INDEX CONCURRENTLY {index.name}",
        )


def plan(change: ReplaceIndex, facts: Facts) -> Plan:
    """The phases.

    Raises:
        Misuse: there is no such index, or the definition does not parse or fit.
        Refused: something needs the index as it is.
    """
    index = known_index(change.table, facts)
    if index.partitioned:
        raise PartitionedIndex(
            index,
            f"add the new one under a name of its own (evolve plan add-index {index.table}), then drop this one",
        )
    wish = checked(change.wish(index.table), facts.table(index.table))
    if wish.same_as(index.index):
        raise SameIndex(index)
    recipe = _Recipe(change, index, wish)
    refuse_taken(facts, recipe.new)
    also = Uses(frozenset(), wish.places | columns(index.table, index.index.columns))
    phases = (recipe.expand(), recipe.contract(), recipe.purge())
    return Plan(change.id, change, phases, recipe.notes(), facts.source, also=also)


class _Recipe:
    def __init__(self, change: ReplaceIndex, index: IndexFacts, wish: Wished) -> None:
        self.change = change
        self.old = index
        self.wish = wish
        schema = index.name.schema
        self.new = QualifiedName(shorten(index.name.name, "new"), schema)
        self.kept = QualifiedName(quarantine_name(change.id), schema)

    def expand(self) -> Phase:
        return Phase(
            "expand",
            f"{self.new.plain} stands beside {self.old.name.plain}",
            (
                Part(
                    f"index {self.new.plain} on {self.wish.table.plain}",
                    index_build.build(
                        self.new, self.wish.create(self.new.name), "reads and writes go on while it is built"
                    ),
                    (index_build.drop(self.new),),
                    (none_twice(self.wish),) if self._stricter else (),
                ),
            ),
            instructions=(
                (f"First deploy code that gives every row its own ({self.wish.on}).",)
                if self._stricter
                else ()
            ),
            go_back="downgrade the expand revision: the new index goes",
        )

    def contract(self) -> Phase:
        forward = [self._rename(self.old.name, self.kept), self._rename(self.new, self.old.name)]
        if self.old.comment is not None:
            forward.append(self._comment(self.old.comment))
        return Phase(
            "contract",
            f"{self.old.name.plain} is the new index; the old one is kept, and still used",
            (
                Part(
                    f"{self.old.name.plain} is the new index",
                    tuple(forward),
                    (self._rename(self.old.name, self.new), self._rename(self.kept, self.old.name)),
                ),
            ),
            gates=(ValidIndex(self.new),),
            go_back="downgrade the contract revision: they trade names again",
        )

    def purge(self) -> Phase:
        gates: list[Gate] = [
            Word(PURGE_APPROVED, f"queries do as well by the new {self.old.name.plain}: the old one may go")
        ]
        if self.old.index.unique:
            gates.append(
                Word(
                    OLD_CODE_GONE,
                    f"no running code relies on the old {self.old.name.plain} to refuse duplicates, or says "
                    "ON CONFLICT on its columns",
                )
            )
        drop = Statement(
            f"DROP INDEX CONCURRENTLY IF EXISTS {self.kept}",
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "reads and writes go on; the new index serves in its place",
            transactional=False,
            allow=("drop-constraint",) if self.old.index.unique and not self.wish.unique else (),
        )
        definition = self.old.index.definition.replace(
            f" INDEX {quote(self.old.name.name)} ", f" INDEX {quote(self.kept.name)} ", 1
        )
        kept = replace(self.old, name=self.kept, index=replace(self.old.index, definition=definition))
        return Phase(
            "purge",
            "the old index is gone",
            (Part(f"drop the old {self.old.name.plain}", (drop,), built_again(kept)),),
            gates=tuple(gates),
            go_back="downgrade the purge revision: the old index is built again beside the traffic",
        )

    def notes(self) -> tuple[str, ...]:
        if self.old.index.unique and not self.wish.unique:
            return ("Until purge the old index goes on refusing duplicates, whatever the new one allows.",)
        return ()

    @property
    def _stricter(self) -> bool:
        return self.wish.unique

    def _rename(self, name: QualifiedName, to: QualifiedName) -> Statement:
        return Statement(
            f"ALTER INDEX {name}\n    RENAME TO {quote(to.name)}",
            None,
            "it locks the index alone, against other changes of it; queries go on using it under any name",
        )

    def _comment(self, text: str) -> Statement:
        return Statement(
            f"COMMENT ON INDEX {self.old.name} IS {literal(text).strip()}",
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "catalog only",
        )


def trials(change: ReplaceIndex, facts: Facts) -> Iterator[Trial]:
    table = known_index(change.table, facts).table
    target = facts.table(table)
    wish = checked(change.wish(table), target)
    if wish.unique:
        show = tuple(dict.fromkeys((*target.key, *wish.columns)))
        yield NoSuchRow(
            table, wish.duplicated(), "another row has the same keys", show, partial(DuplicateKeys, wish)
        )


RECIPE = Recipe(
    ReplaceIndex,
    "Give an index another definition under its name.",
    (Parameter("table", "relation", "The index.", metavar="INDEX"), *parameters()),
    plan,
    trials,
)
