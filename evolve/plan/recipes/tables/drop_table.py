"""Drop a table: first no code uses it, then nobody can, and at last it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evolve.errors import Refused
from evolve.plan.change import Change, table_words
from evolve.plan.constraint import drop_constraint
from evolve.plan.facts import Facts
from evolve.plan.grants import grant_again, revoke_all
from evolve.plan.model import OLD_CODE_GONE, PURGE_APPROVED, Holds, Part, Phase, Plan, Word, quarantine_name
from evolve.plan.parameters import TABLE
from evolve.plan.put_back import type_of
from evolve.plan.recipe import Recipe
from evolve.plan.target import Target, TargetConstraint
from evolve.plan.trials import NoSuchRow, Trial
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote
from evolve.sql.operations import AddConstraint, ForeignKey
from evolve.sql.parse import parse
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class DropTable(Change):
    """Drop a table."""

    kind: ClassVar[str] = "drop-table"

    def words(self) -> Sequence[str]:
        return ["drop", *table_words(self.table)]


class MemberOfFamily(Refused):
    def __init__(self, target: Target, what: str, fix: str) -> None:
        super().__init__(
            f'table "{target.table.plain}" {what}', why="its rows are rows of the other table, too", fix=fix
        )


class PointedAt(Refused):
    def __init__(self, target: Target, other: QualifiedName) -> None:
        super().__init__(
            f'a foreign key of "{other.plain}" points to "{target.table.plain}"',
            why="to drop it would lock both tables, and code that writes the other one could insert no row that "
            "points anywhere",
            fix=f"first drop that key, or the column, in a change of its own: evolve plan drop-column {other}.…",
        )


class ReadByOthers(Refused):
    def __init__(self, target: Target, what: str, fix: str) -> None:
        super().__init__(
            f'table "{target.table.plain}" is used by {what}',
            why="it goes on reading the table, and blocks its removal",
            fix=fix,
        )


class NeededByOthers(Refused):
    """Something that the catalog records and no fact names, such as a policy of another table."""

    def __init__(self, table: QualifiedName, count: int) -> None:
        super().__init__(
            f'{count} other things in the database depend on "{table.plain}"',
            why="they block its removal",
            fix=f"see what they are: BEGIN; DROP TABLE {table}; ROLLBACK; (it names them, and locks nothing for long)",
        )


def plan(change: DropTable, facts: Facts) -> Plan:
    """The phases; nothing changes before the code is gone.

    Raises:
        Misuse: there is no such table.
        Refused: something else needs it.
    """
    target = facts.table(change.table)
    _refuse_needed(target)
    recipe = _Recipe(change, target)
    phases = (recipe.expand(), recipe.switch(), recipe.contract(), recipe.purge())
    return Plan(change.id, change, phases, recipe.notes(), target.source)


def _refuse_needed(target: Target) -> None:
    if target.partition_of is not None:
        raise MemberOfFamily(
            target,
            f'is a partition of "{target.partition_of}"',
            "let `evolve partition` retire it, or detach it",
        )
    if target.inherits:
        raise MemberOfFamily(target, "takes part in inheritance", "end that first: ALTER TABLE … NO INHERIT")
    for other in target.referenced_by:
        if other != target.table:
            raise PointedAt(target, other)
    for dependent in target.dependents:
        if dependent.kind == "view":
            raise ReadByOthers(
                target, dependent.description, "drop the view, or let it do without, in a revision before"
            )
        if dependent.kind == "function":
            raise ReadByOthers(target, dependent.description, "replace the function in a revision before")


class _Recipe:
    def __init__(self, change: DropTable, target: Target) -> None:
        self.change = change
        self.target = target
        self.table = target.table
        self.quarantine = QualifiedName(quarantine_name(change.id), self.table.schema)

    def expand(self) -> Phase:
        return Phase(
            "expand",
            "nothing has changed yet: the code comes first",
            instructions=("Code that runs now goes on as it is.",),
            go_back="nothing has changed",
        )

    def switch(self) -> Phase:
        keys = tuple(
            f'While the table is kept, "{key.name}" is enforced: deleting a row that it points to is refused, unless '
            "it says ON DELETE CASCADE or SET NULL. Where new code deletes such rows, drop that key first."
            for key in self._foreign_keys()
        )
        return Phase(
            "switch",
            f"no code uses {self.table.plain}",
            instructions=(f"Deploy code that no longer maps {self.table.plain}.", *keys),
            go_back="deploy the old code again",
        )

    def contract(self) -> Phase:
        statements = (
            *revoke_all(self.target, self.table, "no lock; only the owner may use the table from here on"),
            Statement(
                f"ALTER TABLE {self.table}\n    RENAME TO {quote(self.quarantine.name)}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; no code names the table any more, and it stays, out of sight, until it is purged",
                allow=("rename-table",),
            ),
        )
        undo = (
            Statement(
                f"ALTER TABLE {self.quarantine}\n    RENAME TO {quote(self.table.name)}",
                LockMode.ACCESS_EXCLUSIVE,
                "catalog only; every row is still there",
            ),
            *grant_again(self.target, self.table, "as before"),
        )
        return Phase(
            "contract",
            f"{self.table.plain} is gone for every client; its rows are kept in {self.quarantine.plain}",
            (Part(f"{self.table.plain} goes into quarantine", statements, undo, (self._free(self.table),)),),
            gates=(Word(OLD_CODE_GONE, f"no running code uses {self.table.plain}"), self._free(self.table)),
            go_back="downgrade the contract revision: the table is back, with every row",
        )

    def purge(self) -> Phase:
        keys = [
            Part(
                f"foreign key {key.name} of what was {self.table.plain}",
                (
                    replace(
                        drop_constraint(
                            self.quarantine,
                            key.name,
                            "catalog only, but of both tables: readers and writers of the other table wait for an "
                            "instant; in a transaction of its own, so that no more than these two are locked",
                        ),
                        allow=("drop-constraint",),
                    ),
                ),
                (self._key_again(key),),
            )
            for key in self._foreign_keys()
        ]
        dropped = Statement(
            f"DROP TABLE {self.quarantine}",
            LockMode.ACCESS_EXCLUSIVE,
            "nobody has missed it, and nothing else hangs on it",
            allow=("drop-table",),
        )
        part = Part(
            f"what was {self.table.plain}",
            (dropped,),
            tuple(self._put_back()),
            (self._free(self.quarantine),),
        )
        return Phase(
            "purge",
            f"nothing of {self.table.plain} is left",
            (*keys, part),
            gates=(
                Word(PURGE_APPROVED, f"nobody will want {self.table.plain} back"),
                self._free(self.quarantine),
            ),
            go_back=f"downgrade the purge revisions: an empty {self.quarantine.plain} is there again",
            undo_loses="every row; triggers, policies, statistics and expressions of generated columns are not made "
            "again",
        )

    # -- parts ----------------------------------------------------------------------------------------------
    def _foreign_keys(self) -> tuple[TargetConstraint, ...]:
        """Those that point to other tables."""
        return tuple(
            key
            for key in self.target.constraints
            if key.kind == "foreign key" and not self._points_to_itself(key)
        )

    def _points_to_itself(self, key: TargetConstraint) -> bool:
        match parse(f"ALTER TABLE t ADD CONSTRAINT c {key.definition}"):
            case (AddConstraint(constraint=ForeignKey(target=target)),):
                return target == self.table
            case _:
                return False

    def _free(self, table: QualifiedName) -> Holds:
        return Holds(
            f"NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE {_needed(table)})",
            f"nothing else depends on {table.plain}",
            "drop or change what does: evolve plan says what it is",
        )

    def _key_again(self, key: TargetConstraint) -> Statement:
        return Statement(
            f"ALTER TABLE {self.quarantine}\n    ADD CONSTRAINT {quote(key.name)} {key.definition}",
            LockMode.SHARE_ROW_EXCLUSIVE,
            "the table is empty",
        )

    def _put_back(self) -> Iterator[Statement]:
        """The table again, without rows."""
        sequences = [
            (dependent.column, QualifiedName(dependent.description.split('"')[1], self.table.schema))
            for dependent in self.target.dependents
            if dependent.kind == "sequence" and not self._identity(dependent.column)
        ]
        new = "nothing but this revision knows it"
        for _, name in sequences:
            yield Statement(f"CREATE SEQUENCE {name}", None, new)
        lines = ",\n    ".join(self._columns())
        yield Statement(f"CREATE TABLE {self.table} (\n    {lines}\n)", None, new)
        for column, name in sequences:
            yield Statement(f"ALTER SEQUENCE {name} OWNED BY {self.table}.{quote(column)}", None, new)
        # A key that points to the table itself needs what it points to.
        for constraint in sorted(
            self.target.constraints, key=lambda constraint: constraint.kind == "foreign key"
        ):
            if constraint not in self._foreign_keys():
                yield Statement(
                    f"ALTER TABLE {self.table}\n    ADD CONSTRAINT {quote(constraint.name)} {constraint.definition}",
                    None,
                    new,
                )
        for index in self.target.indexes:
            if index.constraint is None:
                yield Statement(index.definition, None, new)
        if self.target.comment is not None:
            comment = literal(self.target.comment).strip()
            yield Statement(f"COMMENT ON TABLE {self.table} IS {comment}", None, new)
        yield Statement(f"ALTER TABLE {self.table}\n    RENAME TO {quote(self.quarantine.name)}", None, new)

    def _identity(self, name: str) -> bool:
        column = self.target.column(name)
        return column is not None and column.identity

    def _columns(self) -> Iterator[str]:
        for column in self.target.columns:
            line = f"{quote(column.name)} {type_of(column)}"
            if column.identity:
                line += " GENERATED BY DEFAULT AS IDENTITY"
            elif column.default is not None:
                line += f" DEFAULT {column.default}"
            yield line + (" NOT NULL" if column.not_null else "")

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.target.published:
            notes.append(
                f"The table is published by {', '.join(self.target.published)}: take it out before contract, "
                "and drop it on subscribers afterwards."
            )
        if self.target.partitioned:
            notes.append(
                "Its partitions keep their names until purge, which locks all of them at once; take the table out of "
                "the settings of `evolve partition`."
            )
        return tuple(notes)


def _needed(table: QualifiedName) -> str:
    """Predicate of the rows of pg_depend that stand for something beside the table itself."""
    oid = f"to_regclass({literal(table.full).strip()})"
    return (
        f"refclassid = 'pg_class'::regclass AND refobjid = {oid} AND deptype = 'n' AND coalesce(CASE classid"  # noqa: S608
        " WHEN 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_catalog.pg_rewrite WHERE oid = objid)"
        " WHEN 'pg_constraint'::regclass THEN (SELECT conrelid FROM pg_catalog.pg_constraint WHERE oid = objid)"
        " WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_catalog.pg_policy WHERE oid = objid)"
        " WHEN 'pg_trigger'::regclass THEN (SELECT tgrelid FROM pg_catalog.pg_trigger WHERE oid = objid)"
        " WHEN 'pg_attrdef'::regclass THEN (SELECT adrelid FROM pg_catalog.pg_attrdef WHERE oid = objid)"
        " WHEN 'pg_class'::regclass THEN (SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = objid)"
        " END, 0) <> refobjid"
    )


def trials(change: DropTable, _facts: Facts) -> Iterator[Trial]:
    yield NoSuchRow(
        QualifiedName("pg_depend", "pg_catalog"),
        _needed(change.table),
        f"something else depends on {change.table.plain}",
        refusal=lambda count, _: NeededByOthers(change.table, count),
    )


RECIPE = Recipe(DropTable, "Drop a table.", (TABLE,), plan, trials)
