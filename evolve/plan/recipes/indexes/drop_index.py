"""Drop an index that nothing uses: the server's own counts say so, and somebody says it for the replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evolve.errors import Refused
from evolve.plan import index_build
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.facts import Facts, IndexFacts, NotThere
from evolve.plan.model import OLD_CODE_GONE, Gate, Holds, Part, Phase, Plan, Word
from evolve.plan.parameters import Parameter, option
from evolve.plan.recipe import Recipe
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal
from evolve.sql.statements import Statement

UNUSED = "index-unused"


@dataclass(frozen=True, slots=True)
class DropIndex(Change):
    """Spare writes an index.

    Args:
        table: the index.
        although_used: its scans on this server are no reason to keep it.
    """

    kind: ClassVar[str] = "drop-index"
    although_used: bool = False

    def words(self) -> Sequence[str]:
        return ["drop_index", *table_words(self.table)]

    def uses(self) -> Uses:
        return Uses(frozenset({(self.table, None)}))


class NeededIndex(Refused):
    def __init__(self, index: IndexFacts, what: str, fix: str) -> None:
        super().__init__(
            f'index "{index.name.plain}" of "{index.table.plain}" is needed by {what}',
            why="PostgreSQL refuses to drop it alone",
            fix=fix,
        )


class PartitionedIndex(Refused):
    def __init__(self, index: IndexFacts, fix: str) -> None:
        super().__init__(
            f'index "{index.name.plain}" is of the partitioned table "{index.table.plain}"',
            why="PostgreSQL handles it only together with those of all partitions, each of them locked against reads "
            "and writes meanwhile",
            fix=fix,
        )


def known_index(name: QualifiedName, facts: Facts) -> IndexFacts:
    """The index.

    Raises:
        NotThere: there is none of that name; NeededIndex: a constraint, a foreign key or the replica identity is it.
    """
    index = facts.index(name)
    if index is None:
        raise NotThere("index", name)
    if index.index.constraint is not None:
        raise NeededIndex(
            index,
            f'constraint "{index.index.constraint}"',
            f"evolve plan drop-constraint {index.table} drops both",
        )
    for what in index.needed_by:
        raise NeededIndex(index, what, "drop that first, or let it use another index")
    return index


def plan(change: DropIndex, facts: Facts) -> Plan:
    """The phases; one alone for an index that is not valid, which no query uses.

    Raises:
        Misuse: there is no such index; Refused: something needs it.
    """
    index = known_index(change.table, facts)
    if index.partitioned:
        raise PartitionedIndex(
            index,
            "drop it by hand in a quiet hour, in a revision that says why: "
            "# evolve: allow[drop-index-blocking] because …",
        )
    also = Uses(frozenset(), columns(index.table, index.index.columns))
    phases: tuple[Phase, ...]
    if index.index.valid:
        phases = (_expand(index), _purge(change, index))
    else:
        part = Part(f"drop {index.name.plain}", (_drop(index),))
        phases = (
            Phase(
                "expand",
                f"what was left of index {index.name.plain} is gone",
                (part,),
                go_back="downgrade the expand revision: nothing comes back, no query could use it",
            ),
        )
    return Plan(change.id, change, phases, _notes(index, facts), facts.source, also=also)


def _expand(index: IndexFacts) -> Phase:
    return Phase(
        "expand",
        f"index {index.name.plain} is still there, and its scans are counted",
        instructions=(
            "Wait for as long as any job may come round that could use it: a month's end, a year's.",
            f"Look at every replica, whose queries are counted there alone: {_scans(index)}.",
        ),
        go_back="nothing has changed",
    )


def _purge(change: DropIndex, index: IndexFacts) -> Phase:
    gates: list[Gate] = []
    if not change.although_used and index.scans is not None:
        gates.append(
            Holds(
                f"coalesce(({_scans(index)}), 0) <= {index.scans}",
                f"no query on this server has used {index.name.plain} since it was planned ({index.scans} scans then)",
                "it is in use: find out by what, and whether another index would serve; then plan it anew, or with "
                "--although-used",
            )
        )
    gates.append(Word(UNUSED, f"no replica and no job that comes round seldom uses {index.name.plain}"))
    if index.index.unique:
        gates.append(
            Word(
                OLD_CODE_GONE,
                f"no running code relies on {index.name.plain} to refuse duplicates, or says ON CONFLICT on its "
                "columns",
            )
        )
    return Phase(
        "purge",
        f"index {index.name.plain} is gone",
        (Part(f"drop {index.name.plain}", (_drop(index),), built_again(index)),),
        gates=tuple(gates),
        go_back="downgrade the purge revision: it is built again beside the traffic",
        undo_loses="its uniqueness meanwhile: duplicates that came stop the build"
        if index.index.unique
        else None,
    )


def _drop(index: IndexFacts) -> Statement:
    return Statement(
        f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}",
        LockMode.SHARE_UPDATE_EXCLUSIVE,
        "reads and writes go on; it waits for transactions that may still use the index, and nothing needs it any more",
        transactional=False,
        allow=("drop-constraint",) if index.index.unique else (),
    )


def built_again(index: IndexFacts) -> tuple[Statement, ...]:
    """Build what was dropped, under its name."""
    sql = index.index.definition.replace(" INDEX ", " INDEX CONCURRENTLY ", 1)
    statements = index_build.build(index.name, sql, "reads and writes go on while it is built again")
    if index.comment is None:
        return statements
    comment = f"COMMENT ON INDEX {index.name} IS {literal(index.comment).strip()}"
    return (*statements, Statement(comment, LockMode.SHARE_UPDATE_EXCLUSIVE, "catalog only"))


def _scans(index: IndexFacts) -> str:
    name = literal(index.name.full).strip()
    return f"SELECT idx_scan FROM pg_catalog.pg_stat_all_indexes WHERE indexrelid = to_regclass({name})"  # noqa: S608


def _notes(index: IndexFacts, facts: Facts) -> tuple[str, ...]:
    notes = []
    if index.scans is None:
        notes.append("How often the index was used is not known from the revisions: look at every server.")
    else:
        notes.append(
            f"This server has used it {index.scans} times since its statistics were reset; where that is not long ago, "
            "or an incident empties them, the count proves less."
        )
    target = facts.table(index.table)
    others = [other for other in target.indexes if other.name != index.name.name]
    for key in target.constraints:
        served = index_build.serving([index.index], key.columns) and not index_build.serving(
            others, key.columns
        )
        if key.kind == "foreign key" and served:
            notes.append(
                f'No other index serves the foreign key "{key.name}": without it each delete over there, however '
                "rare, reads this table."
            )
    return tuple(notes)


RECIPE = Recipe(
    DropIndex,
    "Drop an index once nothing uses it.",
    (
        Parameter("table", "relation", "The index.", metavar="INDEX"),
        option("although_used", "flag", "Do not ask that nothing on this server use it meanwhile."),
    ),
    plan,
)
