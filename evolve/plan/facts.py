"""What a recipe may ask about the database it plans for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from evolve.errors import Misuse
from evolve.plan.target import Target, TargetIndex
from evolve.sql.names import QualifiedName

Source = Literal["database", "revisions"]
RelationKind = Literal[
    "table", "view", "materialized view", "sequence", "index", "foreign table", "composite type"
]


@dataclass(frozen=True, slots=True)
class EnumFacts:
    """An enumeration.

    Args:
        values: in their order.
        columns: (table, column) of this type.
        users: what else is recorded to depend on it, beside constraints, indexes and defaults: "function f(mood)".
    """

    name: QualifiedName
    values: tuple[str, ...]
    columns: tuple[tuple[QualifiedName, str], ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ViewFacts:
    """A view.

    Args:
        definition: its query, without a closing semicolon.
        columns: (name, type), in order.
        reads: tables and views it reads.
        dependents: views that read it, as their names.
        options: as in WITH (…), e.g. "security_invoker=true".
        grants: (privilege, grantee, with grant option).
        indexes: of a materialised view.
        populated: of a materialised view: it has been refreshed.
        defaults: (column, SQL) of defaults of its own.
        column_comments: (column, comment).
        column_grants: (column, privilege, grantee, with grant option).
        others: what else hangs on it: triggers, rules, functions, columns of its row type, as descriptions.
    """

    name: QualifiedName
    materialized: bool
    definition: str
    columns: tuple[tuple[str, str], ...]
    reads: tuple[QualifiedName, ...] = ()
    dependents: tuple[QualifiedName, ...] = ()
    options: tuple[str, ...] = ()
    owner: str | None = None
    grants: tuple[tuple[str, str, bool], ...] = ()
    comment: str | None = None
    indexes: tuple[TargetIndex, ...] = ()
    populated: bool = True
    defaults: tuple[tuple[str, str], ...] = ()
    column_comments: tuple[tuple[str, str], ...] = ()
    column_grants: tuple[tuple[str, str, str, bool], ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """What a query that an operator wrote would give.

    Args:
        sql: the query.
        columns: (name, type), in order.
    """

    sql: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """One function of a name.

    Args:
        arguments: its identity, e.g. "integer, text".
        result: its type.
        definition: its CREATE OR REPLACE FUNCTION.
        callers: what is recorded to depend on it: "trigger t of orders", "index i", "view v".
        grants: (privilege, grantee, with grant option); PUBLIC is among them unless it was taken away.
        signature: its arguments with names, modes and defaults, as CREATE FUNCTION takes them.
        types: of the arguments that a call gives.
        names: of those; "" where one has none.
        optional: how many of them, the last ones, have a default.
    """

    name: QualifiedName
    arguments: str
    result: str
    definition: str
    volatility: Literal["immutable", "stable", "volatile"] = "volatile"
    callers: tuple[str, ...] = ()
    grants: tuple[tuple[str, str, bool], ...] = ()
    comment: str | None = None
    signature: str = ""
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    optional: int = 0
    strict: bool = False
    security_definer: bool = False
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class SequenceFacts:
    """A sequence.

    Args:
        last_value: None where it was never used or could not be read.
        grants: (privilege, grantee, with grant option), the owner's own left out.
        users: (table, column) whose defaults take numbers from it.
        others: what else is recorded to depend on it: "view v", "function f()".
    """

    name: QualifiedName
    type: str
    owned_by: tuple[QualifiedName, str] | None = None
    last_value: int | None = None
    increment: int = 1
    start: int = 1
    minimum: int | None = None
    maximum: int | None = None
    cache: int = 1
    cycle: bool = False
    grants: tuple[tuple[str, str, bool], ...] = ()
    comment: str | None = None
    users: tuple[tuple[QualifiedName, str], ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """An index and the table it is on.

    Args:
        scans: how often this server has used it since its statistics were reset; None where that is not known.
        needed_by: what would go with it, or keep it from going: 'foreign key "f" of orders'; its own constraint is
            told by `index`.
        partitioned: it is one of a partitioned table, and has indexes of the partitions below it.
        comment: of the index itself.
    """

    name: QualifiedName
    table: QualifiedName
    index: TargetIndex
    scans: int | None = None
    needed_by: tuple[str, ...] = ()
    partitioned: bool = False
    comment: str | None = None


class Facts(ABC):
    """Answers as of one moment; what is not there is `NotThere`, or None where absence is an answer.

    Args:
        source: the live catalog, or what replaying the revisions gives.
        server_version: as 150018; None where it is not known.
    """

    source: Source
    server_version: int | None

    @abstractmethod
    def table(self, name: QualifiedName) -> Target:
        """A table with all that hangs on it.

        Raises:
            Misuse: there is none of that name.
        """

    @abstractmethod
    def relation(self, name: QualifiedName) -> RelationKind | None:
        """What has that name in the name space of tables, views, indexes and sequences; None: nothing."""

    @abstractmethod
    def index(self, name: QualifiedName) -> IndexFacts | None: ...

    @abstractmethod
    def enum(self, name: QualifiedName) -> EnumFacts | None: ...

    @abstractmethod
    def view(self, name: QualifiedName) -> ViewFacts | None: ...

    @abstractmethod
    def functions(self, name: QualifiedName) -> tuple[FunctionFacts, ...]:
        """All functions of that name, in the order of their arguments."""

    @abstractmethod
    def query(self, name: QualifiedName, sql: str) -> QueryFacts:
        """What the columns of the query would be that `name` is to have.

        Raises:
            Misuse: the server refuses it.
        """

    @abstractmethod
    def written_function(self, name: QualifiedName, rest: str) -> FunctionFacts:
        """What CREATE FUNCTION of that name, with `rest` from the arguments on, would make.

        Raises:
            Misuse: the server refuses it.
        """

    @abstractmethod
    def sequence(self, name: QualifiedName) -> SequenceFacts | None: ...


class NotThere(Misuse):
    def __init__(self, kind: str, name: QualifiedName) -> None:
        super().__init__(
            f'there is no {kind} "{name.plain}"',
            fix="check the name; another schema is written schema.name",
        )


class NameTaken(Misuse):
    def __init__(self, name: QualifiedName, kind: str) -> None:
        super().__init__(f'"{name.plain}" is the name of a {kind} already', fix="choose another name")


def refuse_taken(facts: Facts, name: QualifiedName) -> None:
    """Raise `NameTaken` where a table, view, index or sequence has that name."""
    kind = facts.relation(name)
    if kind is not None:
        raise NameTaken(name, kind)
