"""Everything that hangs on one column, made again on the column that takes its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evolve.plan.target import InTheWay, Target, TargetConstraint, TargetIndex
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote, shorten
from evolve.sql.parse import rename_in_definition
from evolve.sql.statements import Statement


@dataclass(frozen=True, slots=True)
class Carried:
    """One index or constraint on the new column, under its new name."""

    name: str
    source: TargetIndex | TargetConstraint
    sql: str


@dataclass(frozen=True, slots=True)
class Carry:
    """What `column` of a table has, said of `to`.

    Args:
        checks: ADD CONSTRAINT … NOT VALID, on this table alone.
        indexes: CREATE INDEX CONCURRENTLY, those that back a UNIQUE constraint among them.
        uniques: ADD CONSTRAINT … UNIQUE USING INDEX.
        foreign_keys: ADD CONSTRAINT … NOT VALID, which also locks the other table.
    """

    table: QualifiedName
    column: str
    to: str
    checks: tuple[Carried, ...]
    indexes: tuple[Carried, ...]
    uniques: tuple[Carried, ...]
    foreign_keys: tuple[Carried, ...]

    @property
    def to_validate(self) -> tuple[Carried, ...]:
        """Constraints to validate: those whose model is validated."""
        return tuple(
            carried
            for carried in (*self.checks, *self.foreign_keys)
            if isinstance(carried.source, TargetConstraint) and carried.source.validated
        )


def carry(target: Target, column: str, to: str) -> Carry:
    """What has to be made on `to` so that it can stand in for `column`.

    Raises:
        InTheWay: something depends on `column` that cannot be made again beside it.
    """
    refuse_dependents(target, column)
    taken = {index.name for index in target.indexes} | {c.name for c in target.constraints}
    names = _Names(taken, column, to)
    checks, uniques, foreign_keys, indexes = [], [], [], []
    for constraint in target.constraints_on(column):
        match constraint.kind:
            case "check":
                name = names.new(constraint.name)
                checks.append(
                    Carried(name, constraint, _add_constraint(target, constraint, column, to, name))
                )
            case "foreign key":
                name = names.new(constraint.name)
                sql = _add_constraint(target, constraint, column, to, name)
                foreign_keys.append(Carried(name, constraint, sql))
            case "unique":
                name = names.new(constraint.name)
                deferrable = re.search(r"\bDEFERRABLE.*$", constraint.definition)
                suffix = f" {deferrable[0]}" if deferrable else ""
                uniques.append(
                    Carried(
                        name,
                        constraint,
                        f"ALTER TABLE {target.table}\n    ADD CONSTRAINT {quote(name)} UNIQUE USING INDEX "
                        f"{quote(name)}{suffix}",
                    )
                )
            case "primary key" | "exclude":
                pass  # refused above
    backing = {carried.source.name: carried.name for carried in uniques}
    for index in target.indexes_on(column):
        if index.constraint is not None and index.constraint not in backing:
            continue
        name = backing[index.constraint] if index.constraint is not None else names.new(index.name)
        sql = rename_in_definition(index.definition, column, to, name=name)
        if not re.match(r"CREATE (UNIQUE )?INDEX CONCURRENTLY ", sql):
            sql = re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", sql)
        indexes.append(Carried(name, index, _in_lines(sql)))
    return Carry(target.table, column, to, tuple(checks), tuple(indexes), tuple(uniques), tuple(foreign_keys))


@dataclass(slots=True)
class _Names:
    taken: set[str]
    column: str
    to: str

    def new(self, name: str) -> str:
        """`name` with the column's name in it replaced (ix_users_name → ix_users_full_name), else appended."""
        parts = re.split(rf"(?:(?<=_)|^){re.escape(self.column)}(?=_|$)", name)
        named = len(parts) > 1
        wanted = self.column.join(parts[:-1]) + self.to + parts[-1] if named else f"{name}_{self.to}"
        made, number = shorten(wanted), 1
        while made in self.taken:
            number += 1
            made = shorten(wanted, str(number))
        self.taken.add(made)
        return made


def _add_constraint(target: Target, constraint: TargetConstraint, column: str, to: str, name: str) -> str:
    definition = constraint.definition.removesuffix(" NOT VALID")
    sql = f"ALTER TABLE {target.table} ADD CONSTRAINT x {definition} NOT VALID"
    renamed = rename_in_definition(sql, column, to, name=name)
    return renamed.replace(" ADD CONSTRAINT ", "\n    ADD CONSTRAINT ", 1)


def _in_lines(sql: str) -> str:
    return re.sub(r" (ON \S+ USING |WHERE )", r"\n    \1", sql) if len(sql) > 70 else sql


# -- statements ---------------------------------------------------------------------------------------------
def add_checks(carried: Carry) -> Iterator[Statement]:
    for check in carried.checks:
        yield Statement(
            check.sql,
            LockMode.ACCESS_EXCLUSIVE,
            f'the same rule as "{check.source.name}"; NOT VALID, so no row is read now',
        )


def build_indexes(carried: Carry) -> Iterator[Statement]:
    """Build them without blocking writers; each may be run again after a failure half way."""
    for index in carried.indexes:
        qualified = QualifiedName(index.name, carried.table.schema)
        yield Statement(
            f"DROP INDEX CONCURRENTLY IF EXISTS {qualified}",
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "reads and writes go on; it clears away what an interrupted build left behind",
            transactional=False,
        )
        yield Statement(
            index.sql,
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            f'reads and writes go on while the twin of "{index.source.name}" is built',
            transactional=False,
        )


def drop_indexes(carried: Carry) -> Iterator[Statement]:
    for index in reversed(carried.indexes):
        qualified = QualifiedName(index.name, carried.table.schema)
        yield Statement(
            f"DROP INDEX CONCURRENTLY IF EXISTS {qualified}",
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "reads and writes go on",
            transactional=False,
        )


def add_uniques_and_foreign_keys(carried: Carry) -> Iterator[Statement]:
    for unique in carried.uniques:
        yield Statement(
            unique.sql,
            LockMode.ACCESS_EXCLUSIVE,
            "the index is there already, so this is a change of the catalog and takes an instant",
        )
    for key in carried.foreign_keys:
        yield Statement(
            key.sql,
            LockMode.SHARE_ROW_EXCLUSIVE,
            "it blocks writes of both tables for an instant; NOT VALID, so no row is read now",
        )


def drop_uniques_and_foreign_keys(carried: Carry) -> Iterator[Statement]:
    for constraint in (*reversed(carried.foreign_keys), *reversed(carried.uniques)):
        yield Statement(
            f"ALTER TABLE {carried.table}\n    DROP CONSTRAINT IF EXISTS {quote(constraint.name)}",
            LockMode.ACCESS_EXCLUSIVE,
            "catalog only",
        )


def validate(carried: Carry) -> Iterator[Statement]:
    for constraint in carried.to_validate:
        yield validate_constraint(carried.table, constraint.name)


def validate_constraint(table: QualifiedName, name: str) -> Statement:
    return Statement(
        f"ALTER TABLE {table}\n    VALIDATE CONSTRAINT {quote(name)}",
        LockMode.SHARE_UPDATE_EXCLUSIVE,
        "it reads every row while reads and writes go on; alone in its transaction, so that no stronger lock "
        "is held meanwhile",
        transactional=False,
    )


def comment_and_grants(target: Target, column: str, to: str) -> Iterator[Statement]:
    known = target.column(column)
    if known is None:
        return
    if known.comment is not None:
        yield Statement(
            f"COMMENT ON COLUMN {target.table}.{quote(to)} IS {literal(known.comment).strip()}",
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "catalog only",
        )
    for privilege, grantee, grantable in known.grants:
        to_whom = grantee if grantee == "PUBLIC" else quote(grantee)
        option = " WITH GRANT OPTION" if grantable else ""
        yield Statement(
            f"GRANT {privilege} ({quote(to)}) ON {target.table} TO {to_whom}{option}",
            None,
            "whoever may use the old column may use the new one",
        )


# -- what cannot be carried ---------------------------------------------------------------------------------
_DEPENDENTS: dict[str, tuple[str, str]] = {
    "view": (
        "the view would go on reading the old column, and block its removal",
        "drop the view in a revision before, or let it read another column; create it again on the new column "
        "after the switch",
    ),
    "generated column": (
        "its expression cannot be changed without rewriting the table",
        "first let code write the generated column itself: evolve plan drop-generated-expression",
    ),
    "partition key": ("the key of a partitioned table cannot be changed", "keep the name"),
    "publication": (
        "subscribers would stop receiving the value under the name they know",
        "take the column out of the publication's column list or filter first, then add the new one",
    ),
    "policy": (
        "the policy would go on checking the old column, and block its removal",
        "drop the policy and create it on the new column in a revision of its own",
    ),
    "trigger": (
        "the trigger would go on watching the old column, which new code no longer writes",
        "drop the trigger, or make it fire on every update",
    ),
    "trigger function": (
        'after the old column is gone every write would fail with: record "new" has no field',
        "let the function do without the column (or drop the trigger) in a revision before",
    ),
    "statistics": (
        "the extended statistics would be dropped with the old column",
        "drop them in a revision before and create them on the new column after the switch",
    ),
    "function": (
        "the function would go on reading the old column, and block its removal",
        "replace the function in a revision before",
    ),
    "inbound foreign key": (
        "other tables point to this column, and their keys would have to move with it",
        "drop or move the foreign key in a revision before",
    ),
    "sequence": (
        "the sequence is owned by the column and would be dropped with it",
        "keep the name; a serial or identity column is best left alone",
    ),
    "other": (
        "it would go on using the old column, and block its removal",
        "remove that use in a revision before",
    ),
}


def refuse_dependents(target: Target, column: str) -> None:
    """Raise `InTheWay` for the first thing that uses `column` and cannot be made again beside it."""
    known = target.column(column)
    if known is not None and known.identity:
        why, fix = _DEPENDENTS["sequence"]
        raise InTheWay(target, column, "its own identity sequence", why, fix)
    if known is not None and known.generated:
        raise InTheWay(
            target,
            column,
            "an expression that computes it",
            "a generated column cannot be written, so nothing can keep it equal to another",
            "add a generated column under the new name, switch the readers, drop the old one",
        )
    for dependent in target.dependents_of(column):
        why, fix = _DEPENDENTS[dependent.kind]
        raise InTheWay(target, column, dependent.description, why, fix)
    for constraint in target.constraints_on(column):
        if constraint.kind == "primary key":
            raise InTheWay(
                target,
                column,
                f'the primary key "{constraint.name}"',
                "a table has one primary key, so its twin cannot be built beside it",
                "keep the name of key columns",
            )
        if constraint.kind == "exclude":
            raise InTheWay(
                target,
                column,
                f'the exclusion constraint "{constraint.name}"',
                "PostgreSQL cannot build such a constraint without blocking writes",
                "drop it in a revision before, if the application can do without it",
            )
