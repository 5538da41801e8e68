"""Rename a table: a view under the old name serves the code that still uses it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.errors import Misuse, Refused
from evolve.plan.change import Change, Uses, table_words
from evolve.plan.facts import Facts, NameTaken, refuse_taken
from evolve.plan.grants import OF_VIEWS, grant_again
from evolve.plan.model import OLD_CODE_GONE, Holds, Part, Phase, Plan, Word
from evolve.plan.parameters import TABLE, Parameter
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target
from evolve.plan.trials import CommandsFit, Trial
from evolve.plan.versions import Shapes, whole
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote
from evolve.sql.statements import Statement

_INVOKER = 150000  # server version from which a view can check what its caller may do
_MERGE = 170000  # server version from which MERGE can write to a view


@dataclass(frozen=True, slots=True)
class RenameTable(Change):
    """Give a table another name.

    Args:
        to: in the same schema.
    """

    kind: ClassVar[str] = "rename-table"
    to: str

    def words(self) -> Sequence[str]:
        return ["rename", *table_words(self.table), "to", self.to]

    def uses(self) -> Uses:
        return Uses(frozenset({(self.table, None), (self.renamed, None)}))

    @property
    def renamed(self) -> QualifiedName:
        return QualifiedName(self.to, self.table.schema)


class SameTableName(Misuse):
    def __init__(self, name: str) -> None:
        super().__init__(f'the table is called "{name}" already', fix="give the new name as second argument")


class RowsWouldBeBare(Refused):
    """Row security before PostgreSQL 15."""

    def __init__(self, table: QualifiedName) -> None:
        super().__init__(
            f'"{table.plain}" has row level security, which a view under the old name would pass by',
            why="before PostgreSQL 15 a view reads with the rights of its owner, so that old code would see and write "
            "the rows of everybody",
            fix="keep the name until the server is at 15",
        )


class CommandsWouldFail(Refused):
    def __init__(self, change: RenameTable, found: Sequence[str]) -> None:
        super().__init__(
            f'clients run commands on "{change.table.plain}" that a view refuses: {"; ".join(found)}',
            why="from expand on the old name is that of a view",
            fix="let them do without (INSERT, DELETE, COPY (SELECT …) TO), then forget what was seen: SELECT "
            "pg_stat_statements_reset()",
        )


def plan(change: RenameTable, facts: Facts) -> Plan:
    """The phases of a rename.

    Raises:
        Misuse: a name is unknown or taken.
        Refused: a view could not stand in for the table.
    """
    target = facts.table(change.table)
    if change.to == change.table.name:
        raise SameTableName(change.to)
    refuse_taken(facts, change.renamed)
    if facts.source == "database" and facts.enum(change.renamed) is not None:
        # A table brings a type of its own name.
        raise NameTaken(change.renamed, "type")
    invoker = (facts.server_version or _INVOKER) >= _INVOKER
    if target.row_security and not invoker:
        raise RowsWouldBeBare(change.table)
    recipe = _Recipe(change, target, facts.server_version, invoker=invoker)
    phases = (recipe.expand(), recipe.switch(), recipe.contract())
    return Plan(change.id, change, phases, recipe.notes(), target.source)


class _Recipe:
    def __init__(
        self, change: RenameTable, target: Target, server_version: int | None, *, invoker: bool
    ) -> None:
        self.change = change
        self.target = target
        self.version = server_version
        self.invoker = invoker
        self.old, self.new = change.table, change.renamed

    def expand(self) -> Phase:
        statements = (
            Statement(
                f"ALTER TABLE {self.old}\n    RENAME TO {quote(self.change.to)}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; the view below has the old name by the time that the lock is given back",
                allow=("rename-table",),
            ),
            *self._view(),
        )
        undo = (
            self._drop_view("it goes before the table gets its name back, in the same transaction"),
            Statement(
                f"ALTER TABLE {self.new}\n    RENAME TO {quote(self.old.name)}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; every row stays",
            ),
        )
        return Phase(
            "expand",
            f"the table is {self.new.plain}; {self.old.plain} is a view of it that reads and writes its rows",
            (Part(f"rename {self.old.plain} to {self.change.to}", statements, undo),),
            instructions=(
                f"Code that runs now goes on as it is, through the view; code that uses {self.new.plain} may start.",
                f"From here on revisions, COPY, TRUNCATE and foreign keys name {self.new.plain}.",
            ),
            go_back="downgrade the expand revision: the table has its old name again",
        )

    def switch(self) -> Phase:
        return Phase(
            "switch",
            f"all code uses {self.new.plain}",
            instructions=(f"Deploy code that uses {self.new.plain} and no longer {self.old.plain}.",),
            go_back="deploy the old code again; the view is still there",
        )

    def contract(self) -> Phase:
        free = Holds(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid"
            " WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refobjid ="
            f" pg_catalog.to_regclass({literal(self.old.full).strip()}) AND r.ev_class <> d.refobjid)",
            f"no other view reads {self.old.plain}",
            f"let such views read {self.new.plain}",
        )
        return Phase(
            "contract",
            f"{self.old.plain} is gone",
            (
                Part(
                    f"no more {self.old.plain}",
                    (self._drop_view("nobody uses the view any more; the table is not touched"),),
                    tuple(self._view()),
                    (free,),
                ),
            ),
            gates=(Word(OLD_CODE_GONE, f"no running code uses {self.old.plain}"), free),
            go_back="downgrade the contract revision: the view is back",
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def _view(self) -> Iterator[Statement]:
        columns = ",\n        ".join(quote(column.name) for column in self.target.columns)
        invoker = "\n    WITH (security_invoker = true)" if self.invoker else ""
        rights = "its caller's rights, row security included" if self.invoker else "its owner's rights"
        yield Statement(
            f"CREATE VIEW {self.old}{invoker} AS\n    SELECT\n        {columns}\n    FROM {self.new}",
            LockMode.ACCESS_SHARE,
            f"it reads and writes the table with {rights}, and takes its defaults from there",
        )
        # The role that runs migrations owns the view, and need not be the one that owns the table.
        if self.target.owner is not None:
            yield Statement(
                f"GRANT {', '.join(OF_VIEWS)} ON {self.old} TO {quote(self.target.owner)}",
                None,
                "the view may be another role's than the table",
            )
        yield from grant_again(self.target, self.old, "as on the table", only=OF_VIEWS)
        if self.target.comment is not None:
            yield Statement(
                f"COMMENT ON VIEW {self.old} IS {literal(self.target.comment).strip()}",
                None,
                "as of the table",
            )

    def _drop_view(self, why: str) -> Statement:
        return Statement(f"DROP VIEW {self.old}", LockMode.ACCESS_EXCLUSIVE, why, allow=("drop-view",))

    def notes(self) -> tuple[str, ...]:
        merge = "" if (self.version or 0) >= _MERGE else "MERGE, "
        notes = [
            f"Until contract {self.old.plain} is a view. It takes SELECT, INSERT … ON CONFLICT (columns), UPDATE, "
            f"DELETE, RETURNING, FOR UPDATE and LOCK; it refuses {merge}COPY, TRUNCATE, ON CONFLICT ON CONSTRAINT, "
            "system columns such as ctid, and ALTER TABLE.",
            "Names of indexes, constraints and sequences stay as they are; code that names a sequence goes on.",
        ]
        if self.target.published:
            notes.append(
                f"The table is published by {', '.join(self.target.published)}: subscribers know it by its old name, "
                f"and stop with an error until they have a {self.new.plain}; rename it there at the same time, then "
                "ALTER SUBSCRIPTION … REFRESH PUBLICATION."
            )
        if self.target.partitioned:
            notes.append("Partitions keep their names; settings of `evolve partition` name the table.")
        return tuple(notes)


def trials(change: RenameTable, facts: Facts) -> Iterator[Trial]:
    merge = () if (facts.server_version or 0) >= _MERGE else ("MERGE INTO",)
    yield CommandsFit(
        change.table,
        ("COPY", "TRUNCATE", "TRUNCATE TABLE", *merge),
        lambda found: CommandsWouldFail(change, found),
        f'Whether somebody runs COPY, TRUNCATE or MERGE on "{change.table.plain}" could not be looked up, since '
        "pg_stat_statements cannot be read: they fail from expand on.",
    )


def shapes(change: RenameTable, facts: Facts) -> Shapes:
    renamed = replace(facts.table(change.table), table=change.renamed)
    return Shapes((whole(renamed, change.table.name),), (whole(renamed),))


RECIPE = Recipe(
    RenameTable,
    "Give a table another name.",
    (TABLE, Parameter("to", "name", "Its new name, in the same schema.", metavar="NAME")),
    plan,
    trials,
    shapes,
)
