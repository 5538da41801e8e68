"""The kinds of work a backfill does on the rows of its table, and how each is written down."""

from __future__ import annotations

from dataclasses import asdict, fields
from enum import StrEnum
from typing import Any, assert_never

from evolve.backfill.transform import Mode, Transform
from evolve.sql.names import QualifiedName
from evolve.values import dataclass


class Conflict(StrEnum):
    """What becomes of a row that is in the other table already."""

    ERROR = "error"  # the batch fails
    NOTHING = "nothing"  # what is there stays


@dataclass(frozen=True, slots=True)
class Update:
    """`UPDATE table SET …`: each assignment is an expression over the row's own columns."""


UPDATE = Update()


@dataclass(frozen=True, slots=True)
class JoinedUpdate:
    """`UPDATE table SET … FROM source alias WHERE on`: expressions may read the joined row as well.

    No row may have two partners: which one it would take is left to chance. A row without one is left as it is.

    Args:
        alias: the source's name in `on` and in the expressions.
        on: SQL predicate.
        lock: hold the joined rows FOR SHARE until COMMIT. Without, a row of the source that changes during a batch may
            leave its old value behind: READ COMMITTED reads a locked target again, the source it does not.
    """

    source: QualifiedName
    alias: str
    on: str
    lock: bool = False


@dataclass(frozen=True, slots=True)
class InsertSelect:
    """`INSERT INTO into (columns) SELECT expressions FROM table`, exactly once for each row of the table.

    Args:
        lock: hold the rows that are copied FOR SHARE until COMMIT. Without, a row that is deleted or changed while its
            batch runs is copied as it was, and a trigger that keeps both tables equal has found nothing to change.
    """

    into: QualifiedName
    on_conflict: Conflict = Conflict.ERROR
    lock: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    """`DELETE FROM table`; what references a row goes or holds it as its foreign key says."""


Work = Update | JoinedUpdate | InsertSelect | Delete | Transform


def work_json(work: Work) -> dict[str, object]:
    """Its kind, and the fields that differ from their defaults."""
    stored = asdict(work)
    given = {each.name: stored[each.name] for each in fields(work) if stored[each.name] != each.default}
    return {"kind": _kind(work), **given}


def _kind(work: Work) -> str:
    match work:
        case Update():
            return "update"
        case JoinedUpdate():
            return "join"
        case InsertSelect():
            return "insert"
        case Delete():
            return "delete"
        case Transform():
            return "transform"
        case _:
            assert_never(work)


def work_of(stored: dict[str, Any]) -> Work:
    """Read back what `work_json` wrote."""
    parts = {name: part for name, part in stored.items() if name != "kind"}
    match stored["kind"]:
        case "update":
            return UPDATE
        case "join":
            return JoinedUpdate(**{**parts, "source": QualifiedName(**parts["source"])})
        case "insert":
            conflict = Conflict(parts.get("on_conflict", Conflict.ERROR))
            return InsertSelect(**{**parts, "into": QualifiedName(**parts["into"]), "on_conflict": conflict})
        case "delete":
            return Delete()
        case "transform":
            mode = Mode(parts.get("mode", Mode.GUARDED))
            lists = {"reads": tuple(parts["reads"]), "writes": tuple(parts["writes"])}
            return Transform(**{**parts, **lists, "mode": mode})
        case kind:
            raise ValueError(f"no kind of work: {kind}")
