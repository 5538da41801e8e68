"""Give a materialised view another query: built beside the old with its indexes, then put in its place or apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Refused
from evolve.plan.change import Change, Uses, table_words
from evolve.plan.facts import Facts, ViewFacts, refuse_taken
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    Holds,
    Part,
    Phase,
    Plan,
    ValidIndex,
    Word,
    quarantine_name,
)
from evolve.plan.parameters import Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.recipes.programs.change_view import beside_name
from evolve.plan.target import TargetIndex
from evolve.plan.views import (
    BadQuery,
    Columns,
    create,
    create_tree,
    drop,
    drop_tree,
    known_view,
    places_read,
    read_query,
    rename,
    tree,
    unused,
)
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.parse import rename_in_definition
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class ChangeMaterializedView(Change):
    """Give a materialised view another query.

    Args:
        query: what follows AS.
        to: name of the new view beside the old; None lets the columns decide whether there is one.
    """

    kind: ClassVar[str] = "change-materialized-view"
    query: str
    to: str | None = None

    def words(self) -> Sequence[str]:
        return ["change", *table_words(self.table), hashlib.sha256(self.query.encode()).hexdigest()[:8]]

    def uses(self) -> Uses:
        places = {(self.table, None), (beside_name(self.table, self.to), None)}
        return Uses(frozenset(places), places_read(self.query))


class IndexWithoutColumn(Refused):
    def __init__(self, view: QualifiedName, index: TargetIndex, column: str) -> None:
        super().__init__(
            f'index "{index.name}" of "{view.plain}" needs column "{column}", which the new query does not give',
            why="the new view is to have the indexes of the old one",
            fix=f"give the column, or drop the index in a revision before: DROP INDEX CONCURRENTLY {quote(index.name)}",
        )


def plan(change: ChangeMaterializedView, facts: Facts) -> Plan:
    """The phases, by what becomes of the columns.

    Raises:
        Misuse: there is no such view, a name is taken, or the query is none.
        IndexWithoutColumn: an index cannot be built on the new view.
        HangsOnView: something that reads the view cannot be made again over the new one.
    """
    view = known_view(facts, change.table, materialized=True)
    query = read_query(change.query, change.table)
    columns = facts.query(change.table, query).columns
    if not columns:
        raise BadQuery("it has no columns")
    given = {column for column, _ in columns}
    for index in view.indexes:
        for column in index.columns:
            if column not in given:
                raise IndexWithoutColumn(change.table, index, column)
    to = beside_name(change.table, change.to)
    refuse_taken(facts, to)
    recipe = _Recipe(change, facts, view, to, query, columns)
    if change.to is None and set(view.columns) <= set(columns):
        return Plan(change.id, change, recipe.swapped(), recipe.notes(swapped=True), facts.source)
    return Plan(change.id, change, recipe.apart(), recipe.notes(swapped=False), facts.source)


class _Recipe:
    """All names and parts of one change."""

    def __init__(
        self,
        change: ChangeMaterializedView,
        facts: Facts,
        view: ViewFacts,
        to: QualifiedName,
        query: str,
        columns: Columns,
    ) -> None:
        self.change = change
        self.facts = facts
        self.view = view
        self.name = view.name
        self.to = to
        self.query = query
        self.columns = columns
        self.kept = QualifiedName(quarantine_name(change.id), view.name.schema)
        self.indexes = tuple(self._new_indexes())

    def _new_indexes(self) -> Iterator[tuple[TargetIndex, QualifiedName]]:
        """Each index of the old view, and the name of its twin."""
        for number, index in enumerate(self.view.indexes, 1):
            name = QualifiedName(shorten(self.to.name, "idx", str(number)), self.name.schema)
            refuse_taken(self.facts, name)
            yield index, name

    # -- ways -----------------------------------------------------------------------------------------------
    def swapped(self) -> tuple[Phase, ...]:
        """Old code can bear the new view: it is built, then takes the name."""
        dependents = tree(self.facts, self.view)
        forward = [
            *drop_tree(dependents),
            rename(
                self.view, self.name, self.kept.name, "catalog only; both renames are seen at one instant"
            ),
            rename(self.view, self.to, self.name.name, "catalog only; who waited finds the new one"),
            *self._trade_names(forward=True),
            *create_tree(dependents),
        ]
        back = [
            *drop_tree(dependents),
            *self._trade_names(forward=False),
            rename(self.view, self.name, self.to.name, "catalog only"),
            rename(self.view, self.kept, self.name.name, "catalog only; who waited finds the old one"),
            *create_tree(dependents),
        ]
        return (
            Phase(
                "expand",
                f"{self.name.plain} holds what the new query gives",
                (
                    self._build(),
                    Part(f"{self.name.plain} is the new one", tuple(forward), tuple(back), self._ready()),
                ),
                instructions=(
                    f"Jobs that refresh {self.name.plain} by name refresh the new one from now on; one that runs while "
                    "the names are traded is waited for.",
                ),
                go_back="downgrade the expand revisions: the old view has its name again; refresh it",
                undo_loses=None,
            ),
            self._purge([self._aside(number + 1).name for number in range(len(self.indexes))]),
        )

    def apart(self) -> tuple[Phase, ...]:
        """Old code needs the old view: both are there until it is gone."""
        name, to = self.name.plain, self.to.plain
        return (
            Phase(
                "expand",
                f"{to} is there beside {name}",
                (self._build(),),
                instructions=(
                    f"Let the jobs that refresh {name} refresh {to} as well.",
                    f"Code that reads {to} may start.",
                ),
                go_back="downgrade the expand revision: the new view goes",
            ),
            Phase(
                "switch",
                f"all code reads {to}",
                gates=self._ready(),
                instructions=(f"Deploy code that reads {to} and no longer {name}.",),
                go_back="deploy the old code again; its view is there",
            ),
            Phase(
                "contract",
                f"{name} is gone for every client; it is kept under {self.kept.name}",
                (
                    Part(
                        f"{name} goes into quarantine",
                        (rename(self.view, self.name, self.kept.name, "catalog only, of the view alone"),),
                        (rename(self.view, self.kept, self.name.name, "catalog only; it is as it was"),),
                    ),
                ),
                gates=(Word(OLD_CODE_GONE, f"no running code and no job reads or refreshes {name}"),),
                go_back="downgrade the contract revision: the old view is back; refresh it",
            ),
            self._purge([index.name for index, _ in self.indexes]),
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def _build(self) -> Part:
        return Part(
            f"{self.to.plain} beside {self.name.plain}",
            self._built(self.to, self.query, self.columns, [name.name for _, name in self.indexes]),
            (drop(self.view, self.to, "nobody but new code reads it"),),
        )

    def _built(
        self, name: QualifiedName, query: str, columns: Columns, indexes: Sequence[str]
    ) -> tuple[Statement, ...]:
        """A view with its rows, its statistics and its indexes."""
        made = create(
            self.view,
            name,
            query,
            columns,
            "it reads while everybody reads and writes, for as long as the query takes; nobody knows the name yet",
        )
        # The role that runs this may have no right to build indexes once another owns the view: that comes last.
        before = len(made) - (self.view.owner is not None)
        built = [
            Statement(
                _index_on(index, self.name, name, new),
                LockMode.SHARE,
                f'as "{index.name}" is, on a view that nobody reads yet',
            )
            for (index, _), new in zip(self.indexes, indexes, strict=True)
        ]
        analyzed = Statement(
            f"ANALYZE {name}", LockMode.SHARE_UPDATE_EXCLUSIVE, "its first readers find statistics"
        )
        return (*made[:before], *built, analyzed, *made[before:])

    def _ready(self) -> tuple[ValidIndex, ...]:
        return tuple(ValidIndex(name) for _, name in self.indexes)

    def _aside(self, number: int) -> QualifiedName:
        return QualifiedName(shorten(self.kept.name, str(number)), self.name.schema)

    def _trade_names(self, *, forward: bool) -> Iterator[Statement]:
        """Names of indexes that people know stay with the view that is read."""
        for number, (index, name) in enumerate(self.indexes, 1):
            old, aside = QualifiedName(index.name, self.name.schema), self._aside(number)
            for source, to in [(old, aside), (name, old)] if forward else [(old, name), (aside, old)]:
                yield Statement(
                    f"ALTER INDEX {source}\n    RENAME TO {quote(to.name)}",
                    LockMode.SHARE_UPDATE_EXCLUSIVE,
                    "catalog only",
                    allow=("rename-object",),
                )

    @property
    def _unused(self) -> Holds:
        return Holds(
            unused(self.kept),
            f"no view or function reads what was {self.name.plain} any more",
            f"let what depends on it read the new view: see the DETAIL of DROP MATERIALIZED VIEW {self.kept}",
        )

    def _purge(self, indexes: Sequence[str]) -> Phase:
        again = self._built(self.kept, self.view.definition, self.view.columns, indexes)
        return Phase(
            "purge",
            "nothing of the old view is left",
            (
                Part(
                    f"what was {self.name.plain}",
                    (drop(self.view, self.kept, "nobody can have found it under this name"),),
                    again,
                    (self._unused,),
                ),
            ),
            gates=(Word(PURGE_APPROVED, f"nobody will want the old {self.name.plain} back"), self._unused),
            go_back="downgrade the purge revision: it is built again",
        )

    def notes(self, *, swapped: bool) -> tuple[str, ...]:
        name, to = self.name.plain, self.to.plain
        lost = [column for column in self.view.columns if column not in self.columns]
        if swapped:
            way = (
                f"{name} is built again as {to}, and the two trade names: every column is kept with its type."
            )
        elif lost:
            gone = ", ".join(column for column, _ in lost)
            way = f"{to} comes beside {name}: {gone} would be gone or have another type, which old code cannot bear."
        else:
            way = f"{to} comes beside {name}: --to asks for it."
        notes = [
            way,
            "It is built in one transaction, which keeps VACUUM from clearing rows away until it ends.",
        ]
        if not any(index.unique for index in self.view.indexes):
            notes.append(
                f"{name} has no unique index: REFRESH MATERIALIZED VIEW CONCURRENTLY is refused for it and for the new "
                "one, and a plain REFRESH keeps all readers out."
            )
        if not self.view.populated:
            notes.append(f"{name} has never been filled; the new one is, when it is built.")
        if self.view.others:
            notes.append(f"What hangs on the old view stays with it: {', '.join(self.view.others)}.")
        return tuple(notes)


def _index_on(index: TargetIndex, old: QualifiedName, view: QualifiedName, name: str) -> str:
    """The CREATE INDEX of `index` under another name on another view."""
    # Only the names change, no column.
    renamed = rename_in_definition(index.definition, "", "", name=name)
    return renamed.replace(f" ON {old} USING ", f" ON {view}\n    USING ", 1)


RECIPE = Recipe(
    ChangeMaterializedView,
    "Give a materialized view another query.",
    (
        Parameter("table", "table", "The materialized view.", metavar="VIEW"),
        option(
            "query", "statement", "The new query; @FILE reads it from a file.", required=True, spelled="as"
        ),
        option("to", "name", "Name of the new view beside the old one.", metavar="NAME"),
    ),
    plan,
)
