"""SQL expressions and types that an operator gives: read before anything is planned with them."""

from __future__ import annotations

from evolve.errors import Misuse
from evolve.plan.target import Target
from evolve.sql.operations import AddColumn, ColumnDefinition, Expression
from evolve.sql.parse import ExpressionNotRead, expression, parse, tokens


class BadExpression(Misuse):
    def __init__(self, option: str, text: str, reason: str) -> None:
        super().__init__(
            f"{option} {text!r} is not an SQL expression: {reason}",
            fix=f"write SQL, text in single quotes inside the shell's double ones: {option} \"'EUR'\" or {option} "
            '"lower(email)"',
        )


class HoldsQuery(Misuse):
    def __init__(self, option: str, text: str) -> None:
        super().__init__(
            f"{option} {text!r} holds a query, and it must be made of the row alone",
            why="it is computed on every write of the application, with the rights of whoever writes, where the tables "
            "of a query have other names; and it would not follow when their rows change",
            fix="compute it from the columns of the row; what another table knows, a function of them may look up: "
            f'{option} "rate_of(currency)"',
        )


class ExpressionGivesNull(Misuse):
    def __init__(self, option: str) -> None:
        super().__init__(f"{option} NULL fills nothing", fix="give a value")


class BadType(Misuse):
    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f'"{text}" is not a column type: {reason}',
            fix='write it as SQL does: "text", "numeric(10,2)", "app.mood"',
        )


def read_expression(option: str, text: str, target: Target, *, column: str) -> Expression:
    """Read what `option` gave.

    Raises:
        BadExpression: it is not one expression, holds a comment that a line ends, or names a column that the
            table lacks, or `column` itself.
        HoldsQuery: it reads more than its row.
        ExpressionGivesNull: it is a bare NULL.
    """
    read = _read(option, text)
    if any(kind == "SQL_COMMENT" for kind, _, _ in tokens(text)):
        raise BadExpression(option, text, "it holds a comment, which would swallow what stands behind it")
    if read.query:
        raise HoldsQuery(option, text)
    if read.sql.strip("()").upper() == "NULL":
        raise ExpressionGivesNull(option)
    if read.qualified:
        raise BadExpression(
            option,
            text,
            "it names a column with its table, and a trigger knows the row by no name: name columns alone",
        )
    if column in read.columns:
        raise BadExpression(option, text, f'it reads "{column}", the column it is to fill')
    known = {known.name for known in target.columns}
    missing = [name for name in read.columns if name not in known]
    if missing:
        raise BadExpression(
            option,
            text,
            f'table "{target.table.plain}" has no column "{missing[0]}" (text goes in single quotes)',
        )
    return read


def _read(option: str, text: str) -> Expression:
    try:
        return expression(text)
    except ExpressionNotRead as error:
        raise BadExpression(option, text, str(error.__cause__ or "it does not parse")) from error


def read_default(option: str, text: str, target: Target, *, column: str) -> Expression:
    """Read a default.

    Raises:
        BadExpression: it is not one expression, or reads columns or tables, which no default can.
        ExpressionGivesNull: it is a bare NULL.
    """
    read = _read(option, text)
    if read.query:
        raise BadExpression(option, text, "it holds a query, which PostgreSQL takes for no default")
    read = read_expression(option, text, target, column=column)
    if read.columns:
        raise BadExpression(
            option,
            text,
            f'it reads column "{read.columns[0]}", and a default knows no other column of its row',
        )
    return read


def read_type(text: str) -> ColumnDefinition:
    """Read a column's type; the definition's name means nothing.

    Raises:
        BadType: it is not one type, or says more than a type.
    """
    operations = parse(f"ALTER TABLE t ADD COLUMN c {text}")
    match operations:
        case (AddColumn(column=ColumnDefinition(serial=False) as column),) if column == ColumnDefinition(
            "c", column.type, collation=column.collation
        ):
            return column
        case (AddColumn(column=ColumnDefinition(serial=True)),):
            raise BadType(text, "serial brings its own numbers; add an identity column by hand")
        case (AddColumn(),):
            raise BadType(text, "it says more than a type")
        case _:
            raise BadType(text, "it does not parse")
