"""What a query asks of one table: the conditions on its columns, its joins, what it sets; told from the text alone.

A column without a qualifier belongs to the table that has one of that name: the columns of all tables are to be known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from evolve.sql.conditions import Column, Condition, conditions
from evolve.sql.names import QualifiedName
from evolve.sql.tree import Node, NotRead, column_of, kind_of, read_tree, strings_of, walk

Kind = Literal["select", "insert", "update", "delete", "merge"]
_KINDS: Mapping[str, Kind] = {
    "select_stmt": "select",
    "insert_stmt": "insert",
    "update_stmt": "update",
    "delete_stmt": "delete",
    "merge_stmt": "merge",
}
_SCOPES = ("SelectStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")


@dataclass(frozen=True, slots=True)
class Join:
    """`column` of the table is equated with another relation's.

    Args:
        table: None where that is a subquery, a function or another appearance of the same table.
    """

    column: str
    table: QualifiedName | None
    other: str | None


@dataclass(frozen=True, slots=True)
class Scope:
    """One place where the table is read: a SELECT, UPDATE or DELETE, or one nested in another.

    Args:
        conditions: on the table's own columns; a value that a join hands on is among them.
        tables: others that stand in the same FROM.
        order_by: its columns that the result is sorted by.
    """

    conditions: tuple[Condition, ...]
    joins: tuple[Join, ...]
    tables: tuple[QualifiedName, ...]
    order_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueryUse:
    """
    Args:
        kind: what the statement does as a whole.
        writes: the table is what it inserts into, updates or deletes from.
        scopes: where it reads the table; none for INSERT … VALUES.
        sets: columns that an UPDATE of the table, or the one of its ON CONFLICT, assigns.
    """

    kind: Kind
    writes: bool
    scopes: tuple[Scope, ...]
    sets: frozenset[str]


def statement_kind(sql: str) -> Kind | None:
    """What one statement does with rows; None for any other, for several, and for what is not SQL."""
    try:
        statements = read_tree(sql).stmts
    except NotRead:
        return None
    return _KINDS.get(kind_of(statements[0].stmt)) if len(statements) == 1 else None


def query_use(
    sql: str, table: QualifiedName, columns: Mapping[QualifiedName, frozenset[str]]
) -> QueryUse | None:
    """How `sql`, a single statement, uses `table`; None where it does not, or cannot be read.

    Args:
        columns: of all tables that are known, this one among them.
    """
    kind = statement_kind(sql)
    if kind is None:
        return None
    root = read_tree(sql).stmts[0].stmt
    parts = list(walk(root))
    named = frozenset(part.ctename for part in parts if type(part).__name__ == "CommonTableExpr")
    scopes, sets, writes = [], set[str](), False
    for part in parts:
        name = type(part).__name__
        if name in _SCOPES:
            sources = dict(_sources(part, name, named))
            scope = _scope(part, name, table, sources, columns)
            if scope is not None:
                scopes.append(scope)
        if name in ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt") and _is(
            part.relation, table, named
        ):
            writes = True
            if name == "UpdateStmt":
                sets.update(node.res_target.name for node in part.target_list)
            elif name == "InsertStmt" and part.HasField("on_conflict_clause"):
                sets.update(node.res_target.name for node in part.on_conflict_clause.target_list)
            elif name == "MergeStmt":
                sets.update(_merged(part))
    return QueryUse(kind, writes, tuple(scopes), frozenset(sets)) if scopes or writes else None


def _merged(statement: Node) -> Iterator[str]:
    for node in statement.merge_when_clauses:
        clause = node.merge_when_clause
        if not clause.values:
            yield from (target.res_target.name for target in clause.target_list)


def _is(range_var: Node, table: QualifiedName, named: frozenset[str]) -> bool:
    if range_var.relname != table.name or range_var.schemaname not in ("", table.schema):
        return False
    return bool(range_var.schemaname) or range_var.relname not in named


# -- one place --------------------------------------------------------------------------------------------------------
def _scope(
    part: Node,
    kind: str,
    table: QualifiedName,
    sources: Mapping[str, QualifiedName | None],
    columns: Mapping[QualifiedName, frozenset[str]],
) -> Scope | None:
    aliases = [alias for alias, source in sources.items() if source == table]
    if not aliases:
        return None

    def resolve(ref: Node) -> Column | None:
        column = column_of(ref)
        if column is None:
            return None
        qualifier = strings_of(ref.fields)[:-1]
        if qualifier:
            return (qualifier[-1], column) if qualifier[-1] in sources else None
        owners = [
            alias
            for alias, source in sources.items()
            if source and column in columns.get(source, frozenset())
        ]
        if len(owners) == 1:
            return owners[0], column
        return (next(iter(sources)), column) if len(sources) == 1 else None

    found = [condition for node in _quals(part, kind) for condition in conditions(node, resolve)]
    found += _handed_on(found)
    own = [condition for condition in found if condition.column[0] in aliases]
    joins = [
        Join(
            condition.column[1],
            sources.get(condition.other[0]) if condition.other else None,
            condition.other[1] if condition.other else None,
        )
        for condition in own
        if condition.form == "join" and condition.detail in ("=", "IN")
    ]
    joins += _using(part, kind, table, sources, columns)
    ordered = (
        resolve(node.sort_by.node.column_ref)
        for node in (part.sort_clause if kind == "SelectStmt" else ())
        if kind_of(node.sort_by.node) == "column_ref"
    )
    return Scope(
        tuple(own),
        tuple(dict.fromkeys(joins)),
        tuple(dict.fromkeys(source for source in sources.values() if source is not None and source != table)),
        tuple(column for alias, column in filter(None, ordered) if alias in aliases),
    )


def _handed_on(found: list[Condition]) -> list[Condition]:
    """`a.x = b.y AND b.y = 1` asks `a.x = 1` as well, and the planner knows."""
    equal = {condition.column: condition for condition in found if condition.form == "equal"}
    return [
        Condition(
            condition.column,
            "equal",
            "=",
            condition.text,
            values=equal[condition.other].values,
            parameters=equal[condition.other].parameters,
            functions=equal[condition.other].functions,
            late=equal[condition.other].late,
        )
        for condition in found
        if condition.form == "join" and condition.detail == "=" and condition.other in equal
    ]


def _sources(part: Node, kind: str, named: frozenset[str]) -> Iterator[tuple[str, QualifiedName | None]]:
    """What stands in FROM and is written to, by the name that the statement knows it by; None for what is no table."""
    if kind in ("UpdateStmt", "DeleteStmt", "MergeStmt"):
        yield _source(part.relation, named)
    match kind:
        case "SelectStmt" | "UpdateStmt":
            nodes = part.from_clause
        case "DeleteStmt":
            nodes = part.using_clause
        case _:
            nodes = [part.source_relation]
    for item in _items(nodes):
        if type(item).__name__ == "RangeVar":
            yield _source(item, named)
        elif item.HasField("alias"):
            yield item.alias.aliasname, None


def _source(range_var: Node, named: frozenset[str]) -> tuple[str, QualifiedName | None]:
    alias = range_var.alias.aliasname if range_var.HasField("alias") else range_var.relname
    if not range_var.schemaname and range_var.relname in named:
        return alias, None
    return alias, QualifiedName(range_var.relname, range_var.schemaname or "public")


def _items(nodes: Node) -> Iterator[Node]:
    """What stands in FROM, however it is joined."""
    for node in nodes:
        match kind_of(node):
            case "join_expr":
                yield from _items([node.join_expr.larg, node.join_expr.rarg])
            case "range_var" | "range_subselect" | "range_function":
                yield getattr(node, kind_of(node))
            case _:
                pass


def _join_nodes(part: Node, kind: str) -> Iterator[Node]:
    pending = list(part.from_clause if kind in ("SelectStmt", "UpdateStmt") else ())
    pending += list(part.using_clause if kind == "DeleteStmt" else ())
    while pending:
        node = pending.pop()
        if kind_of(node) == "join_expr":
            yield node.join_expr
            pending += [node.join_expr.larg, node.join_expr.rarg]


def _quals(part: Node, kind: str) -> Iterator[Node]:
    if kind == "MergeStmt":
        yield part.join_condition
    elif part.HasField("where_clause"):
        yield part.where_clause
    for join in _join_nodes(part, kind):
        if join.HasField("quals"):
            yield join.quals


def _using(
    part: Node,
    kind: str,
    table: QualifiedName,
    sources: Mapping[str, QualifiedName | None],
    columns: Mapping[QualifiedName, frozenset[str]],
) -> Iterator[Join]:
    """Those of JOIN … USING (column)."""
    others = [source for source in sources.values() if source is not None and source != table]
    for join in _join_nodes(part, kind):
        for column in strings_of(join.using_clause):
            if column in columns.get(table, frozenset()):
                owner = next((o for o in others if column in columns.get(o, frozenset())), None)
                yield Join(column, owner, column)


def compared_parameters(sql: str) -> Iterator[tuple[int, str, str]]:
    """(number, column, operator) of each `$n` that a condition anywhere in `sql` compares with a plain column."""
    try:
        root = read_tree(sql)
    except NotRead:
        return
    for part in walk(root):
        kind = type(part).__name__
        if kind in _SCOPES:
            for node in _quals(part, kind):
                for condition in conditions(node, _anybodys):
                    if condition.form in ("equal", "range"):
                        operator = "=" if condition.form == "equal" else condition.detail
                        yield from (
                            (number, condition.column[1], operator) for number in condition.parameters
                        )


def _anybodys(ref: Node) -> Column | None:
    column = column_of(ref)
    return None if column is None else ("", column)
