"""Move a column to another table: a twin across a foreign key, kept equal until nobody uses the old one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.counted import rows_of
from evolve.errors import EvolveError, Refused
from evolve.plan import cross_sync, new_column, not_null
from evolve.plan.carry import (
    Carried,
    Carry,
    add_checks,
    add_uniques_and_foreign_keys,
    build_indexes,
    comment_and_grants,
    drop_indexes,
    drop_uniques_and_foreign_keys,
    refuse_dependents,
    validate,
)
from evolve.plan.change import Change, Uses, columns, table_words
from evolve.plan.constraint import drop_constraint
from evolve.plan.facts import Facts
from evolve.plan.joined import Twin, join
from evolve.plan.model import (
    OLD_CODE_GONE,
    PURGE_APPROVED,
    BackfillDone,
    Gate,
    Holds,
    NoRows,
    Part,
    Phase,
    Plan,
    Validated,
    ValidIndex,
    Word,
    quarantine_name,
)
from evolve.plan.parameters import COLUMN, ColumnName, Parameter, option
from evolve.plan.published import needs_kept
from evolve.plan.put_back import hang_again, type_of
from evolve.plan.recipe import Recipe
from evolve.plan.target import InTheWay, TargetConstraint, TargetIndex, known_column
from evolve.plan.trials import NoSuchRow, Trial
from evolve.plan.versions import Shapes
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.parse import rename_in_definition
from evolve.sql.statements import Statement

_AX = LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class MoveColumn(Change):
    """Move a column to a table that a foreign key joins with its own.

    Args:
        to: the column to be.
        foreign_key: the key that joins the tables; None: the only one that does.
    """

    kind: ClassVar[str] = "move-column"
    column: str
    to: ColumnName
    foreign_key: str | None = None

    def words(self) -> Sequence[str]:
        return [
            "move",
            *table_words(self.table),
            self.column,
            "to",
            *table_words(self.to.table),
            self.to.column,
        ]

    def uses(self) -> Uses:
        return Uses(columns(self.table, (self.column,)) | columns(self.to.table, (self.to.column,)))


class Disagreement(Refused):
    def __init__(self, twin: Twin, count: int, examples: tuple[str, ...]) -> None:
        shown = f", among them {'; '.join(examples)}" if examples else ""
        super().__init__(
            f"{rows_of(twin.source.table.plain, count, 'shares its', 'share their')} row of "
            f'"{twin.target.table.plain}" with one of another {twin.column.name}{shown}',
            why=f"{twin.new} can hold one value only, and the others would be lost",
            fix=f"make {twin.column.name} the same in all rows that have the same "
            f"{', '.join(twin.join.source)}, by a backfill of your own, and plan again",
        )


def plan(change: MoveColumn, facts: Facts) -> Plan:
    """The phases of a move.

    Raises:
        Misuse: a name is unknown or taken, or several foreign keys join the tables.
        Refused: no foreign key does, or something about a table stands in the way.
    """
    recipe = _Recipe(change, _twin(change, facts), facts)
    phases = (
        recipe.expand(),
        recipe.backfill(),
        recipe.validate(),
        recipe.switch(),
        recipe.contract(),
        recipe.purge(),
    )
    return Plan(change.id, change, phases, recipe.notes(), facts.source, also=recipe.twin.reads)


def _twin(change: MoveColumn, facts: Facts) -> Twin:
    source = facts.table(change.table)
    column = known_column(source, change.column)
    target = facts.table(change.to.table)
    joined = join(source, target, change.foreign_key)
    twin = Twin(change.id, source, target, column, change.to.column, joined, "both")
    twin.refuse()
    refuse_dependents(source, column.name)
    return twin


class _Recipe:
    """All names and parts of one move."""

    def __init__(self, change: MoveColumn, twin: Twin, facts: Facts) -> None:
        self.change = change
        self.twin = twin
        self.id = change.id
        self.source, self.target = twin.source.table, twin.target.table
        self.quarantine = quarantine_name(self.id)
        self.kept = twin.linked(self.quarantine)
        self.carried, self.left = _carried(twin, facts)
        self.required = twin.column.not_null and twin.always_paired

    # -- gates ----------------------------------------------------------------------------------------------
    @property
    def agreed(self) -> tuple[Holds, ...]:
        """No value would be written over by another."""
        predicate = cross_sync.disagreeing(self.twin.link)
        if predicate is None:
            return ()
        key = ", ".join(self.twin.join.source)
        return (
            Holds(
                _none(self.source, predicate),
                f"rows of {self.source.plain} with the same {key} have the same {self.change.column}",
                f"make {self.change.column} the same in them, by a backfill of your own",
            ),
        )

    @property
    def housed(self) -> Holds:
        return Holds(
            _none(self.source, cross_sync.homeless(self.twin.link)),
            f"each {self.twin.old} that is given has a row of {self.target.plain} to hold it",
            f"insert those rows of {self.target.plain}, or take the value out of {self.source.plain} where nobody "
            "will miss it",
        )

    @property
    def filled(self) -> tuple[NoRows, ...]:
        return (not_null.no_nulls(self.target, self.change.to.column),) if self.required else ()

    # -- phases ---------------------------------------------------------------------------------------------
    def expand(self) -> Phase:
        twin = self.twin
        model = replace(twin.target, columns=(twin.column,))
        on_target = (
            twin.add(),
            *comment_and_grants(model, twin.column.name, twin.to),
            *twin.arm("target"),
        )
        back_on_target = (
            *cross_sync.disarm(twin.link, "target"),
            Statement(
                f"ALTER TABLE {self.target}\n    DROP COLUMN {quote(twin.to)}",
                _AX,
                f"catalog only; {twin.old} holds every value that a row of {self.source.plain} belongs to",
            ),
            *cross_sync.drop_functions(twin.link, "target"),
        )
        relaxed = Statement(
            f"ALTER TABLE {self.source}\n    ALTER COLUMN {quote(twin.column.name)} DROP NOT NULL",
            _AX,
            "catalog only; new code inserts rows without the column, and there may be no value to take yet",
        )
        on_source = ((relaxed,) if twin.column.not_null else ()) + twin.arm("source")
        back_on_source = twin.disarm("source")
        if twin.column.not_null:
            back_on_source = (*not_null.restore(self.source, twin.column.name), *back_on_source)
        loses = f"what {twin.new} holds in rows that no row of {self.source.plain} belongs to"
        if twin.column.not_null:
            loses += f"; and it is refused while a row that new code wrote holds null in {twin.old}"
        return Phase(
            "expand",
            f"{twin.new} is there beside {twin.old}, and triggers on both tables keep the two equal on every write",
            (
                Part(
                    f"move {twin.old} to {twin.new}",
                    on_target,
                    back_on_target,
                    (*twin.not_forced, *self.agreed),
                ),
                Part(
                    f"keep {twin.new} in step with {twin.old}",
                    on_source,
                    back_on_source,
                    (*twin.not_forced, *self.agreed),
                ),
            ),
            instructions=(
                "Code that runs now goes on as it is; code that reads and writes the new column may start.",
                f"New code locks the row of {self.source.plain} first where there is one (SELECT … FOR NO KEY UPDATE), "
                f"then it writes {self.target.plain}.",
            ),
            go_back="downgrade the expand revisions: triggers, functions and new column go",
            undo_loses=loses,
        )

    def backfill(self) -> Phase:
        return self.twin.backfill()

    def validate(self) -> Phase:
        carried, fills = self.carried, (self.twin.spec,)
        parts = []
        if carried.indexes or carried.checks or carried.foreign_keys:
            parts.append(
                Part(
                    f"indexes and constraints for {self.twin.new}",
                    (*build_indexes(carried), *add_checks(carried), *add_uniques_and_foreign_keys(carried)),
                    (
                        *drop_uniques_and_foreign_keys(carried),
                        *(drop_constraint(self.target, check.name) for check in reversed(carried.checks)),
                        *drop_indexes(carried),
                    ),
                    fills=fills,
                )
            )
        proofs = tuple(validate(carried))
        if proofs or not parts:
            # A new database has seed rows, which only a gate fills.
            title = f"what {self.twin.new} {'promises' if proofs else 'holds'}"
            parts.append(Part(title, proofs, fills=() if parts else fills))
        return Phase(
            "validate",
            f"{self.twin.new} has the indexes and constraints of {self.twin.old} that it can have, all of them valid",
            tuple(parts),
            gates=(*self.twin.armed, BackfillDone(self.id), self.twin.equal),
            go_back="downgrade the validate revisions: the new column's indexes and constraints go",
        )

    def switch(self) -> Phase:
        proofs: list[Gate] = [Validated(self.target, c.name) for c in self.carried.to_validate]
        proofs += [ValidIndex(QualifiedName(i.name, self.target.schema)) for i in self.carried.indexes]
        return Phase(
            "switch",
            f"all code reads and writes {self.twin.new}",
            gates=(*self.twin.armed, *proofs, self.twin.equal),
            instructions=(
                f"Deploy code that reads and writes {self.twin.new} and no longer maps {self.twin.old}.",
            ),
            go_back="deploy the old code again; the triggers kept its column fresh",
        )

    def contract(self) -> Phase:
        twin, to = self.twin, self.change.to.column
        statements = []
        undo = []
        if twin.column.default is not None:
            statements.append(
                new_column.set_default(
                    self.target,
                    to,
                    twin.column.default,
                    "catalog only; until now it came from the old column",
                )
            )
            undo.append(new_column.set_default(self.target, to, None))
        if self.required:
            statements.append(not_null.refuse_nulls(self.target, (to,)))
            undo = [*not_null.accept_nulls(self.target, (to,)), *undo]
        parts = [
            Part(
                f"{twin.new} leads, and {twin.column.name} only follows",
                (*statements, *cross_sync.flip(twin.link, "to source")),
                (*undo, *cross_sync.flip(twin.link, "both")),
                (*twin.armed, twin.equal, self.housed, *self.filled),
            ),
            Part(
                f"{twin.old} goes into quarantine",
                (
                    self._lock(),
                    self._rename(
                        twin.column.name, self.quarantine, "it stays, out of sight, until it is purged"
                    ),
                    *cross_sync.flip(self.kept, "to source"),
                ),
                (
                    self._lock(),
                    self._rename(self.quarantine, twin.column.name, "the trigger kept it in step"),
                    *cross_sync.flip(twin.link, "to source"),
                ),
            ),
        ]
        if self.required:
            parts.append(
                Part(
                    f"{twin.new} is required",
                    (*not_null.prove(self.target, (to,)), *not_null.set_not_null(self.target, (to,))),
                    tuple(not_null.drop_not_null(self.target, (to,))),
                )
            )
        return Phase(
            "contract",
            f"{twin.old} is gone for every client; its values are kept under {self.quarantine}",
            tuple(parts),
            gates=(
                Word(OLD_CODE_GONE, f"no running code reads or writes {twin.old}"),
                *twin.armed,
                twin.equal,
                self.housed,
                *self.filled,
            ),
            go_back="downgrade the contract revisions: the old column is back, with every value",
        )

    def purge(self) -> Phase:
        twin = self.twin
        kept = quote(self.quarantine)
        foreign_keys = [c for c in twin.source.constraints_on(twin.column.name) if c.kind == "foreign key"]
        value = (
            f"(SELECT t.{quote(twin.to)} FROM {self.target} AS t WHERE "  # noqa: S608 - quoted names
            f"{self._joined()} LIMIT 1)"
        )
        on_source = (
            *cross_sync.disarm(self.kept, "source"),
            *(
                drop_constraint(
                    self.source,
                    key.name,
                    "catalog only, but of both tables: readers and writers of the other table wait for an instant too",
                )
                for key in foreign_keys
            ),
            Statement(
                f"ALTER TABLE {self.source}\n    DROP COLUMN {kept}",
                _AX,
                f"catalog only; its indexes and constraints go with it, and {twin.new} holds the values",
                allow=("drop-column",),
            ),
            *cross_sync.drop_functions(self.kept, "source"),
        )
        back_on_source = (
            Statement(
                f"ALTER TABLE {self.source}\n    ADD COLUMN {kept} {type_of(twin.column)}",
                _AX,
                "catalog only",
            ),
            *self._armed_alone("source"),
            *hang_again(twin.source, twin.column.name, self.quarantine),
            *self._default_again(),
        )
        return Phase(
            "purge",
            "nothing of the old column is left",
            (
                Part(
                    f"{twin.new} leads nothing any more",
                    (
                        *cross_sync.disarm(self.kept, "target"),
                        *cross_sync.drop_functions(self.kept, "target"),
                    ),
                    (
                        *self._armed_alone("target"),
                        Statement(
                            f"UPDATE {self.source} SET {kept} = {value}",  # noqa: S608 - quoted names
                            LockMode.ROW_EXCLUSIVE,
                            f"it locks each row until all are written, and nobody writes {self.target.plain} "
                            "meanwhile: go back this far only on small tables or in a maintenance window",
                        ),
                    ),
                ),
                Part(f"what was {twin.old}", on_source, back_on_source),
            ),
            gates=(Word(PURGE_APPROVED, f"nobody will want {twin.old} back"),),
            go_back="downgrade the purge revisions: they fill the column again from the new one",
            undo_loses=f"nothing that {twin.new} tells; a row of {self.source.plain} that has no row of "
            f"{self.target.plain} gets null",
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def _lock(self) -> Statement:
        return Statement(
            f"LOCK TABLE {self.target} IN SHARE ROW EXCLUSIVE MODE",
            LockMode.SHARE_ROW_EXCLUSIVE,
            "for an instant nobody writes it: a write under way would still name the old column by its old name, "
            "and fail",
            allow=("lock-table",),
        )

    def _rename(self, name: str, to: str, why: str) -> Statement:
        return Statement(
            f"ALTER TABLE {self.source}\n    RENAME COLUMN {quote(name)} TO {quote(to)}",
            _AX,
            f"catalog only; {why}",
            allow=("rename-column",),
        )

    def _armed_alone(self, role: cross_sync.Role) -> Iterator[Statement]:
        """One end again as it is after contract: armed in both directions, then flipped."""
        yield from cross_sync.arm(self.kept, role)
        yield from cross_sync.flip(self.kept, "to source", role)

    def _default_again(self) -> Iterator[Statement]:
        if self.twin.column.default is not None:
            yield new_column.set_default(self.source, self.quarantine, self.twin.column.default)

    def _joined(self) -> str:
        pairs = zip(self.twin.join.target, self.twin.join.source, strict=True)
        return " AND ".join(f"t.{quote(t)} = {self.source}.{quote(s)}" for t, s in pairs)

    def notes(self) -> tuple[str, ...]:
        twin = self.twin
        told = list(twin.notes())
        if twin.column.not_null:
            told.append(
                f"{twin.old} is NOT NULL, and from expand on it is not: new code inserts rows without it. Old code "
                "that reads such a row may find null."
            )
            if not self.required:
                told.append(
                    f"{twin.new} stays nullable: a row of {self.target.plain} need not have one of "
                    f"{self.source.plain}. Where the code gives it a value in every row, afterwards: "
                    f"evolve plan set-not-null {self.change.to}"
                )
        if twin.join.child == "target" and not twin.one_to_one:
            told.append(
                f"Rows of {self.target.plain} that belong to one row of {self.source.plain} hold the same "
                f"{twin.to} until contract: a write to one is a write to all. After it each goes its own way, and what "
                "is kept of the old column holds what was written last."
            )
        if self.left:
            told.append(
                f"What goes with the old column when it is purged, and is not made again: {', '.join(self.left)}."
            )
        if twin.source.published:
            told.append(
                f"{self.source.plain} is published by {', '.join(twin.source.published)}: its subscribers need, before "
                f"contract, {needs_kept(twin.column, self.quarantine)}, else they stop with an error."
            )
        return tuple(told)


# -- what hangs on the column -------------------------------------------------------------------------------
def _carried(twin: Twin, facts: Facts) -> tuple[Carry, list[str]]:
    """What is made again on the target, and what is not.

    Raises:
        InTheWay: a promise of the old column would be lost without a word.
    """
    source, column, to = twin.source, twin.column.name, twin.to
    names = _Names(twin, facts)
    left = []
    checks, indexes, uniques, foreign_keys = [], [], [], []
    for constraint in source.constraints_on(column):
        if set(constraint.columns) != {column}:
            raise InTheWay(
                source,
                column,
                f'{constraint.kind} constraint "{constraint.name}", which reads other columns too',
                f'"{twin.target.table.plain}" does not have those columns, so the rule would be lost',
                "drop the constraint in a revision before, if the application can do without it",
            )
        match constraint.kind:
            case "check":
                if " IS NOT NULL" in constraint.definition:
                    raise InTheWay(
                        source,
                        column,
                        f'check constraint "{constraint.name}", which may refuse null',
                        "new code writes rows without the column, and there may be no value to take yet",
                        "let the check accept null in a revision before",
                    )
                name = names.constraint("check")
                checks.append(Carried(name, constraint, _constraint(twin, constraint, name)))
            case "foreign key":
                name = names.constraint("fkey")
                foreign_keys.append(Carried(name, constraint, _constraint(twin, constraint, name)))
            case "unique":
                _refuse_shared(twin, f'unique constraint "{constraint.name}"')
                name = names.index("key")
                sql = (
                    f"ALTER TABLE {twin.target.table}\n"
                    f"    ADD CONSTRAINT {quote(name)} UNIQUE USING INDEX {quote(name)}"
                )
                uniques.append(Carried(name, constraint, sql))
            case "primary key" | "exclude":
                pass  # refused as a dependent
    backing = {carried.source.name: carried.name for carried in uniques}
    for index in source.indexes_on(column):
        if index.constraint is not None and index.constraint not in backing:
            continue
        if set(index.columns) != {column}:
            if index.unique:
                raise InTheWay(
                    source,
                    column,
                    f'unique index "{index.name}", which reads other columns too',
                    f'"{twin.target.table.plain}" does not have those columns, so the rule would be lost',
                    "drop the index in a revision before, if the application can do without it",
                )
            left.append(f'index "{index.name}"')
            continue
        if index.unique:
            _refuse_shared(twin, f'unique index "{index.name}"')
        name = backing[index.constraint] if index.constraint is not None else names.index("idx")
        made = _index(twin, index, name)
        if made is None:
            left.append(f'index "{index.name}"')
        else:
            indexes.append(Carried(name, index, made))
    return (
        Carry(
            twin.target.table, column, to, tuple(checks), tuple(indexes), tuple(uniques), tuple(foreign_keys)
        ),
        left,
    )


def _refuse_shared(twin: Twin, what: str) -> None:
    if not twin.one_to_one:
        raise InTheWay(
            twin.source,
            twin.column.name,
            what,
            f'several rows of "{twin.child.table.plain}" may belong to one of "{twin.parent.table.plain}", and they '
            "have the same value while the change is in flight",
            "drop it in a revision before, if the application can do without it",
        )


def _constraint(twin: Twin, constraint: TargetConstraint, name: str) -> str:
    definition = constraint.definition.removesuffix(" NOT VALID")
    sql = f"ALTER TABLE {twin.target.table} ADD CONSTRAINT x {definition} NOT VALID"
    renamed = rename_in_definition(sql, twin.column.name, twin.to, name=name)
    return renamed.replace(" ADD CONSTRAINT ", "\n    ADD CONSTRAINT ", 1)


def _index(twin: Twin, index: TargetIndex, name: str) -> str | None:
    """CREATE INDEX CONCURRENTLY on the target; None where the definition does not read as expected."""
    renamed = rename_in_definition(index.definition, twin.column.name, twin.to, name=name)
    _, found, rest = renamed.partition(f" ON {twin.source.table} USING ")
    if not found:
        return None
    unique = "UNIQUE " if index.unique else ""
    return f"CREATE {unique}INDEX CONCURRENTLY {quote(name)}\n    ON {twin.target.table} USING {rest}"


def _none(table: QualifiedName, predicate: str) -> str:
    return f"NOT EXISTS (SELECT FROM {table} WHERE {predicate})"


class _Names:
    """Names of indexes and constraints, as PostgreSQL itself would choose them."""

    def __init__(self, twin: Twin, facts: Facts) -> None:
        self.twin = twin
        self.facts = facts
        self.taken = {constraint.name for constraint in twin.target.constraints}

    def constraint(self, kind: str) -> str:
        return self._free(kind, index=False)

    def index(self, kind: str) -> str:
        return self._free(kind, index=True)

    def _free(self, kind: str, *, index: bool) -> str:
        table = self.twin.target.table
        number = 0
        while True:
            name = shorten(table.name, self.twin.to, f"{kind}{number or ''}")
            number += 1
            known = index and self.facts.relation(QualifiedName(name, table.schema)) is not None
            if name not in self.taken and not known:
                self.taken.add(name)
                return name


def trials(change: MoveColumn, facts: Facts) -> Iterator[Trial]:
    twin = _twin(change, facts)
    yield from twin.trials()
    predicate = cross_sync.disagreeing(twin.link)
    show = (*twin.source.key, twin.column.name)

    def refuse(count: int, examples: tuple[str, ...]) -> EvolveError:
        return Disagreement(twin, count, examples)

    if predicate is not None:
        meaning = f"{twin.column.name} differs from that of another row of the same {change.to.table.plain}"
        yield NoSuchRow(change.table, predicate, meaning, show, refuse)
    yield NoSuchRow(
        change.table,
        cross_sync.homeless(twin.link),
        f"{twin.column.name} is given and {change.to.table.plain} has no row to hold it; contract waits for them",
        show,
    )


def shapes(change: MoveColumn, facts: Facts) -> Shapes:
    source = facts.table(change.table)
    moved = replace(known_column(source, change.column), name=change.to.column, default=None)
    return Shapes.within(source, {change.column: {}}) + Shapes.within(
        facts.table(change.to.table), also=(moved,)
    )


RECIPE = Recipe(
    MoveColumn,
    "Move a column to a table that a foreign key joins with its own.",
    (
        COLUMN,
        Parameter("to", "reference", "What it becomes, as table.column.", metavar="TABLE.COLUMN"),
        option(
            "foreign_key",
            "name",
            "The foreign key that joins the two tables, where several do.",
            metavar="NAME",
        ),
    ),
    plan,
    trials,
    shapes,
)
