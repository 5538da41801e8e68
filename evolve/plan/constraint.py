"""What recipes for one constraint share: its name, what refuses the table, and the statements around it."""

from __future__ import annotations

from evolve.errors import Misuse, Refused
from evolve.plan.target import Target
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, check_length, quote, shorten
from evolve.sql.statements import Statement


class ConstraintExists(Misuse):
    def __init__(self, target: Target, name: str) -> None:
        super().__init__(
            f'table "{target.table.plain}" has a constraint "{name}" already',
            fix="there may be nothing to do; else give the new one a name: --name NAME",
        )


class PartOfFamily(Refused):
    """A constraint of one member of a family of tables, where it should be one of the family."""

    def __init__(self, target: Target, what: str, fix: str) -> None:
        super().__init__(
            f'table "{target.table.plain}" {what}',
            why="what one table of such a family refuses, the others would go on accepting",
            fix=fix,
        )


def chosen_name(given: str | None, *parts: str) -> str:
    """`given`, else the name that PostgreSQL itself would give, cut to 63 bytes.

    Raises:
        NameTooLong: `given` is.
    """
    return shorten(*parts) if given is None else check_length(given)


def refuse_constraint(target: Target, name: str) -> None:
    """Raise `ConstraintExists` where the table has a constraint of that name."""
    if any(constraint.name == name for constraint in target.constraints):
        raise ConstraintExists(target, name)


def refuse_relatives(target: Target) -> None:
    """Raise `PartOfFamily` for a partition, and for a table that inherits or is inherited from."""
    if target.partition_of is not None:
        raise PartOfFamily(
            target,
            f'is a partition of "{target.partition_of}"',
            f'plan it for "{target.partition_of}", whose partitions all get it',
        )
    if target.inherits:
        raise PartOfFamily(
            target, "takes part in inheritance", "change it by hand with revisions that `evolve lint` passes"
        )


def drop_constraint(
    table: QualifiedName, name: str, why: str = "catalog only", *, allow: tuple[str, ...] = ()
) -> Statement:
    return Statement(
        f"ALTER TABLE {table}\n    DROP CONSTRAINT {quote(name)}",
        LockMode.ACCESS_EXCLUSIVE,
        why,
        allow=allow,
    )
