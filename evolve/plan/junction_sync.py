"""The sync between a foreign key column and the junction table that takes its place.

While it is armed, the column is null where the child has no junction row, and holds the parent of one of them
otherwise. Old code that changes the column replaces that one row. New code that adds a second row does not change
the column: old readers go on seeing the first parent, and miss the others, so `more_than_one` must find nothing
before old readers are gone. Where the row that is shown is deleted, the least of the parents that are left is shown.

How a recipe uses it: `arm` on the junction, then on the child, each in a Part of its own; `touch` for the backfill;
`wrong` and `more_than_one` for gates on the child's table; at the end `disarm` on the child, then on the junction,
then `drop_functions`. The old column must be nullable: expand drops its NOT NULL, or new code could not delete a
child's last row. A child that is not backfilled has no row for its old parent: new readers wait for the backfill.
"""

# ruff: noqa: S608 - the names are quoted, and there is no user's text in it

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from evolve.plan.cross_sync import (
    Touch,
    create_function,
    drop_trigger,
    enable_always,
    equal,
    moved,
    qualified,
)
from evolve.plan.sync import quote
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, shorten
from evolve.sql.names import quote as quote_for_sql
from evolve.sql.statements import Statement

Place = Literal["child", "junction"]

_WHY_AGAIN = "the triggers stay as they are, and go on with the columns as they are called now"


@dataclass(frozen=True, slots=True)
class Junction:
    """A child's foreign key and the table of (child, parent) that takes its place.

    Args:
        key: the child's primary key.
        parent: the child's foreign key columns, in the order of `junction_parent`.
        junction: its primary key is `junction_child` + `junction_parent`, in that order; any other column has a
            default. `junction_child` has a foreign key ON DELETE CASCADE ON UPDATE CASCADE, not deferrable.
        function: the functions' names begin with this.
        trigger: the triggers' names begin with this.
    """

    child: QualifiedName
    key: tuple[str, ...]
    parent: tuple[str, ...]
    junction: QualifiedName
    junction_child: tuple[str, ...]
    junction_parent: tuple[str, ...]
    function: QualifiedName
    trigger: str


def arm(link: Junction, place: Place) -> tuple[Statement, ...]:
    """Make the functions and triggers of one table; `evolve.plan.sync.create_schema` comes first."""
    schemas = (link.child.schema, link.junction.schema)
    table = _table(link, place)
    statements: list[Statement] = []
    for action, when, body in _actions(link, place):
        name, trigger = _function(link, place, action), shorten(link.trigger, action)
        statements += create_function(name, body, schemas)
        statements.append(
            Statement(
                f"CREATE TRIGGER {quote_for_sql(trigger)}\n    {when} ON {table}\n"
                f"    FOR EACH ROW EXECUTE FUNCTION {name}()",
                LockMode.SHARE_ROW_EXCLUSIVE,
                "it takes an instant, and from its commit on no write escapes it",
            )
        )
        statements.append(enable_always(table, trigger))
    return tuple(statements)


def functions_again(link: Junction) -> tuple[Statement, ...]:
    """Put new bodies into the functions that `arm` made: for a link whose columns have got other names."""
    schemas = (link.child.schema, link.junction.schema)
    return tuple(
        replace(create_function(_function(link, place, action), body, schemas)[0], why=_WHY_AGAIN)
        for place in _PLACES
        for action, _, body in _actions(link, place)
    )


def disarm(link: Junction, place: Place) -> tuple[Statement, ...]:
    return tuple(
        drop_trigger(_table(link, place), shorten(link.trigger, action))
        for action, _, _ in _actions(link, place)
    )


def drop_functions(link: Junction) -> tuple[Statement, ...]:
    """Those of both tables, whichever are there: one may have gone back before the other's were made."""
    return tuple(
        Statement(
            f"DROP FUNCTION IF EXISTS {_function(link, place, action)}()", None, "nothing calls it any more"
        )
        for place in _PLACES
        for action, _, _ in _actions(link, place)
    )


def armed(link: Junction) -> tuple[tuple[QualifiedName, str], ...]:
    """(table, trigger) of every trigger, for gates."""
    return tuple(
        (_table(link, place), shorten(link.trigger, action))
        for place in _PLACES
        for action, _, _ in _actions(link, place)
    )


def touch(link: Junction) -> Touch:
    """The backfill: an UPDATE of children that changes nothing (see `evolve.plan.cross_sync.touch`)."""
    column = link.parent[0]
    return Touch(((column, quote_for_sql(column)),), wrong(link), wrong(link))


def wrong(link: Junction) -> str:
    """Predicate of a child whose column and junction rows do not fit."""
    child, row = str(link.child), _alias(link)
    mine = equal(qualified(row, link.junction_child), qualified(child, link.key))
    shown = equal(qualified(row, link.junction_parent), qualified(child, link.parent))
    known = " AND ".join(f"{column} IS NOT NULL" for column in qualified(child, link.parent))
    # OFFSET 0 keeps the planner from a join that would read all of the junction for each batch.
    return (
        f"CASE WHEN {known} THEN NOT EXISTS (SELECT FROM {link.junction} AS {row} WHERE {mine} AND {shown} OFFSET 0) "
        f"ELSE EXISTS (SELECT FROM {link.junction} AS {row} WHERE {mine} OFFSET 0) END"
    )


def more_than_one(link: Junction) -> str:
    """Predicate of a child of which old readers miss a parent."""
    child, row = str(link.child), _alias(link)
    mine = equal(qualified(row, link.junction_child), qualified(child, link.key))
    return f"EXISTS (SELECT FROM {link.junction} AS {row} WHERE {mine} OFFSET 1)"


def notes(link: Junction) -> tuple[str, ...]:
    """What the plan prints on locks and on what the triggers cannot see."""
    child, junction = link.child.plain, link.junction.plain
    return (
        f"An INSERT into {junction} locks the child's row in {child} first, as a write of the child does, so the two "
        f"do not deadlock. An UPDATE or DELETE of {junction} locks its own row before: where old code changes the same "
        "child in the same instant, PostgreSQL may end one with deadlock_detected (40P01), and it must be run again. "
        f"New code is free of that where it locks the row of {child} first (SELECT … FOR NO KEY UPDATE).",
        f"Transactions that write several rows of {child} or {junction} may deadlock where they take them in different "
        "orders: run 40P01 again, or write rows in the order of their keys.",
        f"TRUNCATE fires none of these triggers: truncate {child} and {junction} together.",
        "Old readers see one parent of a child that has several: new code adds second parents once they are gone.",
    )


# -- triggers -----------------------------------------------------------------------------------------------
_PLACES: tuple[Place, Place] = ("child", "junction")


def _table(link: Junction, place: Place) -> QualifiedName:
    return link.child if place == "child" else link.junction


def _function(link: Junction, place: Place, action: str) -> QualifiedName:
    return QualifiedName(shorten(link.function.name, place, action), link.function.schema)


def _alias(link: Junction) -> str:
    return "link" if link.child.name != "link" else "junction_row"


def _actions(link: Junction, place: Place) -> Iterator[tuple[str, str, str]]:
    """(what it does, when, the function's body)."""
    if place == "junction":
        yield "locks", "BEFORE INSERT", _locks(link)
        yield "gives", "AFTER INSERT OR UPDATE OR DELETE", _junction_gives(link)
    else:
        yield "gives", "AFTER INSERT OR UPDATE OR DELETE", _child_gives(link)


def _locks(link: Junction) -> str:
    mine = equal(qualified("c", link.key), qualified("NEW", link.junction_child))
    return f"""\
#variable_conflict use_column
BEGIN
    -- The child's row before the junction's, which is the order of whoever writes the child.
    PERFORM FROM {link.child.full} AS c WHERE {mine} FOR NO KEY UPDATE;
    RETURN NEW;
END
"""


def _least(link: Junction) -> str:
    """The column as it has to be: the least parent of the child `c`, null where there is none."""
    mine = equal(qualified("j", link.junction_child), qualified("c", link.key))
    parents = ", ".join(qualified("j", link.junction_parent))
    targets = ", ".join(map(quote, link.parent))
    return (
        f"({targets}) = (SELECT {parents} FROM {link.junction.full} AS j WHERE {mine}\n"
        f"            ORDER BY {parents} LIMIT 1)"
    )


def _unknown(link: Junction) -> str:
    return "(" + " OR ".join(f"{column} IS NULL" for column in qualified("c", link.parent)) + ")"


def _junction_gives(link: Junction) -> str:
    left = equal(qualified("c", link.key), qualified("OLD", link.junction_child))
    shown = equal(qualified("c", link.parent), qualified("OLD", link.junction_parent))
    both = (*link.junction_child, *link.junction_parent)
    again = equal(qualified("j", both), qualified("OLD", both))
    joined = equal(qualified("c", link.key), qualified("NEW", link.junction_child))
    given = ", ".join(
        f"{quote(column)} = {new}"
        for column, new in zip(link.parent, qualified("NEW", link.junction_parent), strict=True)
    )
    return f"""\
#variable_conflict use_column
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE {link.child.full} AS c SET {_least(link)}
            WHERE {left} AND {shown}
            AND NOT EXISTS (SELECT FROM {link.junction.full} AS j WHERE {again});
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE {link.child.full} AS c SET {given}
            WHERE {joined} AND {_unknown(link)}
            AND EXISTS (SELECT FROM {link.junction.full} AS j
                WHERE {equal(qualified("j", both), qualified("NEW", both))});
    END IF;
    RETURN NULL;
END
"""


def _child_gives(link: Junction) -> str:
    columns = ", ".join(map(quote, (*link.junction_child, *link.junction_parent)))
    values = ", ".join(qualified("c", (*link.key, *link.parent)))
    mine = equal(qualified("j", link.junction_child), qualified("c", link.key))
    this = equal(qualified("c", link.key), qualified("NEW", link.key))
    old_child = equal(qualified("j", link.junction_child), qualified("OLD", link.key))
    old_row = (
        f"{equal(qualified('j', link.junction_child), qualified('NEW', link.key))}"
        f" AND {equal(qualified('j', link.junction_parent), qualified('OLD', link.parent))}"
    )
    gone = (
        f"NOT EXISTS (SELECT FROM {link.child.full} AS c "
        f"WHERE {equal(qualified('c', link.key), qualified('OLD', link.key))})"
    )
    keys = ", ".join(
        f"{quote(column)} = {new}"
        for column, new in zip(link.junction_child, qualified("NEW", link.key), strict=True)
    )
    still = f"{this} AND {equal(qualified('c', link.parent), qualified('OLD', link.parent))}"
    shown = equal(qualified("j", link.junction_parent), qualified("c", link.parent))
    return f"""\
#variable_conflict use_column
BEGIN
    -- The foreign key's own cascade does both, except in sessions that skip it.
    IF TG_OP = 'DELETE' THEN
        DELETE FROM {link.junction.full} AS j WHERE {old_child}
            AND {gone};
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND {moved([quote(column) for column in link.key])} THEN
        UPDATE {link.junction.full} AS j SET {keys} WHERE {old_child}
            AND {gone};
    END IF;
    IF TG_OP = 'UPDATE' AND {moved([quote(column) for column in link.parent])} THEN
        DELETE FROM {link.junction.full} AS j WHERE {old_row}
            AND NOT EXISTS (SELECT FROM {link.child.full} AS c WHERE {still});
    END IF;
    INSERT INTO {link.junction.full} ({columns})
        SELECT {values} FROM {link.child.full} AS c
        WHERE {this} AND NOT {_unknown(link)}
        AND NOT EXISTS (SELECT FROM {link.junction.full} AS j WHERE {mine} AND {shown})
        ON CONFLICT DO NOTHING;
    UPDATE {link.child.full} AS c SET {_least(link)}
        WHERE {this} AND {_unknown(link)}
        AND EXISTS (SELECT FROM {link.junction.full} AS j WHERE {mine});
    RETURN NULL;
END
"""
