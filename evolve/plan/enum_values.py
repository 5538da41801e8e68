"""What recipes for enumerations share: the type and its values, and the statement that adds one."""

from __future__ import annotations

from evolve.errors import Misuse
from evolve.plan.facts import EnumFacts, Facts, NotThere
from evolve.sql.names import QualifiedName, check_length, literal
from evolve.sql.statements import Statement


class UnknownValue(Misuse):
    def __init__(self, enum: EnumFacts, value: str) -> None:
        known = ", ".join(f"'{each}'" for each in enum.values)
        super().__init__(f"type \"{enum.name.plain}\" has no value '{value}'", fix=f"name one of {known}")


class ValueExists(Misuse):
    def __init__(self, enum: EnumFacts, value: str) -> None:
        super().__init__(
            f"type \"{enum.name.plain}\" has a value '{value}' already",
            fix="there may be nothing to do; else choose another value",
        )


def known_enum(facts: Facts, name: QualifiedName) -> EnumFacts:
    """The enumeration, or `NotThere`."""
    enum = facts.enum(name)
    if enum is None:
        raise NotThere("enumeration", name)
    return enum


def refuse_unknown(enum: EnumFacts, value: str) -> None:
    if value not in enum.values:
        raise UnknownValue(enum, value)


def refuse_value(enum: EnumFacts, value: str) -> None:
    """Raise `ValueExists` where the type has that value, and `NameTooLong` where it cannot."""
    check_length(value)
    if value in enum.values:
        raise ValueExists(enum, value)


def as_literal(value: str) -> str:
    return literal(value).strip()


def as_printed(value: str) -> str:
    """As the server writes it in defaults, checks and indexes: a backslash stands for itself."""
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def add_value(enum: EnumFacts, value: str, place: str = "") -> Statement:
    """ALTER TYPE … ADD VALUE; bears being run again.

    Args:
        place: "BEFORE 'x'" or "AFTER 'x'"; nothing puts it at the end.
    """
    return Statement(
        f"ALTER TYPE {enum.name} ADD VALUE IF NOT EXISTS {as_literal(value)}{f' {place}' if place else ''}",
        None,
        "it touches no table, and no code writes the value before all who read it know it; alone in its transaction, "
        "since a value cannot be used before the transaction that added it has committed",
        transactional=False,
        allow=("enum-add-value",) if enum.columns else (),
    )
