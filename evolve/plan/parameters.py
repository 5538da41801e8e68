"""The parameters of a change: how each is typed on a command line, and how it stands in a manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from evolve.errors import Misuse
from evolve.sql.names import (
    BadName,
    NameTooLong,
    QualifiedName,
    check_length,
    parse_column,
    parse_name,
    quote,
)
from evolve.sql.parse import ExpressionNotRead, expression

Kind = Literal[
    "table",  # QualifiedName
    "column",  # of the change's own table: str; typed together with the table, as table.column
    "name",  # str: an identifier of its own
    "names",  # tuple[str, ...]: identifiers
    "relation",  # QualifiedName: another table, view, type or function
    "reference",  # ColumnName: a column of another table
    "expression",  # str: one SQL expression
    "type",  # str: a type, as SQL writes it
    "statement",  # str: SQL longer than an expression; on a command line @FILE reads it from a file
    "text",  # str
    "choice",  # str: one of `choices`
    "flag",  # bool
    "number",  # int, at least 0
    "pairs",  # tuple[tuple[str, str], ...]: NAME=SQL, several of them
]


class BadParameter(Misuse):
    """What was typed for a parameter cannot be used."""

    def __init__(self, name: str, text: str, expected: str) -> None:
        super().__init__(f"{name} {text!r} is not {expected}", fix=f"write {name} as {expected}")


@dataclass(frozen=True, slots=True, order=True)
class ColumnName:
    """A column with its table."""

    table: QualifiedName
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{quote(self.column)}"

    @property
    def plain(self) -> str:
        return f"{self.table.plain}.{self.column}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One attribute of a change.

    Args:
        name: of the attribute, and its key in the manifest.
        help: one line; ends in a full stop.
        option: typed as --name; else its place in the line says what it is.
        required: False: where it is left out, the attribute keeps the value that the change's class gives it.
        choices: of a "choice".
        metavar: what `--help` shows in its place.
        spelled: the option's word where it is no name for an attribute: "as".
    """

    name: str
    kind: Kind
    help: str
    option: bool = False
    required: bool = True
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    spelled: str | None = None

    @property
    def flag(self) -> str:
        """As it is typed: `--on-conflict`."""
        return "--" + (self.spelled or self.name.replace("_", "-"))

    @property
    def shown(self) -> str:
        """For messages: the option, or the argument's name in capitals."""
        return self.flag if self.option else (self.metavar or self.name.upper())


TABLE = Parameter("table", "table", "The table.", metavar="TABLE")
COLUMN = Parameter("column", "column", "The column, as table.column.", metavar="TABLE.COLUMN")


def option(
    name: str,
    kind: Kind,
    help: str,  # noqa: A002 - as click calls it
    *,
    required: bool = False,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    spelled: str | None = None,
) -> Parameter:
    """A parameter that is typed as an option."""
    return Parameter(
        name, kind, help, option=True, required=required, choices=choices, metavar=metavar, spelled=spelled
    )


# -- a command line -----------------------------------------------------------------------------------------
def typed(parameter: Parameter, text: str | Sequence[str]) -> object:
    """The value that `text` stands for; a sequence for "names" and "pairs".

    A "column" gives a `ColumnName`, whose table is the change's own.

    Raises:
        BadParameter, BadName, NameTooLong.
    """
    if not isinstance(text, str):
        if parameter.kind == "pairs":
            return tuple(_pair(parameter, each) for each in text)
        return tuple(_identifier(parameter, each) for each in text)
    if "\0" in text:
        raise BadParameter(parameter.shown, text, "text without a null character")
    match parameter.kind:
        case "table" | "relation":
            return parse_name(text)
        case "column" | "reference":
            return ColumnName(*parse_column(text))
        case "name":
            return _identifier(parameter, text)
        case "names" | "pairs":
            return typed(parameter, [text])
        case "number":
            if not re.fullmatch(r"[0-9]{1,18}", text):
                raise BadParameter(parameter.shown, text, "a whole number")
            return int(text)
        case "choice":
            if text not in parameter.choices:
                raise BadParameter(parameter.shown, text, f"one of {', '.join(parameter.choices)}")
            return text
        case "expression" | "type" | "statement" | "text":
            if not text.strip():
                raise BadParameter(parameter.shown, text, "anything but nothing")
            return text
        case "flag":
            return text == "true"
        case _:
            assert_never(parameter.kind)


def _identifier(parameter: Parameter, text: str) -> str:
    parsed = parse_name(text)
    if parsed.schema != "public" or "." in text.partition('"')[0]:
        raise BadName(text, f"a name, as {parameter.shown} must be")
    return parsed.name


def _pair(parameter: Parameter, text: str) -> tuple[str, str]:
    # A quoted name may hold the sign.
    found = re.match(r'\s*("(?:[^"]|"")+"|[^\s"=]+)\s*=(?![=>])(.+)\Z', text, re.DOTALL)
    if found is None or not found[2].strip():
        raise BadParameter(parameter.shown, text, "NAME=SQL")
    return _identifier(parameter, found[1]), found[2].strip()


# -- a manifest ---------------------------------------------------------------------------------------------
class BadValue(Exception):
    """A value that may not stand in a manifest; `found` and `allowed` go into the message about it."""

    def __init__(self, found: str, allowed: str) -> None:
        super().__init__(found)
        self.found = found
        self.allowed = allowed


def plain(value: object) -> object:
    """`value` as TOML has it."""
    match value:
        case QualifiedName() | ColumnName():
            return str(value)
        case tuple() if value and isinstance(value[0], tuple):
            return dict(value)
        case tuple():
            return list(value)
        case _:
            return value


def understood(parameter: Parameter, value: object) -> object:
    """What `plain` was made from.

    Raises:
        BadValue: nothing that evolve would have written.
    """
    match parameter.kind:
        case "flag":
            if not isinstance(value, bool):
                raise BadValue(f"is {value!r}", "it must be true or false")
            return value
        case "number":
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise BadValue(f"is {value!r}", "it must be a whole number")
            return value
        case "names":
            if not isinstance(value, list) or not value:
                raise BadValue(f"is {value!r}", "it must be a list of names")
            return tuple(_name(each) for each in value)
        case "pairs":
            if not isinstance(value, Mapping) or not value:
                raise BadValue(f"is {value!r}", 'write it as { name = "SQL" }')
            return tuple((_name(name), _sql(text)) for name, text in value.items())
        case "choice":
            if value not in parameter.choices:
                names = ", ".join(f'"{name}"' for name in parameter.choices)
                raise BadValue(f"is {value!r}", f"it must be one of {names}")
            return value
    text = _text(value)
    match parameter.kind:
        case "table" | "relation":
            try:
                return parse_name(text)
            except (BadName, NameTooLong) as error:
                raise BadValue(f"is {text!r}", "write it as table or schema.table") from error
        case "reference":
            try:
                return ColumnName(*parse_column(text))
            except (BadName, NameTooLong) as error:
                raise BadValue(f"is {text!r}", "write it as table.column or schema.table.column") from error
        case "column" | "name":
            return _name(text)
        case "expression":
            return _sql(text)
        case "type" | "statement" | "text":
            return text
        case _:
            assert_never(parameter.kind)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise BadValue(f"is {value!r}", "it must be text")
    return value


def _name(value: object) -> str:
    """A name as it is, without quotes."""
    try:
        return check_length(_text(value))
    except NameTooLong as error:
        raise BadValue("is too long", "a name has at most 63 bytes") from error


def _sql(value: object) -> str:
    text = _text(value)
    try:
        expression(text)
    except ExpressionNotRead as error:
        raise BadValue(f"is {text!r}", "it must be one SQL expression") from error
    return text
