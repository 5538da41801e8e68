"""Where two schemas differ, one sentence per difference: a replayed history against a live catalog.

Expressions are compared as `parse.canonical` spells them; names of NOT NULL constraints, which servers before 18 do
not have, are not compared. Of an implied table only what both sides know is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from evolve.sql.names import QualifiedName
from evolve.sql.operations import (
    Check,
    Constraint,
    Exclude,
    Expression,
    IndexDefinition,
    IndexKey,
    NotNull,
    PartitionBy,
)
from evolve.sql.parse import ExpressionNotRead, bound_values, canonical, expression
from evolve.sql.schema import Column, Domain, Index, Schema, Table

Value = TypeVar("Value")


def differences(expected: Schema, actual: Schema, *, ordered: bool = True) -> tuple[str, ...]:
    """What `actual` lacks, has more, or has otherwise than `expected`; empty where they are equal.

    Args:
        ordered: columns that stand in another order are a difference as well.
    """
    return tuple(_all(expected, actual, ordered=ordered))


def _all(expected: Schema, actual: Schema, *, ordered: bool) -> Iterator[str]:
    for namespace in sorted(expected.schemas ^ actual.schemas):
        yield f'schema "{namespace}" {"is missing" if namespace in expected.schemas else "is not expected"}'
    for name, table, other in _pairs("table", expected.tables, actual.tables):
        if isinstance(table, Table) and isinstance(other, Table):
            yield from _tables(name, table, other, ordered=ordered)
        else:
            yield str(table or other)
    implied = {name for name, table in expected.tables.items() if table.implied}
    yield from _values(
        "index",
        {n: _index(i) for n, i in expected.indexes.items() if i.definition.table not in implied},
        {n: _index(i) for n, i in actual.indexes.items() if i.definition.table not in implied},
    )
    yield from _values("enum", expected.enums, actual.enums)
    yield from _values(
        "domain",
        {n: _domain(d) for n, d in expected.domains.items()},
        {n: _domain(d) for n, d in actual.domains.items()},
    )
    known = {n: replace(v, reads=tuple(sorted(v.reads))) for n, v in expected.views.items()}
    found = {n: replace(v, reads=tuple(sorted(v.reads))) for n, v in actual.views.items()}
    for name, view in known.items():
        if view.columns is None and name in found:
            found[name] = replace(found[name], columns=None)
    yield from _values("view", known, found)
    yield from _values("sequence", expected.sequences, actual.sequences)


def _pairs(
    kind: str, expected: Mapping[QualifiedName, Table], actual: Mapping[QualifiedName, Table]
) -> Iterator[tuple[QualifiedName, Table | str, Table | str]]:
    for name in sorted(expected.keys() | actual.keys()):
        one, other = expected.get(name), actual.get(name)
        if one is None:
            yield name, f"{kind} {name} is not expected", ""
        elif other is None:
            if not one.implied:
                yield name, f"{kind} {name} is missing", ""
        else:
            yield name, one, other


def _values(
    kind: str, expected: Mapping[QualifiedName, Value], actual: Mapping[QualifiedName, Value]
) -> Iterator[str]:
    for name in sorted(expected.keys() | actual.keys()):
        one, other = expected.get(name), actual.get(name)
        if one is None:
            yield f"{kind} {name} is not expected"
        elif other is None:
            yield f"{kind} {name} is missing"
        elif one != other:
            yield _otherwise(f"{kind} {name}", one, other)


def _tables(name: QualifiedName, expected: Table, actual: Table, *, ordered: bool) -> Iterator[str]:
    if expected.implied:
        for column in expected.columns:
            found = actual.column(column.name)
            if found is None:
                yield f"column {name}.{column.name} is missing"
            elif column.type and found.type != column.type:
                yield f"column {name}.{column.name} is {found.type}, expected {column.type}"
        return
    order = [column.name for column in expected.columns]
    other_order = [column.name for column in actual.columns]
    yield from (f"column {name}.{lacked} is missing" for lacked in order if lacked not in other_order)
    yield from (f"column {name}.{more} is not expected" for more in other_order if more not in order)
    both = [column for column in order if column in other_order]
    other_both = [column for column in other_order if column in order]
    if ordered and both != other_both:
        yield f"table {name} has the columns {', '.join(other_both)}, expected {', '.join(both)}"
    for column in expected.columns:
        found = actual.column(column.name)
        if found is None:
            continue
        one_column, other_column = _column(column), _column(found)
        if expected.partition_of is not None:
            # From PostgreSQL 17 a partition shows the identity of its parent, before that it has none.
            one_column, other_column = (
                replace(one_column, identity=None),
                replace(other_column, identity=None),
            )
        if one_column != other_column:
            yield _otherwise(f"column {name}.{column.name}", one_column, other_column)
    yield from _constraints(name, expected.constraints, actual.constraints)
    for what, one, other in (
        ("partition key", _partition_by(expected.partition_by), _partition_by(actual.partition_by)),
        ("parent", expected.partition_of, actual.partition_of),
        ("bound", _bound(expected.bound), _bound(actual.bound)),
        ("parents", sorted(expected.inherits), sorted(actual.inherits)),
        ("triggers", set(expected.trigger_list), set(actual.trigger_list)),
        ("unlogged", expected.unlogged, actual.unlogged),
    ):
        if one != other:
            yield f"table {name}: {what} is {other}, expected {one}"


def _constraints(
    name: QualifiedName, expected: Iterable[Constraint], actual: Iterable[Constraint]
) -> Iterator[str]:
    one = {c.name or "": _constraint(c) for c in expected if not _plain_not_null(c)}
    other = {c.name or "": _constraint(c) for c in actual if not _plain_not_null(c)}
    for key in sorted(one.keys() | other.keys()):
        if key not in other:
            yield f'constraint "{key}" of {name} is missing'
        elif key not in one:
            yield f'constraint "{key}" of {name} is not expected'
        elif one[key] != other[key]:
            yield _otherwise(f'constraint "{key}" of {name}', one[key], other[key])


def _otherwise(what: str, expected: object, actual: object) -> str:
    """In the fields that differ."""
    if type(expected) is not type(actual) or not is_dataclass(expected) or not is_dataclass(actual):
        return f"{what} is {_said(actual)}, expected {_said(expected)}"
    differing = [
        (field.name, getattr(expected, field.name), getattr(actual, field.name))
        for field in fields(expected)
        if getattr(expected, field.name) != getattr(actual, field.name)
    ]
    told = (f"{name.replace('_', ' ')} is {_said(b)}, expected {_said(a)}" for name, a, b in differing)
    return f"{what}: {'; '.join(told)}"


def _said(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case Expression(sql=sql):
            return sql
        case tuple() if value:
            return ", ".join(map(_said, value))
        case _:
            return str(value) or "nothing"


def _plain_not_null(constraint: Constraint) -> bool:
    return isinstance(constraint, NotNull) and not constraint.not_valid


# -- one spelling for both sides ----------------------------------------------------------------------------
def _text(text: Expression | None) -> Expression | None:
    return Expression(canonical(text.sql)) if text is not None else None


def _column(column: Column) -> Column:
    return replace(column, default=_text(column.default), generation=_text(column.generation))


def _constraint(constraint: Constraint) -> Constraint:
    match constraint:
        case Check(expression=text):
            return replace(constraint, expression=Expression(canonical(text.sql)))
        case Exclude(where=where, keys=keys):
            return replace(constraint, where=_text(where), keys=tuple(map(_key, keys)))
        case _:
            return constraint


def _key(key: IndexKey) -> IndexKey:
    return replace(key, expression=_text(key.expression), label=None)


def _index(index: Index) -> Index:
    definition: IndexDefinition = index.definition
    spelled = replace(definition, keys=tuple(map(_key, definition.keys)), where=_text(definition.where))
    return replace(index, definition=spelled)


def _domain(domain: Domain) -> Domain:
    checks = sorted((_constraint(c) for c in domain.checks), key=lambda c: c.name or "")
    return replace(
        domain, default=_text(domain.default), checks=tuple(c for c in checks if isinstance(c, Check))
    )


def _partition_by(by: PartitionBy | None) -> PartitionBy | None:
    if by is None:
        return None
    return replace(by, keys=tuple(key if key.isidentifier() else _canonical_key(key) for key in by.keys))


def _canonical_key(key: str) -> str:
    try:
        return canonical(expression(key).sql)
    except ExpressionNotRead:
        return key


def _bound(bound: str | None) -> object:
    if bound is None:
        return None
    values = bound_values(bound)
    if values is None:
        return bound.upper()
    kind, low, high = values
    return kind, tuple(map(_bound_value, low)), tuple(map(_bound_value, high))


def _bound_value(value: str) -> str:
    """The server quotes what was written as a number for a column of text, and drops quotes round a number."""
    spelled = canonical(value)
    return spelled.strip("'") if spelled.strip("'").lstrip("-").isdigit() else spelled
