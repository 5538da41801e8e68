"""The facts that a plan was made from, kept in its manifest: the same phases come out of them until the change is over.

What is kept is text that ends up in SQL, so each piece of it is parsed again before it is believed.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from evolve.errors import EvolveError
from evolve.plan.facts import (
    EnumFacts,
    Facts,
    FunctionFacts,
    IndexFacts,
    QueryFacts,
    RelationKind,
    SequenceFacts,
    Source,
    ViewFacts,
)
from evolve.plan.target import Target
from evolve.sql.names import BadName, NameTooLong, QualifiedName, parse_name
from evolve.sql.operations import AddColumn, AddConstraint, CreateIndex, Unread
from evolve.sql.parse import ExpressionNotRead, expression, parse

T = TypeVar("T")

_PRIVILEGES = frozenset(
    {
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
        "REFERENCES",
        "TRIGGER",
        "MAINTAIN",
        "EXECUTE",
        "USAGE",
    }
)


class BadFacts(Exception):
    """A kept fact is not what evolve would have written; the text says which, and what is wrong with it."""


class KeptFacts(Facts):
    """Facts that were asked for once, by question.

    Args:
        answers: ("table", name) → what was answered.
    """

    def __init__(
        self, source: Source, server_version: int | None, answers: Mapping[tuple[str, QualifiedName], object]
    ) -> None:
        self.source = source
        self.server_version = server_version
        self.answers = dict(answers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeptFacts) and self.to_plain() == other.to_plain()

    __hash__ = None  # type: ignore[assignment]  # its answers are a dictionary

    def table(self, name: QualifiedName) -> Target:
        return self._answer("table", name, Target)

    def relation(self, name: QualifiedName) -> RelationKind | None:
        return cast("RelationKind | None", self._answer("relation", name, object))

    def index(self, name: QualifiedName) -> IndexFacts | None:
        return self._answer("index", name, IndexFacts)

    def enum(self, name: QualifiedName) -> EnumFacts | None:
        return self._answer("enum", name, EnumFacts)

    def view(self, name: QualifiedName) -> ViewFacts | None:
        return self._answer("view", name, ViewFacts)

    def functions(self, name: QualifiedName) -> tuple[FunctionFacts, ...]:
        return self._answer("functions", name, tuple)

    def sequence(self, name: QualifiedName) -> SequenceFacts | None:
        return self._answer("sequence", name, SequenceFacts)

    def query(self, name: QualifiedName, sql: str) -> QueryFacts:
        found = self._answer("query", name, QueryFacts)
        if found.sql != sql:
            raise BadFacts(f'"query {name}" is of another query')
        return found

    def written_function(self, name: QualifiedName, rest: str) -> FunctionFacts:
        found = self._answer("written", name, FunctionFacts)
        if found.definition != rest:
            raise BadFacts(f'"written {name}" is of another function')
        return found

    def _answer(self, question: str, name: QualifiedName, _type: type[T]) -> T:
        try:
            return cast("T", self.answers[question, name])
        except KeyError:
            raise BadFacts(f'"{question} {name}" is missing') from None

    # -- in a manifest --------------------------------------------------------------------------------------
    def to_plain(self) -> dict[str, object]:
        """Keys and values for a TOML table; each answer is JSON on one line."""
        return {
            "source": self.source,
            "server_version": self.server_version or 0,
            **{
                f"{question} {name}": json.dumps(_plain(answer), ensure_ascii=False)
                for (question, name), answer in self.answers.items()
            },
        }

    @staticmethod
    def from_plain(table: Mapping[str, object]) -> KeptFacts:
        """Read back what `to_plain` gave.

        Raises:
            BadFacts: naming the key.
        """
        source = table.get("source")
        if source not in get_args(Source):
            raise BadFacts(f'"source" is {source!r}')
        version = table.get("server_version")
        if isinstance(version, bool) or not isinstance(version, int):
            raise BadFacts(f'"server_version" is {version!r}')
        answers: dict[tuple[str, QualifiedName], object] = {}
        for key, text in table.items():
            if key in ("source", "server_version"):
                continue
            question, _, name = key.partition(" ")
            if question not in _ANSWERS or not isinstance(text, str):
                raise BadFacts(f'"{key}" is unknown')
            try:
                answer = _made(_ANSWERS[question], json.loads(text))
                _believe(answer)
                answers[question, parse_name(name)] = answer
            except (
                BadName,
                NameTooLong,
                ExpressionNotRead,
                EvolveError,
                ValueError,
                TypeError,
                KeyError,
            ) as error:
                raise BadFacts(f'"{key}" cannot be believed: {error}') from error
        return KeptFacts(cast("Source", source), version or None, answers)


_ANSWERS: dict[str, object] = {
    "table": Target,
    "relation": RelationKind | None,
    "index": IndexFacts | None,
    "enum": EnumFacts | None,
    "view": ViewFacts | None,
    "functions": tuple[FunctionFacts, ...],
    "sequence": SequenceFacts | None,
    "query": QueryFacts,
    "written": FunctionFacts,
}


class Remembering(Facts):
    """Passes each question on, and keeps the answers that were given."""

    def __init__(self, facts: Facts) -> None:
        self.source = facts.source
        self.server_version = facts.server_version
        self._facts = facts
        self._answers: dict[tuple[str, QualifiedName], object] = {}

    @property
    def kept(self) -> KeptFacts:
        return KeptFacts(self.source, self.server_version, self._answers)

    def _ask(self, question: str, name: QualifiedName, ask: Callable[[QualifiedName], T]) -> T:
        if (question, name) not in self._answers:
            self._answers[question, name] = ask(name)
        return cast("T", self._answers[question, name])

    def table(self, name: QualifiedName) -> Target:
        return self._ask("table", name, self._facts.table)

    def relation(self, name: QualifiedName) -> RelationKind | None:
        return self._ask("relation", name, self._facts.relation)

    def index(self, name: QualifiedName) -> IndexFacts | None:
        return self._ask("index", name, self._facts.index)

    def enum(self, name: QualifiedName) -> EnumFacts | None:
        return self._ask("enum", name, self._facts.enum)

    def view(self, name: QualifiedName) -> ViewFacts | None:
        return self._ask("view", name, self._facts.view)

    def functions(self, name: QualifiedName) -> tuple[FunctionFacts, ...]:
        return self._ask("functions", name, self._facts.functions)

    def sequence(self, name: QualifiedName) -> SequenceFacts | None:
        return self._ask("sequence", name, self._facts.sequence)

    def query(self, name: QualifiedName, sql: str) -> QueryFacts:
        return self._ask("query", name, lambda name: self._facts.query(name, sql))

    def written_function(self, name: QualifiedName, rest: str) -> FunctionFacts:
        return self._ask("written", name, lambda name: self._facts.written_function(name, rest))


# -- values as JSON has them --------------------------------------------------------------------------------
def _plain(value: object) -> object:
    match value:
        case tuple():
            return [_plain(each) for each in value]
        case QualifiedName():
            return str(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            # What is as its class has it by default goes without saying.
            return {
                field.name: _plain(getattr(value, field.name))
                for field in fields(value)
                if getattr(value, field.name) != field.default
            }
        case _:
            return value


@cache
def _hints(cls: Hashable) -> dict[str, object]:
    return get_type_hints(cls)


def _made(hint: Any, value: Any) -> object:
    """The value of type `hint` that `_plain` wrote as `value`; raises where it is of another."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} is none of {', '.join(map(repr, arguments))}")
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _made(next(argument for argument in arguments if argument is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is no list")
        if arguments[-1] is Ellipsis:
            return tuple(_made(arguments[0], each) for each in value)
        return tuple(_made(each, item) for each, item in zip(arguments, value, strict=True))
    if hint is QualifiedName:
        return parse_name(str(value))
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise TypeError(f"{value!r} is no table")
        hints = _hints(cast("Hashable", hint))
        return cast("type[Any]", hint)(**{name: _made(hints[name], each) for name, each in value.items()})
    if type(value) is not hint:
        raise TypeError(f"{value!r} is not {getattr(hint, '__name__', hint)}")
    return value


def _believe(answer: object) -> None:
    """Raise where a text that recipes put into SQL is not the one thing it is taken for."""
    match answer:
        case Target():
            _believe_grants(answer.grants)
            for column in answer.columns:
                _one(f"ALTER TABLE t ADD COLUMN c {column.type}", AddColumn)
                if column.collation is not None:
                    _one(f"ALTER TABLE t ADD COLUMN c {column.type} COLLATE {column.collation}", AddColumn)
                if column.default is not None:
                    expression(column.default)
                if column.generation is not None:
                    expression(column.generation)
                _believe_grants(column.grants)
            for constraint in answer.constraints:
                if constraint.kind != "exclude":
                    _one(f"ALTER TABLE t ADD CONSTRAINT c {constraint.definition}", AddConstraint)
            for index in answer.indexes:
                _one(index.definition, CreateIndex)
        case IndexFacts():
            _one(answer.index.definition, CreateIndex)
        case QueryFacts():
            _one(f"CREATE VIEW v AS {answer.sql}\n", None)
            for _, type_name in answer.columns:
                _one(f"ALTER TABLE t ADD COLUMN c {type_name}", AddColumn)
        case ViewFacts():
            _one(f"CREATE VIEW v AS {answer.definition}", None)
            if answer.options:
                _one(f"CREATE VIEW v WITH ({', '.join(answer.options)}) AS SELECT 1", None)
            for _, default in answer.defaults:
                expression(default)
            _believe_grants(tuple((p, g, o) for _, p, g, o in answer.column_grants))
            for index in answer.indexes:
                _one(index.definition, CreateIndex)
            _believe_grants(answer.grants)
        case tuple():
            for function in answer:
                _one(function.definition, None)
                _one(f"CREATE FUNCTION f({function.signature}) RETURNS {function.result} AS ''", None)
                _believe_grants(function.grants)
        case FunctionFacts():
            _one(f"CREATE FUNCTION f{answer.definition}", None)
        case _:
            pass


def _believe_grants(grants: tuple[tuple[str, str, bool], ...]) -> None:
    for privilege, _, _ in grants:
        if privilege not in _PRIVILEGES:
            raise ValueError(f"{privilege!r} is no privilege")


def _one(sql: str, kind: type[AddColumn | AddConstraint | CreateIndex] | None) -> None:
    operations = parse(sql)
    wrong = isinstance(operations[0], Unread) if kind is None else not isinstance(operations[0], kind)
    if len(operations) != 1 or wrong:
        raise ValueError(f"{sql!r} is not what it is taken for")
