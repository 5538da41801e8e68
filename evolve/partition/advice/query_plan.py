"""What a query plan, as EXPLAIN (VERBOSE, FORMAT JSON) gives it, says of the partitions that it scans."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from evolve.partition.advice.scheme import Scheme
from evolve.sql.conditions import Column, Condition, conditions
from evolve.sql.names import QualifiedName, quote
from evolve.sql.tree import Node, NotRead, column_of, read_tree, strings_of

Plan = Mapping[str, object]

_CONDITIONS = (
    *("Filter", "Index Cond", "Recheck Cond", "TID Cond"),
    *("Join Filter", "Hash Cond", "Merge Cond"),
)
_LATE = "evolve_late"  # stands for what a subquery answers
_SUBPLAN = re.compile(r"\((?:hashed )?(?:Sub|Init)Plan \d+\)(?:\.col\d+)?")
_OWN = ""  # the alias under which all partitions go


@dataclass(frozen=True, slots=True)
class Scans:
    """
    Args:
        leaves: partitions that are scanned, each once, in the order of the plan.
        removed: partitions that the values of parameters or of stable functions removed when the query began.
        conditions: on columns of the partitions, whichever node of the plan holds them.
    """

    leaves: tuple[QualifiedName, ...]
    removed: int
    conditions: tuple[Condition, ...]


def scans(plan: Plan, scheme: Scheme) -> Scans:
    """What `plan` scans of the partitions of `scheme`."""
    leaves = scheme.leaves
    nodes = list(_nodes(plan))
    found = {
        relation: None for node in nodes if (relation := _scanned(node)) in leaves and relation is not None
    }
    aliases = {str(node["Alias"]) for node in nodes if _scanned(node) in leaves and "Alias" in node}
    # Above the scans a column goes by the table's own alias.
    aliases |= {re.sub(r"_\d+\Z", "", alias) for alias in aliases}
    varchars = [name for name, type_ in scheme.types.items() if type_ == "character varying"]
    results = {name for node in nodes for name in re.findall(r"\$\d+", str(node.get("Subplan Name", "")))}
    told: dict[tuple[Column, str, str], Condition] = {}
    for text in dict.fromkeys(_texts(plan, leaves)):
        for condition in _read(_without_casts(text, varchars), aliases, results):
            told.setdefault((condition.column, condition.form, condition.detail), condition)
    return Scans(
        tuple(found),
        sum(cast("int", node.get("Subplans Removed", 0)) for node in nodes),
        tuple(condition for condition in told.values() if condition.column[0] == _OWN),
    )


def _children(node: Plan) -> list[Plan]:
    return cast("list[Plan]", node.get("Plans", []))


def _nodes(plan: Plan) -> Iterator[Plan]:
    pending = [plan]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(_children(node)))


def _scanned(node: Plan) -> QualifiedName | None:
    if "Scan" not in str(node["Node Type"]) or "Relation Name" not in node:
        return None
    return QualifiedName(str(node["Relation Name"]), str(node.get("Schema", "public")))


def _texts(plan: Plan, leaves: frozenset[QualifiedName]) -> Iterator[str]:
    """The conditions of the plan; of partitions beside one another those of the first, since all have the same."""
    pending = [plan]
    while pending:
        node = pending.pop()
        yield from (str(node[name]) for name in _CONDITIONS if name in node)
        children = _children(node)
        if node["Node Type"] == "Bitmap Heap Scan":
            children = []  # its Recheck Cond says how theirs go together
        elif "Append" in str(node["Node Type"]):
            alike = {id(child) for child in children if _scanned(child) in leaves}
            first = next((id(child) for child in children if id(child) in alike), None)
            children = [child for child in children if id(child) not in alike or id(child) == first]
        pending.extend(reversed(children))


def _without_casts(text: str, varchars: Iterable[str]) -> str:
    """A varchar is compared as text, which prunes all the same."""
    for column in varchars:
        text = re.sub(rf'\(((?:[\w$]+\.|"[^"]+"\.)?{re.escape(quote(column))})\)::text', r"\1", text)
    return text


def _read(text: str, aliases: set[str], results: set[str]) -> Iterator[Condition]:
    """The conditions on all relations, with one alias for all partitions."""

    def resolve(ref: Node) -> Column | None:
        column = column_of(ref)
        if column is None:
            return None
        qualifier = strings_of(ref.fields)[:-1]
        if not qualifier:
            return None
        return (_OWN if qualifier[-1] in aliases else qualifier[-1]), column

    for name in results:
        text = re.sub(re.escape(name) + r"(?!\d)", f"{_LATE}()", text)
    own = "|".join(re.escape(quote(alias)) for alias in aliases if alias in text)
    try:
        root = read_tree(f"SELECT WHERE {_SUBPLAN.sub(f'{_LATE}()', text)}")
    except NotRead:
        return
    for condition in conditions(root.stmts[0].stmt.select_stmt.where_clause, resolve):
        functions = tuple(name for name in condition.functions if name != _LATE)
        late = condition.late or functions != condition.functions
        shown = re.sub(rf"(?<![\w.])(?:{own})\.", "", condition.text)
        yield replace(
            condition, text=shown.replace(f"{_LATE}()", "(SELECT …)"), late=late, functions=functions
        )
