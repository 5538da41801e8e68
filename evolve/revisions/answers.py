"""What a database without rows answers to a query that a revision sends while it is being read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evolve.revisions.sql_text import leading_word, outer_list, outer_words, words

SERVER_VERSION = 17  # the newest whose DDL every supported server understands the same way

_RETURNS_ROWS = frozenset({"SELECT", "VALUES", "SHOW", "TABLE", "EXPLAIN", "FETCH"})
_CATALOG = re.compile(
    r"\bpg_catalog\b|\binformation_schema\b|\bto_reg\w+|::\s*reg\w+|\bcurrent_(?:schema|schemas|database|setting|user)\b"
    r"|\bpg_(?:class|type|enum|constraint|attribute|attrdef|index|indexes|tables|views|matviews|namespace|extension"
    r"|available_extensions|proc|trigger|sequence|sequences|stat\w*|get_\w+|inherits|partitioned_table|roles|user"
    r"|database|settings|policies|policy|description|depend|am|opclass|collation|\w+_size|is_in_recovery)\b"
    r"|\bversion\s*\(\s*\)",
    re.IGNORECASE,
)
_AGGREGATE = re.compile(
    r"^(?:count|max|min|sum|avg|bool_and|bool_or|every|string_agg|array_agg|json\w*_agg)\s*\(", re.I
)
_SUPPLIED = re.compile(
    r"^(?:coalesce\s*\(\s*)?(?:count|max|min|sum|avg)\s*\(.*,\s*(-?\d+)\s*\)$", re.I | re.DOTALL
)
_ALIAS = re.compile(r"(?:\bas\s+)?(?P<quote>\"?)\b(?P<name>[a-z_]\w*)(?P=quote)\s*$", re.I)
_FUNCTION = re.compile(r"(?:not\s+)?(?:\w+\.)?(?P<name>\w+)\s*\(", re.I)
_CAST = re.compile(r"::\s*[\w\[\]\".]+\s*$")
_AFTER_SELECT_LIST = frozenset(
    {
        "FROM",
        "INTO",
        "WHERE",
        "GROUP",
        "HAVING",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "FOR",
        "UNION",
        "EXCEPT",
        "INTERSECT",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Names of the columns and the rows of a result; `columns` is None for a statement that returns none.

    Args:
        made_up: the rows stand for rows the statement itself would make, with keys nobody knows yet.
    """

    columns: tuple[str, ...] | None = None
    rows: tuple[tuple[object, ...], ...] = ()
    made_up: bool = False


NO_ROWS = Answer()


def reads_catalog(sql: str) -> bool:
    """Whether a query asks about the schema or the server rather than about rows of the application."""
    return words(sql, 1) == ["SHOW"] or _CATALOG.search(sql) is not None


def answer(sql: str, columns: tuple[str, ...] | None = None) -> Answer:
    """What an empty database would answer.

    Args:
        columns: names that the result must have, where the caller knows them.
    """
    leading = leading_word(sql)
    if leading is None:
        leading = next(iter(words(sql, 1)), "")
    if leading not in _RETURNS_ROWS and leading != "WITH" and "returning" not in sql.lower():
        return NO_ROWS  # most statements; an INSERT of a megabyte is not searched for words
    clauses = outer_words(sql)
    if "RETURNING" in clauses:
        names = columns or _names(outer_list(sql, "RETURNING", frozenset()))
        if leading == "INSERT" and "SELECT" not in clauses:
            return Answer(names, ((1,) * len(names),), made_up=True)
        return Answer(names)
    if leading == "SHOW":
        name = words(sql, 2)[-1].lower()
        return Answer(columns or (name,), ((_setting(name),),))
    if leading not in _RETURNS_ROWS and not (leading == "WITH" and "SELECT" in clauses):
        return Answer()
    if leading == "WITH" and any(word in clauses for word in ("INSERT", "UPDATE", "DELETE", "MERGE")):
        return Answer()
    items = outer_list(sql, "SELECT", _AFTER_SELECT_LIST)
    items = [item.removeprefix("DISTINCT").removeprefix("distinct").strip() for item in items]
    names = columns or _names(items)
    if "INTO" in clauses:
        return Answer()
    if (
        leading in ("SELECT", "WITH")
        and items
        and len(items) == len(names)
        and _gives_one_row(items, clauses)
    ):
        return Answer(names, (tuple(_single(item) for item in items),))
    return Answer(names)


def _gives_one_row(items: list[str], clauses: list[str]) -> bool:
    """An aggregate without GROUP BY, or a SELECT without FROM, gives one row whatever the tables hold."""
    if (
        any(word in clauses for word in ("GROUP", "HAVING", "WHERE", "LIMIT", "UNION"))
        and "FROM" not in clauses
    ):
        return False
    if "FROM" not in clauses:
        return True
    return "GROUP" not in clauses and all(_AGGREGATE.match(item) or _SUPPLIED.match(item) for item in items)


def _single(item: str) -> object:
    lowered = item.lower().lstrip("(").strip()
    supplied = _SUPPLIED.match(item)
    if lowered.startswith("coalesce") and supplied:
        return int(supplied[1])
    if lowered.startswith("count"):
        return 0
    if lowered.startswith(("exists", "not exists")):
        return lowered.startswith("not")
    if lowered.startswith("nextval"):
        return 1
    if lowered.startswith(("version", "pg_catalog.version")):
        return f"PostgreSQL {SERVER_VERSION}.0 (evolve reads this revision without a server)"
    if lowered.startswith("current_schema"):
        return "public"
    number = re.match(r"(-?\d+)(?:\s+as\s+\w+)?$", lowered)
    if number:
        return int(number[1])
    text = re.match(r"'((?:[^']|'')*)'(?:\s+as\s+\w+)?$", item, re.IGNORECASE)
    return text[1].replace("''", "'") if text else None


def _setting(name: str) -> str:
    return {"server_version": f"{SERVER_VERSION}.0", "server_version_num": f"{SERVER_VERSION}0000"}.get(
        name, ""
    )


def _names(items: list[str]) -> tuple[str, ...]:
    """As PostgreSQL names them: by alias, column or function, else "?column?"."""
    names: list[str] = []
    for item in items:
        plain = _CAST.sub("", item)
        found = _ALIAS.search(plain) or _FUNCTION.match(plain)
        names.append(found["name"] if found else "?column?")
    return tuple(names) or ("?column?",)
