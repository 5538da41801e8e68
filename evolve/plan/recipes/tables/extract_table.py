"""Move columns of a table to a new one that has a row for each of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.backfill.spec import Spec
from evolve.counted import counted
from evolve.errors import Misuse
from evolve.plan import cross_sync, new_column, not_null, sync
from evolve.plan.carry import comment_and_grants, refuse_dependents
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.cross_sync import ON_PARENT, End, Link, Role
from evolve.plan.expressions import read_type
from evolve.plan.facts import Facts, refuse_taken
from evolve.plan.grants import grant_again
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
from evolve.plan.parameters import TABLE, Parameter, option
from evolve.plan.put_back import type_of
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
from evolve.plan.trials import AddsWithoutRewrite, Trial
from evolve.plan.versions import Shapes, whole
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, check_length, literal, quote, shorten
from evolve.sql.parse import rename_in_definition
from evolve.sql.statements import Statement

_AX = LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class ExtractTable(Change):
    """Move columns to a new table, 1:1.

    Args:
        to: the table that is made.
        columns: those that move, in their order.
        key: its primary key's columns, in the order of the old table's key; empty: called after table and key,
            "user_id" of users.id.
    """

    kind: ClassVar[str] = "extract-table"
    to: QualifiedName
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()

    def words(self) -> Sequence[str]:
        return ["extract", *table_words(self.to), "from", *table_words(self.table)]

    def uses(self) -> Uses:
        return Uses(columns(self.table, self.columns) | {(self.to, None)})


class NamedTwice(Misuse):
    def __init__(self, name: str, where: str) -> None:
        super().__init__(
            f'"{name}" is twice among {where}', fix="name each column once; --key names the key's"
        )


class WrongKey(Misuse):
    def __init__(self, given: int, key: tuple[str, ...]) -> None:
        super().__init__(
            f"{counted(given, 'column')} cannot refer to {len(key)}",
            fix=f"give --key once for each column of the primary key ({', '.join(key)})",
        )


def plan(change: ExtractTable, facts: Facts) -> Plan:
    """The phases.

    Raises:
        Misuse: a name is unknown, taken or given twice.
        Refused: something about the table or one of the columns stands in the way.
    """
    source = facts.table(change.table)
    moved = tuple(known_column(source, name) for name in change.columns)
    _refuse_twice(change.columns, "--column")
    refuse_unsyncable(source, trigger_name(change.id))
    if not source.key:
        raise NoKey(source)
    for column in moved:
        _refuse_column(source, column, change.columns)
    key = _key(change, source)
    if len(key) != len(source.key):
        raise WrongKey(len(key), source.key)
    _refuse_twice((*key, *change.columns), f'the columns of "{change.to.plain}"')
    recipe = _Recipe(change, source, moved, key)
    for name in (change.to.name, *recipe.relations):
        refuse_taken(facts, QualifiedName(name, change.to.schema))
    return recipe.plan()


def _key(change: ExtractTable, source: Target) -> tuple[str, ...]:
    return tuple(map(check_length, change.key or reference_names(source)))


def _refuse_twice(names: Sequence[str], where: str) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise NamedTwice(name, where)


def _refuse_column(source: Target, column: TargetColumn, moved: tuple[str, ...]) -> None:
    """Raise where something hangs on the column that cannot move with it."""
    refuse_dependents(source, column.name)
    if column.default is not None and not column.default_constant:
        raise InTheWay(
            source,
            column.name,
            f"its default {column.default}",
            "it gives another value each time, so nothing tells whether a writer gave the value",
            "drop the default in a change of its own, and let the code give the value",
        )
    for constraint in source.constraints_on(column.name):
        what = f'{constraint.kind} constraint "{constraint.name}"'
        if constraint.kind == "foreign key":
            raise InTheWay(
                source,
                column.name,
                what,
                "its row in the new table would go, or be refused, apart from the row that it belongs to",
                "leave the column where it is, or drop the foreign key in a revision before",
            )
        if not set(constraint.columns) <= set(moved):
            raise InTheWay(
                source,
                column.name,
                f"{what}, which also reads columns that stay",
                "no constraint looks at two tables",
                "move those columns too, or drop the constraint in a revision before",
            )
        if constraint.kind == "check" and "NOT NULL" in constraint.definition.upper():
            raise InTheWay(
                source,
                column.name,
                f"{what}, which asks for a value",
                "new code writes a row of the old table before that of the new one, and without these columns",
                "let the check accept null in a revision before: evolve plan add-check",
            )
    for index in source.indexes_on(column.name):
        if index.unique and index.constraint is None:
            raise InTheWay(
                source,
                column.name,
                f'unique index "{index.name}"',
                "its promise would be lost when the column moves",
                "make it a UNIQUE constraint in a revision before, which moves along: ALTER TABLE … ADD UNIQUE USING "
                "INDEX; or drop it",
            )


class _Recipe:
    def __init__(
        self,
        change: ExtractTable,
        source: Target,
        moved: tuple[TargetColumn, ...],
        key: tuple[str, ...],
    ) -> None:
        self.change = change
        self.source = source
        self.moved = moved
        self.key = key
        self.id = change.id
        self.table = source.table
        self.to = change.to
        self.primary_key = shorten(self.to.name, "pkey")
        self.link = self._link({})
        self.quarantine = {
            column.name: quarantine_name(self.id if len(moved) == 1 else f"{self.id}_{column.name}")
            for column in moved
        }
        self.kept = self._link(self.quarantine)
        self.required = tuple(column.name for column in moved if column.not_null)
        self.names = ", ".join(column.name for column in moved)

    def _link(self, called: dict[str, str]) -> Link:
        """The link while the old columns have the names that `called` gives them."""
        pairs = []
        for column in self.moved:
            exact = sync.is_exact(column.type, collation=column.collation, enum=column.enum)
            pairs.append(
                (
                    sync.Side(called.get(column.name, column.name), column.type, exact, column.default),
                    sync.Side(column.name, column.type, exact),
                )
            )
        return Link(
            End(self.table, self.source.key, self.source.key, tuple(old for old, _ in pairs)),
            End(self.to, self.key, self.key, tuple(new for _, new in pairs)),
            "target",
            function_name(self.id),
            trigger_name(self.id),
            rows="every",
        )

    @property
    def constraints(self) -> dict[str, TargetConstraint]:
        """Those that move, by their new name."""
        found = [
            c
            for c in self.source.constraints
            if c.kind in ("check", "unique") and {*c.columns} & {*self.change.columns}
        ]
        return {self._named(c.name, c.columns, "key" if c.kind == "unique" else "check"): c for c in found}

    def _named(self, name: str, of: tuple[str, ...], suffix: str) -> str:
        rest = name.removeprefix(f"{self.table.name}_")
        return shorten(self.to.name, rest) if rest != name else shorten(self.to.name, *of, suffix)

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of indexes that come with the table."""
        return (self.primary_key, *(name for name, c in self.constraints.items() if c.kind == "unique"))

    def plan(self) -> Plan:
        phases = (
            self.expand(),
            self.backfill(),
            self.validate(),
            self.switch(),
            self.contract(),
            self.purge(),
        )
        also = Uses(frozenset(), columns(self.table, self.source.key))
        return Plan(self.id, self.change, phases, self.notes(), self.source.source, also=also)

    # -- gates ----------------------------------------------------------------------------------------------
    @property
    def armed(self) -> tuple[Gate, ...]:
        return tuple(
            TriggerArmed(table, trigger, fires)
            for table, trigger, fires in cross_sync.unconditional(self.link)
        )

    @property
    def equal(self) -> NoRows:
        return NoRows(
            self.table,
            cross_sync.wrong(self.link),
            f"the row of {self.to.plain} is missing or differs",
        )

    @property
    def filled(self) -> tuple[NoRows, ...]:
        return tuple(not_null.no_nulls(self.to, name) for name in self.required)

    @property
    def spec(self) -> Spec:
        touch = cross_sync.touch(self.link)
        return Spec(
            self.id,
            self.table,
            touch.assignments,
            where=touch.where,
            key=self.source.other_key,
            mismatch=touch.mismatch,
        )

    # -- phases ---------------------------------------------------------------------------------------------
    def expand(self) -> Phase:
        relaxed = tuple(
            self._alter(
                f"ALTER COLUMN {quote(name)} DROP NOT NULL",
                "catalog only; new code writes the row without it, and the value into the new table",
            )
            for name in self.required
        )
        restored = [s for name in self.required for s in not_null.restore(self.table, name)]
        return Phase(
            "expand",
            f"{self.to.plain} is there beside {self.names} of {self.table.plain}, and triggers keep the two in step on "
            "every write",
            (
                Part(
                    f"table {self.to.plain}",
                    tuple(self._table()),
                    (
                        Statement(
                            f"DROP TABLE {self.to}",
                            _AX,
                            f"who uses {self.table.plain} waits for an instant; its columns hold every value",
                        ),
                    ),
                ),
                Part(
                    f"{self.to.plain} is kept in step with {self.table.plain}",
                    unseen(cross_sync.arm(self.link, "target")),
                    (
                        *cross_sync.disarm(self.link, "target"),
                        *cross_sync.drop_functions(self.link, "target"),
                    ),
                ),
                Part(
                    f"{self.table.plain} is kept in step with {self.to.plain}",
                    (*relaxed, *cross_sync.arm(self.link, "source")),
                    (
                        # Statements that are not transactional come first.
                        *(s for s in restored if not s.transactional),
                        *cross_sync.disarm(self.link, "source"),
                        *(s for s in restored if s.transactional),
                        *cross_sync.drop_functions(self.link, "source"),
                    ),
                ),
            ),
            instructions=(
                f"Code that runs now goes on as it is; code that writes {self.to.plain} may start.",
            ),
            go_back="downgrade the expand revisions: triggers, functions and the new table go"
            + ("; it is refused while a row holds null where it may not" if self.required else ""),
        )

    def backfill(self) -> Phase:
        first = dict(reversed(cross_sync.armed(self.link)))
        return Phase(
            "backfill",
            f"{self.to.plain} has a row for every row of {self.table.plain}",
            gates=(*self.armed, *(NoOlderTransaction(table, trigger) for table, trigger in first.items())),
            backfills=(self.spec,),
            instructions=(f"Run: evolve backfill run {self.id}",),
            go_back="stop the backfill; rows filled so far do no harm",
        )

    def validate(self) -> Phase:
        # Nothing to prove, but a new database has seed rows, which only a gate fills.
        part = Part(f"{self.to.plain} has every row", (), (), fills=(self.spec,))
        return Phase(
            "validate",
            f"{self.to.plain} tells all that {self.names} of {self.table.plain} tell",
            (part,),
            gates=(*self.armed, BackfillDone(self.id), self.equal),
            go_back="downgrade the validate revision: it changes nothing",
        )

    def switch(self) -> Phase:
        return Phase(
            "switch",
            f"all code reads and writes {self.to.plain}",
            gates=(*self.armed, self.equal),
            instructions=(
                f"Deploy code that reads and writes {self.to.plain} and no longer maps {self.names} of "
                f"{self.table.plain}.",
                f"It inserts a row of {self.to.plain} with each of {self.table.plain}, in one transaction: from "
                "contract on nothing else does.",
            ),
            go_back="deploy the old code again; the triggers kept its columns fresh",
        )

    def contract(self) -> Phase:
        renames = list(self.quarantine.items())
        defaults = [column for column in self.moved if column.default is not None]
        lead: list[Statement] = [
            new_column.set_default(
                self.to, c.name, c.default, "catalog only; until now it came from the old column"
            )
            for c in defaults
        ]
        follow = [new_column.set_default(self.to, c.name, None) for c in defaults]
        if self.required:
            lead.append(not_null.refuse_nulls(self.to, self.required))
            follow = [*not_null.accept_nulls(self.to, self.required), *follow]
        parts = [
            Part(
                f"{self.to.plain} leads, and {self.table.plain} only follows",
                (*lead, *cross_sync.flip(self.link, "to source")),
                (*follow, *cross_sync.flip(self.link, "both")),
                (*self.armed, self.equal, *self.filled),
            ),
            Part(
                f"{self.names} of {self.table.plain} go into quarantine",
                (
                    *(self._rename(name, kept) for name, kept in renames),
                    hold_still(self.to),
                    *cross_sync.flip(self.kept, "to source"),
                ),
                (
                    *(self._rename(kept, name) for name, kept in renames),
                    hold_still(self.to),
                    *cross_sync.flip(self.link, "to source"),
                ),
            ),
        ]
        if self.required:
            parts.append(
                Part(
                    f"what {self.to.plain} requires",
                    (*not_null.prove(self.to, self.required), *not_null.set_not_null(self.to, self.required)),
                    tuple(not_null.drop_not_null(self.to, self.required)),
                )
            )
        return Phase(
            "contract",
            f"{self.names} of {self.table.plain} are gone for every client; they are kept, and kept in step, out of "
            "sight",
            tuple(parts),
            gates=(
                Word(OLD_CODE_GONE, f"no running code reads or writes {self.names} of {self.table.plain}"),
                *self.armed,
                self.equal,
                *self.filled,
            ),
            go_back="downgrade the contract revisions: the columns are back, with every value",
        )

    def purge(self) -> Phase:
        kept = list(self.quarantine.values())
        joined = " AND ".join(
            f"t.{quote(new)} = {self.table}.{quote(old)}"
            for new, old in zip(self.key, self.source.key, strict=True)
        )
        values = ", ".join(f"t.{quote(column.name)}" for column in self.moved)
        drop = (
            *cross_sync.disarm(self.kept, "source"),
            self._alter(
                ",\n    ".join(f"DROP COLUMN {quote(name)}" for name in kept),
                "catalog only; indexes and constraints go with them, and the new table holds the values",
                "drop-column",
            ),
            *cross_sync.drop_functions(self.kept, "source"),
        )
        put_back = (
            self._alter(
                ",\n    ".join(
                    f"ADD COLUMN {quote(self.quarantine[column.name])} {type_of(column)}"
                    for column in self.moved
                ),
                "catalog only; every row holds null",
            ),
            *self._armed_alone("source"),
            *self._hang_again(),
            *(
                new_column.set_default(self.table, self.quarantine[c.name], c.default)
                for c in self.moved
                if c.default is not None
            ),
        )
        return Phase(
            "purge",
            f"nothing of {self.names} is left in {self.table.plain}",
            (
                Part(
                    f"{self.to.plain} leads nothing any more",
                    (
                        *cross_sync.disarm(self.kept, "target"),
                        *cross_sync.drop_functions(self.kept, "target"),
                    ),
                    (
                        *self._armed_alone("target"),
                        Statement(
                            f"UPDATE {self.table} SET ({', '.join(map(quote, kept))}) =\n"  # noqa: S608 - quoted names
                            f"    (SELECT {values} FROM {self.to} AS t WHERE {joined})",
                            LockMode.ROW_EXCLUSIVE,
                            f"it locks each row until all are written, and nobody writes {self.to.plain} meanwhile: "
                            "go back this far only on small tables or in a maintenance window",
                        ),
                    ),
                ),
                Part(f"what was {self.names} of {self.table.plain}", drop, put_back),
            ),
            gates=(Word(PURGE_APPROVED, f"nobody will want {self.names} of {self.table.plain} back"),),
            go_back="downgrade the purge revisions: they fill the columns again from the new table",
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def _alter(self, action: str, why: str, *allow: str) -> Statement:
        return Statement(f"ALTER TABLE {self.table}\n    {action}", _AX, why, allow=allow)

    def _rename(self, name: str, to: str) -> Statement:
        return self._alter(
            f"RENAME COLUMN {quote(name)} TO {quote(to)}",
            "catalog only; its values stay, and the triggers go on keeping them in step",
            "rename-column",
        )

    def _armed_alone(self, role: Role) -> Iterator[Statement]:
        """One end again as it is after contract: armed in both directions, then flipped."""
        yield from cross_sync.arm(self.kept, role)
        yield from cross_sync.flip(self.kept, "to source", role)

    def _hang_again(self) -> Iterator[Statement]:
        """Indexes, constraints, comments and grants of the columns; ADD COLUMN's lock is held."""
        why = "under the lock that is held anyway; it reads the whole table"
        moving = {*self.change.columns}
        for index in self.source.indexes:
            if index.constraint is None and moving & {*index.columns}:
                yield Statement(self._out_of_sight(index.definition), LockMode.SHARE, why)
        for constraint in self.source.constraints:
            if moving & {*constraint.columns}:
                added = f"ALTER TABLE {self.table} ADD CONSTRAINT {quote(constraint.name)} {constraint.definition}"
                yield Statement(self._out_of_sight(added), _AX, why)
        for name, kept in self.quarantine.items():
            yield from comment_and_grants(self.source, name, kept)

    def _out_of_sight(self, sql: str) -> str:
        for name, kept in self.quarantine.items():
            sql = rename_in_definition(sql, name, kept)
        return sql

    def _table(self) -> Iterator[Statement]:
        key = ", ".join(map(quote, self.key))
        lines = [
            *(
                f"{quote(name)} {type_of(known_column(self.source, of))} NOT NULL"
                for name, of in zip(self.key, self.source.key, strict=True)
            ),
            *(f"{quote(column.name)} {type_of(column)}" for column in self.moved),
            f"CONSTRAINT {quote(self.primary_key)} PRIMARY KEY ({key})",
            f"CONSTRAINT {quote(shorten(self.to.name, *self.key, 'fkey'))} FOREIGN KEY ({key})\n"
            f"        REFERENCES {self.table} ({', '.join(map(quote, self.source.key))}) {ON_PARENT}",
            *(
                f"CONSTRAINT {quote(name)} {constraint.definition.removesuffix(' NOT VALID')}"
                for name, constraint in self.constraints.items()
            ),
        ]
        yield sync.create_schema()
        body = ",\n    ".join(lines)
        yield Statement(
            f"CREATE TABLE {self.to} (\n    {body}\n)",
            LockMode.SHARE_ROW_EXCLUSIVE,
            f"a new, empty table; for its foreign key writers of {self.table.plain} wait for an instant",
        )
        for column in self.moved:
            if column.comment is not None:
                yield Statement(
                    f"COMMENT ON COLUMN {self.to}.{quote(column.name)} IS {literal(column.comment).strip()}",
                    None,
                    "the table is new",
                )
        if self.source.row_security:
            yield Statement(
                f"ALTER TABLE {self.to} ENABLE ROW LEVEL SECURITY",
                None,
                "the table is new; what the other table's policies hide is not to be seen here either",
            )
        why = f"whoever may use {self.table.plain} may use the new table"
        yield from grant_again(replace(self.source, columns=self.moved), self.to, why)

    def notes(self) -> tuple[str, ...]:
        told = [
            f"{self.to.plain} has the primary key {', '.join(self.key)}; another name is given with --key.",
            *cross_sync.notes(self.link),
            'Clients that prepared SELECT * or RETURNING * on the table fail once with "cached plan must not change '
            'result type" after contract and purge; recycle their connections then. SQLAlchemy names its columns and '
            "is not concerned.",
        ]
        if self.required:
            told.append(
                f"{', '.join(self.required)} of {self.table.plain} may be null from expand on: new code inserts rows "
                f"without them. {self.to.plain} requires them from contract on."
            )
        left = [
            f'"{index.name}"'
            for index in self.source.indexes
            if index.constraint is None and {*index.columns} & {*self.change.columns}
        ]
        if left:
            told.append(
                f"Indexes that are not made again, and go with the columns at purge: {', '.join(left)}. Where new code "
                "needs one on the new table: evolve plan add-index, before the switch."
            )
        told += row_security_notes(self.source, self.to)
        told += published_notes(self.source, self.to)
        return tuple(told)


def trials(change: ExtractTable, facts: Facts) -> Iterator[Trial]:
    source = facts.table(change.table)
    for name in change.columns:
        yield AddsWithoutRewrite(
            read_type(known_column(source, name).type).type, "give the column the domain's base type first"
        )


def shapes(change: ExtractTable, facts: Facts) -> Shapes:
    source = facts.table(change.table)
    made = replace(
        source,
        table=change.to,
        comment=None,
        columns=(
            *(TargetColumn(name, "") for name in _key(change, source)),
            # Until contract a default comes from the old column.
            *(replace(known_column(source, name), default=None) for name in change.columns),
        ),
    )
    return Shapes.within(source, {name: {} for name in change.columns}) + Shapes((), (whole(made),))


RECIPE = Recipe(
    ExtractTable,
    "Move columns to a table of their own, with a row for each row.",
    (
        TABLE,
        Parameter("to", "relation", "Name of the new table.", metavar="TABLE"),
        option(
            "columns",
            "names",
            "A column that moves; once for each.",
            required=True,
            metavar="NAME",
            spelled="column",
        ),
        option(
            "key",
            "names",
            "Name of its primary key's column; once for each column of the key.",
            metavar="NAME",
        ),
    ),
    plan,
    trials,
    shapes,
)
