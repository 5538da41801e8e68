"""Indexes that cost more than they give, and some that are missing; told from catalogs, statistics and statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile

from evolve.lint.facts import Facts
from evolve.partition.advice.usage import Use
from evolve.partition.advice.workload import Column, Index, Table
from evolve.sql.column_use import table_use
from evolve.sql.conditions import Condition
from evolve.sql.names import QualifiedName, quote, shorten

LONG_ENOUGH = timedelta(days=7)  # of counting, before no use means unused
_FEW = 8  # values; an index over fewer finds too many rows for each
_MOST_INCLUDED = 3
_WIDE = 40  # bytes on average
_CONTAINS = ("@>", "<@", "&&", "?", "?|", "?&", "@?", "@@")


@dataclass(frozen=True, slots=True)
class Hint:
    """
    Args:
        code: for programs.
        index: the one that it is about; None where one is missing.
    """

    code: str
    index: str | None
    why: str
    fix: str


def index_hints(facts: Facts, table: Table, uses: Sequence[Use]) -> tuple[Hint, ...]:
    """What to drop first, then what to make."""
    return (
        *_duplicates(table),
        *_unused(facts, table),
        *_few_values(facts, table),
        *_equality_only(table, uses),
        *_foreign_keys(table),
        *_containment(table, uses),
        *_partial(table, uses),
        *_covering(table, uses),
    )


# -- too many ---------------------------------------------------------------------------------------------------------
def _duplicates(table: Table) -> Iterator[Hint]:
    for index in table.indexes:
        for other in table.indexes:
            if index is not other and _is_prefix(index, other):
                yield Hint(
                    "left-prefix",
                    index.name,
                    f"{other.name} ({', '.join(other.columns)}) begins with the same columns, and serves the same",
                    _drop(table, index),
                )
                break


def _is_prefix(index: Index, other: Index) -> bool:
    if index.unique or index.constraint or not other.valid or "" in index.columns:
        return False
    if (index.method, index.predicate) != (other.method, other.predicate) or index.method != "btree":
        return False
    length = len(index.columns)
    alike = other.columns[:length] == index.columns and other.kinds[:length] == index.kinds
    stored = {*other.columns, *other.included}
    if not alike or not {*index.included} <= stored:
        return False
    # Of two that are the same the one that is not needed by a constraint goes, else the later by name.
    same = len(other.columns) == length and {*other.included} == {*index.included}
    return not same or other.unique or other.constraint or index.name > other.name


def _unused(facts: Facts, table: Table) -> Iterator[Hint]:
    relation = facts.relations.get(table.name)
    since = facts.statistics_since
    if relation is None or relation.kind != "table" or since is None or facts.taken - since < LONG_ENOUGH:
        return
    days = (facts.taken - since).days
    scans = {index.name.name: index for index in relation.indexes}
    for index in table.indexes:
        found = scans.get(index.name)
        if found is not None and not found.scans and not index.unique and not index.constraint:
            yield Hint(
                "unused",
                index.name,
                f"no query has used it in {days} days on this server; each write keeps {found.bytes:,} bytes current",
                f"look at the standbys too, then {_drop(table, index)}",
            )


def _few_values(facts: Facts, table: Table) -> Iterator[Hint]:
    size = facts.size(table.name)
    rows = size.rows if size is not None else None
    for index in table.indexes:
        column = table.column(index.columns[0]) if len(index.columns) == 1 else None
        values = column.values(rows) if column is not None and rows else None
        if column is None or values is None or index.unique or index.predicate or index.method != "btree":
            continue
        if values <= _FEW and (rows or 0) >= 1_000:
            yield Hint(
                "few-values",
                index.name,
                f"{column.name} has {round(values)} values among {rows:,} rows: one value finds too many for an index",
                f"an index WHERE {quote(column.name)} is the rare value, or with a further column in front; then "
                f"{_drop(table, index)}",
            )


def _equality_only(table: Table, uses: Sequence[Use]) -> Iterator[Hint]:
    for index in table.indexes:
        column = table.column(index.columns[0]) if len(index.columns) == 1 else None
        if (
            column is None
            or index.unique
            or index.method != "btree"
            or index.predicate
            or column.width < _WIDE
        ):
            continue
        forms = [condition.form for use in uses for part in use.conditions(column.name) for condition in part]
        sorted_by = any(column.name in scope.order_by for use in uses for scope in use.use.scopes)
        if forms and not sorted_by and all(form in ("equal", "join") for form in forms):
            yield Hint(
                "hash",
                index.name,
                f"{column.name} is only compared by =, and its values take {column.width} bytes: a hash index "
                "holds four of each",
                f"{_create(table, [column.name], method='hash')}; then {_drop(table, index)}",
            )


# -- too few ----------------------------------------------------------------------------------------------------------
def _foreign_keys(table: Table) -> Iterator[Hint]:
    for reference in table.references:
        length = len(reference.columns)
        if not any(
            {*index.columns[:length]} == {*reference.columns}
            for index in table.indexes
            if index.valid and index.predicate is None and index.method == "btree"
        ):
            yield Hint(
                "foreign-key",
                None,
                f"no index begins with ({', '.join(reference.columns)}) of {reference.name}: each DELETE in "
                f"{reference.table}, and each change of its key, reads all of {table.name.plain}",
                _create(table, reference.columns),
            )


def _containment(table: Table, uses: Sequence[Use]) -> Iterator[Hint]:
    for column in table.columns:
        if not (column.type.endswith("[]") or column.type == "jsonb"):
            continue
        if any(column.name in index.columns and index.method == "gin" for index in table.indexes):
            continue
        asked = {
            condition.detail
            for use in uses
            for part in use.conditions(column.name)
            for condition in part
            if condition.form == "operator" and condition.detail in (*_CONTAINS, "= ANY")
        }
        if not asked:
            continue
        paths = column.type == "jsonb" and asked <= {"@>", "@?", "@@"}
        key = f"{quote(column.name)} jsonb_path_ops" if paths else quote(column.name)
        any_ = "; and write value = ANY (…) as … @> ARRAY[value]" if "= ANY" in asked else ""
        yield Hint(
            "gin",
            None,
            f"{column.name} ({column.type}) is asked what it holds, by {', '.join(sorted(asked))}; no b-tree tells",
            f"CREATE INDEX CONCURRENTLY ON {table.name} USING gin ({key}){any_}",
        )


def _partial(table: Table, uses: Sequence[Use]) -> Iterator[Hint]:
    found: dict[tuple[str, str], None] = {}
    for use in uses:
        for scope in use.use.scopes:
            for condition in scope.conditions:
                predicate = _rare(table, condition)
                if predicate is None:
                    continue
                keys = [c.column[1] for c in scope.conditions if c.form == "equal" and c is not condition]
                key = next(iter([*keys, *scope.order_by]), None)
                if key is not None:
                    found[key, predicate] = None
    for key, predicate in found:
        if any(index.predicate is not None and index.columns[:1] == (key,) for index in table.indexes):
            continue
        reading = sum(use.share for use in uses if _has(use, predicate, table))
        if reading >= 0.1:
            yield Hint(
                "partial",
                None,
                f"{round(100 * reading)} % of the read time asks for rows with {predicate}, which few have",
                f"{_create(table, [key])} WHERE {predicate}",
            )


def _has(use: Use, predicate: str, table: Table) -> float:
    return float(
        any(
            _rare(table, condition) == predicate for scope in use.use.scopes for condition in scope.conditions
        )
    )


def _rare(table: Table, condition: Condition) -> str | None:
    """The condition as a predicate, where statistics say that few rows fulfil it and its text names no value."""
    column = table.column(condition.column[1])
    if column is None or condition.form != "null":
        return _flag(column, condition)
    portion = column.null_share if condition.detail == "IS NULL" else 1 - column.null_share
    return f"{quote(column.name)} {condition.detail}" if portion <= 0.2 else None


def _flag(column: Column | None, condition: Condition) -> str | None:
    if column is None or column.type != "boolean" or condition.form != "equal" or "$" in condition.text:
        return None
    if (column.largest_share or 0.0) < 0.8:
        return None
    if condition.detail in ("NOT", "IS_FALSE"):
        return f"NOT {quote(column.name)}"
    return quote(column.name) if condition.detail in ("true", "IS_TRUE") else None


def _covering(table: Table, uses: Sequence[Use]) -> Iterator[Hint]:
    told: dict[str, Hint] = {}
    for use in uses:
        if use.use.kind != "select" or use.use.writes or len(use.use.scopes) != 1 or use.use.scopes[0].tables:
            continue
        read = table_use(use.text, table.name)
        if read is None or read.whole or use.share < 0.2:
            continue
        own = [name for name in sorted(read.columns) if table.column(name) is not None]
        equal = {c.column[1] for c in use.use.scopes[0].conditions if c.form in ("equal", "range")}
        served = [
            i
            for i in table.indexes
            if i.valid and i.method == "btree" and i.columns[0] in equal and not i.predicate
        ]
        if any({*own} <= {*index.columns, *index.included} for index in served):
            continue
        for index in served:
            key = list(takewhile(equal.__contains__, index.columns))
            more = [name for name in own if name not in key]
            wide = sum(column.width for name in more if (column := table.column(name)) is not None)
            one_row = index.unique and key == [*index.columns]
            if 0 < len(more) <= _MOST_INCLUDED and wide <= 64 and not one_row and index.name not in told:
                told[index.name] = Hint(
                    "covering",
                    index.name,
                    f"{round(100 * use.share)} % of the read time takes {', '.join(more)} besides: with them in the "
                    "index the table itself need not be read",
                    f"{_create(table, key)} INCLUDE ({', '.join(map(quote, more))})",
                )
                break
    yield from told.values()


# -- as SQL -----------------------------------------------------------------------------------------------------------
def _drop(table: Table, index: Index) -> str:
    return f"DROP INDEX CONCURRENTLY {QualifiedName(index.name, table.name.schema)}"


def _create(table: Table, columns: Sequence[str], method: str = "btree") -> str:
    name = quote(shorten("ix", table.name.name, *columns))
    using = "" if method == "btree" else f" USING {method}"
    return f"CREATE INDEX CONCURRENTLY {name} ON {table.name}{using} ({', '.join(map(quote, columns))})"
