"""Give a view another query: in its place where its readers can bear it, else beside it under a name of its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.plan.change import Change, Uses, table_words
from evolve.plan.facts import Facts, ViewFacts, refuse_taken
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    Holds,
    Part,
    Phase,
    Plan,
    Word,
    quarantine_name,
)
from evolve.plan.parameters import Parameter, option
from evolve.plan.recipe import Recipe
from evolve.plan.views import (
    BadQuery,
    Columns,
    HangsOnView,
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
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class ChangeView(Change):
    """Give a view another query.

    Args:
        query: what follows AS.
        to: name of the new view beside the old; None lets the columns decide whether there is one.
    """

    kind: ClassVar[str] = "change-view"
    query: str
    to: str | None = None

    def words(self) -> Sequence[str]:
        # A view is changed more than once in its life.
        return ["change", *table_words(self.table), hashlib.sha256(self.query.encode()).hexdigest()[:8]]

    def uses(self) -> Uses:
        places = {(self.table, None), (beside_name(self.table, self.to), None)}
        return Uses(frozenset(places), places_read(self.query))


def beside_name(view: QualifiedName, to: str | None) -> QualifiedName:
    """`to`, else the view's name with the next number: `active_users_v2`."""
    if to is None:
        numbered = re.fullmatch(r"(.+)_v([0-9]{1,6})", view.name)
        base, number = (numbered[1], int(numbered[2])) if numbered else (view.name, 1)
        to = shorten(base, f"v{number + 1}")
    return QualifiedName(to, view.schema)


def plan(change: ChangeView, facts: Facts) -> Plan:
    """The phases, by what becomes of the columns.

    Raises:
        Misuse: there is no such view, the name is taken, or the query is none.
        HangsOnView: the view would have to be dropped and made again, and something would be lost.
    """
    view = known_view(facts, change.table, materialized=False)
    query = read_query(change.query, change.table)
    columns = facts.query(change.table, query).columns
    if not columns:
        raise BadQuery("it has no columns")
    if change.to is None and columns[: len(view.columns)] == view.columns:
        phases, note = _in_place(facts, view, query, columns)
    elif change.to is None and set(view.columns) <= set(columns):
        phases, note = _made_again(facts, view, query, columns)
    else:
        to = beside_name(change.table, change.to)
        refuse_taken(facts, to)
        phases, note = _beside(change, view, to, query, columns)
    return Plan(change.id, change, phases, (note,), facts.source)


# -- in its place -------------------------------------------------------------------------------------------
def _in_place(facts: Facts, view: ViewFacts, query: str, columns: Columns) -> tuple[tuple[Phase, ...], str]:
    name = view.name
    forward = create(
        view,
        name,
        query,
        columns,
        "its columns stay what they are, others come behind them; it locks the view alone, for an instant",
        anew=True,
    )
    added = [column for column, _ in columns[len(view.columns) :]]
    back: tuple[Statement, ...]
    loses = None
    if not added:
        back = create(view, name, view.definition, view.columns, "its columns are the same", anew=True)
    else:
        try:
            back = _anew(facts, view, view.definition, view.columns)
        except HangsOnView as error:
            empty = ", ".join(
                f"NULL::{type_name} AS {quote(column)}" for column, type_name in columns if column in added
            )
            old = f"SELECT q.*, {empty}\nFROM (\n{view.definition}\n) AS q"
            back = create(
                view,
                name,
                old,
                columns,
                "a view cannot lose columns in its place: these stay, empty",
                anew=True,
            )
            loses = f"nothing, but the new columns stay, empty: {error.what}"
    phase = Phase(
        "expand",
        f"{name.plain} gives what the new query says" + (f", {', '.join(added)} among it" if added else ""),
        (Part(f"another query for {name.plain}", forward, back),),
        instructions=(
            f"All readers of {name.plain} get the rows of the new query from its commit on; where old code needs the "
            "others, plan it with --to NAME.",
            *((f"Code that reads {', '.join(added)} may start.",) if added else ()),
        ),
        go_back="downgrade the expand revision: the old query is back",
        undo_loses=loses,
    )
    return (phase,), (
        f"{name.plain} is replaced in its place, since it keeps its columns, their types and their order."
    )


def _made_again(facts: Facts, view: ViewFacts, query: str, columns: Columns) -> tuple[tuple[Phase, ...], str]:
    name = view.name
    phase = Phase(
        "expand",
        f"{name.plain} gives what the new query says, its columns in another order",
        (
            Part(
                f"{name.plain} made again",
                _anew(facts, view, query, columns),
                _anew(facts, view, view.definition, view.columns),
            ),
        ),
        instructions=(
            f"All readers of {name.plain} get the rows of the new query from its commit on; code that counts on the "
            "order of its columns must be gone before.",
        ),
        go_back="downgrade the expand revision: the old view is back, with all that reads it",
    )
    dependents = ", ".join(each.name.plain for each in tree(facts, view))
    return (phase,), (
        f"{name.plain} is dropped and made again in one transaction"
        + (f", together with {dependents}" if dependents else "")
        + ": every column is kept, but PostgreSQL cannot put one before another in a view's place. A reader waits for "
        "an instant."
    )


def _anew(facts: Facts, view: ViewFacts, query: str, columns: Columns) -> tuple[Statement, ...]:
    """The view and all that read it, dropped and made again."""
    if view.others:
        raise HangsOnView(view.name, view.others[0])
    dependents = tree(facts, view)
    return (
        *drop_tree(dependents),
        drop(view, why="it is made again in the next statement of this transaction"),
        *create(view, view.name, query, columns, "readers wait for the commit, and then find it"),
        *create_tree(dependents),
    )


# -- beside -------------------------------------------------------------------------------------------------
def _beside(
    change: ChangeView, view: ViewFacts, to: QualifiedName, query: str, columns: Columns
) -> tuple[tuple[Phase, ...], str]:
    name = view.name
    kept = QualifiedName(quarantine_name(change.id), name.schema)
    lost = [column for column in view.columns if column not in columns]
    free = Holds(
        unused(kept),
        f"no view or function reads what was {name.plain} any more",
        f"let what depends on it read {to.plain}: see the DETAIL of DROP VIEW {kept}",
    )
    phases = (
        Phase(
            "expand",
            f"{to.plain} is there beside {name.plain}",
            (
                Part(
                    f"{to.plain} beside {name.plain}",
                    create(view, to, query, columns, "a new view; nobody waits for it"),
                    (drop(view, to, "nobody but new code reads it"),),
                ),
            ),
            instructions=(f"Code that reads {to.plain} may start.",),
            go_back="downgrade the expand revision: the new view goes",
        ),
        Phase(
            "switch",
            f"all code reads {to.plain}",
            instructions=(
                f"Deploy code that reads {to.plain} and no longer {name.plain}.",
                *(
                    (
                        f"Let {', '.join(d.plain for d in view.dependents)} read {to.plain}, in revisions of your own.",
                    )
                    if view.dependents
                    else ()
                ),
            ),
            go_back="deploy the old code again; its view is there",
        ),
        Phase(
            "contract",
            f"{name.plain} is gone for every client; it is kept under {kept.name}",
            (
                Part(
                    f"{name.plain} goes into quarantine",
                    (
                        rename(
                            view,
                            name,
                            kept.name,
                            "catalog only, of the view alone; what reads it in the database goes on",
                        ),
                    ),
                    (rename(view, kept, name.name, "catalog only; it is as it was"),),
                ),
            ),
            gates=(Word(OLD_CODE_GONE, f"no running code reads {name.plain}"),),
            go_back="downgrade the contract revision: the old view is back",
        ),
        Phase(
            "purge",
            "nothing of the old view is left",
            (
                Part(
                    f"what was {name.plain}",
                    (drop(view, kept, "nobody can have found it under this name"),),
                    create(view, kept, view.definition, view.columns, "a new view; nobody waits for it"),
                    (free,),
                ),
            ),
            gates=(Word(PURGE_APPROVED, f"nobody will want {name.plain} back"), free),
            go_back="downgrade the purge revision: the view is made again",
            undo_loses=", ".join(view.others) or None,
        ),
    )
    why = (
        f"{', '.join(column for column, _ in lost)} would be gone or have another type, which old code cannot bear"
        if lost
        else "--to asks for it"
    )
    note = f"The new view comes beside the old one, as {to.plain}: {why}. Both can be read until contract."
    if view.dependents:
        names = ", ".join(each.plain for each in view.dependents)
        reads, them = ("reads", "it") if len(view.dependents) == 1 else ("read", "each of them")
        note += f" {names} {reads} the old one, also in quarantine, and purge is shut as long: give {them} another "
        note += "query with evolve plan change-view."
    if view.others:
        note += f" What hangs on the old one stays with it: {', '.join(view.others)}."
    return phases, note


RECIPE = Recipe(
    ChangeView,
    "Give a view another query.",
    (
        Parameter("table", "table", "The view.", metavar="VIEW"),
        option(
            "query", "statement", "The new query; @FILE reads it from a file.", required=True, spelled="as"
        ),
        option("to", "name", "Name of the new view beside the old one.", metavar="NAME"),
    ),
    plan,
)
