"""An index as an operator wishes for it: its parts as SQL text, read before anything is planned with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from evolve.errors import Misuse
from evolve.plan import index_build
from evolve.plan.change import Place, columns
from evolve.plan.expressions import BadExpression
from evolve.plan.parameters import Parameter, option
from evolve.plan.target import Target, TargetIndex, known_column
from evolve.sql.names import QualifiedName, quote, shorten
from evolve.sql.operations import IndexDefinition
from evolve.sql.parse import ExpressionNotRead, expression

METHODS = ("btree", "hash", "gin", "gist", "spgist", "brin")


class NotAnIndex(Misuse):
    def __init__(self, text: str) -> None:
        super().__init__(
            f"--on {text!r} is not what an index is made of",
            fix='write it as CREATE INDEX does: --on "customer_id, lower(email) DESC"',
        )


@dataclass(frozen=True, slots=True)
class Wished:
    """What stands in CREATE INDEX.

    Args:
        on: what stands between its parentheses.
        where: predicate of the rows it holds; None: all.
    """

    table: QualifiedName
    on: str
    using: str = "btree"
    where: str | None = None
    include: tuple[str, ...] = ()
    unique: bool = False

    def create(
        self,
        name: str,
        *,
        concurrently: bool = True,
        if_not_exists: bool = False,
        only: bool = False,
        table: QualifiedName | None = None,
    ) -> str:
        words = ["CREATE", *(["UNIQUE"] if self.unique else []), "INDEX"]
        words += ["CONCURRENTLY"] if concurrently else []
        words += ["IF NOT EXISTS"] if if_not_exists else []
        target = f"{'ONLY ' if only else ''}{table or self.table}"
        sql = f"{' '.join(words)} {quote(name)}\n    ON {target} USING {self.using} ({self.on})"
        if self.include:
            sql += f" INCLUDE ({index_build.columns_sql(self.include)})"
        if self.where is not None:
            sql += f"\n    WHERE {self.where}"
        return sql

    def read(self) -> IndexDefinition | None:
        """None where the parts are not what they should be."""
        definition = index_build.definition_of(self.create("i", concurrently=False))
        if (
            definition is None
            or self.using not in METHODS
            or (self.where is None) is not (definition.where is None)
        ):
            return None
        given = (definition.table, definition.include, definition.method, definition.nulls_not_distinct)
        return (
            definition
            if given == (self.table, self.include, self.using, False) and not definition.options
            else None
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """All that it reads, each once; none where it does not parse."""
        definition = self.read()
        return tuple(dict.fromkeys(_columns(definition))) if definition is not None else ()

    @property
    def places(self) -> frozenset[Place]:
        return columns(self.table, self.columns)

    @property
    def usual_name(self) -> str:
        """As SQLAlchemy names it: ix_orders_customer_id."""
        definition = self.read()
        keys = dict.fromkeys(_key_columns(definition)) if definition is not None else ()
        return shorten("ix", self.table.name, *keys)

    def duplicated(self) -> str:
        """Predicate of a row whose keys another row has as well; the table is sorted or hashed once for it."""
        definition = self.read()
        if definition is None:
            raise NotAnIndex(self.on)
        keys = ", ".join(
            quote(key.column)
            if key.column is not None
            else f"({key.expression.sql if key.expression else ''})"
            for key in definition.keys
        )
        rows = f" WHERE {self.where}" if self.where is not None else ""
        twice = f"SELECT {keys} FROM {self.table.full}{rows} GROUP BY {keys} HAVING count(*) > 1"  # noqa: S608
        among = f"({self.where}) AND " if self.where is not None else ""
        return f"{among}({keys}) IN ({twice})"

    def same_as(self, index: TargetIndex) -> bool:
        """It holds the same, whatever it is called; an invalid one is no index yet."""
        wished, there = self.read(), index_build.definition_of(index.definition)
        if wished is None or there is None or not index.valid:
            return False
        return replace(there, name=wished.name, table=wished.table) == wished


def checked(wish: Wished, target: Target) -> Wished:
    """`wish` with its predicate as one SQL expression.

    Raises:
        NotAnIndex, BadExpression: it does not parse; UnknownColumn: it reads a column that the table lacks.
    """
    if wish.where is not None:
        try:
            wish = replace(wish, where=expression(wish.where).sql)
        except ExpressionNotRead as error:
            raise BadExpression(
                "--where", str(wish.where), str(error.__cause__ or "it does not parse")
            ) from error
    if wish.read() is None:
        raise NotAnIndex(wish.on)
    for column in wish.columns:
        known_column(target, column)
    return wish


def parameters(*, on: bool = True) -> tuple[Parameter, ...]:
    return (
        option(
            "on", "text", "Columns and expressions, as CREATE INDEX writes them.", required=on, metavar="KEYS"
        ),
        option("using", "choice", "The index method.", choices=METHODS),
        option("where", "expression", "Predicate of the rows it holds."),
        option("include", "names", "A column that it carries along.", metavar="COLUMN"),
        option("unique", "flag", "Let no two rows have the same keys."),
    )


def _columns(definition: IndexDefinition) -> Iterator[str]:
    yield from _key_columns(definition)
    yield from definition.include
    if definition.where is not None:
        yield from definition.where.columns


def _key_columns(definition: IndexDefinition) -> Iterator[str]:
    for key in definition.keys:
        if key.column is not None:
            yield key.column
        elif key.expression is not None:
            yield from key.expression.columns
