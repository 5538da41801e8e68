"""The sync between two tables: keeps values equal in rows that a foreign key joins, while either is written.

How a recipe uses it:

1. Describe the two `End`s and join them in a `Link`; refuse what `Link` says it cannot do.
2. `arm(link, "target")`, then `arm(link, "source")`, each in a Part of its own: each locks its table for an
   instant, and together they would hold one lock while they wait for the other. `armed(link)` names the triggers
   for `TriggerArmed`.
3. Backfill with `touch(link)`, never with an UPDATE of the target (see there).
4. Count with `wrong(link)`; refuse to begin while `disagreeing(link)` finds rows, and to contract while
   `homeless(link)` does.
5. At contract `flip(link, "to source")`: no lock on a table, and from then on no two directions that could deadlock.
6. `disarm` both ends, the source first, then `drop_functions(link)`.
7. Print `notes(link)`.

The direction comes from the values, never from a setting of the client: a value that an UPDATE changed, or that an
INSERT gave (not null, and not the default), was written. What ends the echo is that equal values are not written again.

Each end has two triggers. BEFORE, an end *takes* from its partner what its writer did not give. AFTER, it *gives* what
was written, to rows that differ. Whoever changes a value holds the rows of both ends locked, so two writers cannot miss
each other. A third, deferred trigger *settles*: a row that was inserted, or moved to another key, looks at its partner
again at COMMIT, under a lock. Until then a writer of the partner could not see the new row, and the row not his value.

What the values cannot tell: on a target row that is not yet backfilled, a new writer that sets the column to NULL has
changed nothing, and the source's value comes back. So new readers wait for the backfill. And an INSERT that gives a
null, or the default, has given nothing where its partner has a value.

The functions are SECURITY DEFINER: a role that may write one table need not have rights on the other.
"""

# ruff: noqa: S608 - the names are quoted, and there is no user's text in it

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evolve.plan.sync import Side, differs, quote
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, shorten
from evolve.sql.names import quote as quote_for_sql
from evolve.sql.statements import Statement

Role = Literal["source", "target"]
Direction = Literal["both", "to target", "to source"]
Rows = Literal["found", "optional", "every"]

ON_PARENT = "ON DELETE CASCADE ON UPDATE CASCADE"  # the foreign key of target rows that the sync makes


@dataclass(frozen=True, slots=True)
class End:
    """One of the two tables.

    Args:
        key: the columns that join it to the other end, in the other end's order. Needs an index.
        row: its primary key.
        values: the columns kept equal, in the other end's order. Type and `exact` of a pair are the same; leave out a
            default that is volatile.
    """

    table: QualifiedName
    key: tuple[str, ...]
    row: tuple[str, ...]
    values: tuple[Side, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Two ends and what is kept of them.

    Its keys must be joined by a foreign key, from the child's to the parent's: without one, two transactions that
    insert both rows of a pair at the same moment could not see each other. Neither table may be partitioned, be
    inherited, or have forced row security.

    Args:
        source: where old code has the values; the truth until the backfill is done.
        target: where new code has them; its columns are nullable while the change is in flight.
        child: the end that has the foreign key.
        direction: "to target" is a copy of which the source is the owner: what anybody else writes to the copy is
            ignored, and where a key is null, or the source row goes, it is null. "to source" is the mirror image. In
            "both" the last writer wins, and a row without a partner keeps its value until it gets one: then a target
            row without a value of its own takes the source's, a source row takes the target's unless that is null.
        rows: what is done about target rows.
            "found": none is made and none is deleted; a value whose target row is missing stays with the source, and
            `homeless` counts it.
            "every": each source row has one. Made with the source row where that gives a value; else at COMMIT, so that
            new code can insert both in one transaction. It is deleted with the source row; deleting it alone, or giving
            it another key, is refused.
            "optional": as "every", but a source row with no value (null, or the default) gets none. Deleting it
            alone sets the source's values back to their defaults, or null.
            Both "every" and "optional" take the target for the child, its key for unique, and a foreign key ON DELETE
            CASCADE ON UPDATE CASCADE.
        function: the functions' names begin with this.
        trigger: the triggers' names begin with this; in the order of names they must come after the tables' own.
    """

    source: End
    target: End
    child: Role
    function: QualifiedName
    trigger: str
    direction: Direction = "both"
    rows: Rows = "found"

    def __post_init__(self) -> None:
        if self.rows != "found" and self.child != "target":
            raise ValueError("target rows that the sync makes are children of the source")

    def end(self, role: Role) -> End:
        return self.source if role == "source" else self.target

    def leads(self, role: Role) -> bool:
        """What is written to this end reaches the other."""
        return self.direction != ("to source" if role == "source" else "to target")

    def follows(self, role: Role) -> bool:
        return self.leads(_other(role))

    def settles(self, role: Role) -> bool:
        if role == self.child:
            return self.follows(role)
        return role == "source" and self.rows == "every" and self.direction == "both"


def _other(role: Role) -> Role:
    return "target" if role == "source" else "source"


# -- what a plan asks for -----------------------------------------------------------------------------------
def arm(link: Link, role: Role) -> tuple[Statement, ...]:
    """Make the functions and triggers of one end; `evolve.plan.sync.create_schema` comes first."""
    table = link.end(role).table
    statements: list[Statement] = []
    for action in _actions(link, role):
        statements += create_function(_name(link, role, action), _body(link, role, action), _schemas(link))
    for trigger, sql in _triggers(link, role):
        statements.append(Statement(sql, LockMode.SHARE_ROW_EXCLUSIVE, _WHY_TRIGGER))
        statements.append(enable_always(table, trigger))
    return tuple(statements)


def disarm(link: Link, role: Role) -> tuple[Statement, ...]:
    """Drop the triggers of one end, as `arm` made them."""
    return tuple(drop_trigger(link.end(role).table, trigger) for trigger, _ in _triggers(link, role))


def drop_functions(link: Link, *ends: Role) -> tuple[Statement, ...]:
    """Drop what those ends called, both unless told, once they are disarmed."""
    return tuple(
        Statement(f"DROP FUNCTION {_name(link, role, action)}()", None, "nothing calls it any more")
        for role in ends or _ROLES
        for action in _actions(link, role)
    )


def flip(link: Link, direction: Direction, *ends: Role) -> tuple[Statement, ...]:
    """Let a link that was armed in both directions go on in `direction`; and back, with "both"."""
    other = replace(link, direction=direction)
    return tuple(
        Statement(
            _function(_name(link, role, action), _body(other, role, action), _schemas(link)),
            None,
            "the triggers stay as they are, so no table is locked",
        )
        for role in ends or _ROLES
        for action in _actions(link, role)
    )


def armed(link: Link) -> tuple[tuple[QualifiedName, str], ...]:
    """(table, trigger) of every trigger, for gates."""
    return tuple((link.end(role).table, name) for role in _ROLES for name, _ in _triggers(link, role))


def unconditional(link: Link) -> Iterator[tuple[QualifiedName, str, int]]:
    """(table, trigger, its pg_trigger.tgtype) of those without a WHEN: what `TriggerArmed` can see."""
    fires: dict[Action, int] = {"takes": 23, "gives": 29, "settles": 5}
    for role in _ROLES:
        for action in _actions(link, role):
            yield link.end(role).table, shorten(link.trigger, action), fires[action]


@dataclass(frozen=True, slots=True)
class Touch:
    """Parts of a `Spec` on the source's table."""

    assignments: tuple[tuple[str, str], ...]
    where: str
    mismatch: str


def touch(link: Link) -> Touch:
    """The backfill: an UPDATE of source rows that changes nothing, so that their trigger brings the target along.

    It is not an UPDATE of the target that reads the source: that one, where it has to wait for a row, looks at the
    row's newest version but reads the source in the snapshot it began with, and puts an old value back. Here the
    source row is locked first, and the trigger reads both rows afterwards.

    A row that comes up to date while the batch waits for it is touched for nothing. The application's own triggers
    on the source (updated_at) fire as on any UPDATE.
    """
    column = link.source.values[0].column
    return Touch(((column, quote_for_sql(column)),), wrong(link), wrong(link))


def wrong(link: Link) -> str:
    """Predicate of a source row whose target row is missing or differs."""
    source = quote_for_sql(link.source.table.name)
    name = "partner" if link.source.table.name != "partner" else "other_end"
    joined = equal(qualified(name, link.target.key), qualified(source, link.source.key))
    different = _any(
        differs(f"{name}.{quote_for_sql(t.column)}", f"{source}.{quote_for_sql(s.column)}", exact=s.exact)
        for s, t in zip(link.source.values, link.target.values, strict=True)
    )
    other = f"FROM {link.target.table} AS {name} WHERE {joined}"
    # OFFSET 0 keeps the planner from a join that would read all of the other table for each batch.
    found = f"EXISTS (SELECT {other} AND ({different}) OFFSET 0)"
    missing = f"NOT EXISTS (SELECT {other} OFFSET 0)"
    known = " AND ".join(f"{column} IS NOT NULL" for column in qualified(source, link.source.key))
    match link.rows:
        case "found":
            return found
        case "every":
            return f"{known} AND ({found} OR {missing})"
        case "optional":
            given = _any(_given(f"{source}.{quote_for_sql(s.column)}", s) for s in link.source.values)
            return f"{known} AND ({found} OR ({given}) AND {missing})"


def homeless(link: Link) -> str:
    """Predicate of a source row that has a value and no target row to hold it: lost when the source column goes."""
    source = quote_for_sql(link.source.table.name)
    name = "partner" if link.source.table.name != "partner" else "other_end"
    joined = equal(qualified(name, link.target.key), qualified(source, link.source.key))
    given = _any(_given(f"{source}.{quote_for_sql(s.column)}", s) for s in link.source.values)
    return f"({given}) AND NOT EXISTS (SELECT FROM {link.target.table} AS {name} WHERE {joined})"


def disagreeing(link: Link) -> str | None:
    """Predicate of a source row that shares its target row with one of another value; None where none can.

    The sync would make them all equal, so a plan that moves the column must not begin while there are any.
    """
    if link.child != "source":
        return None
    source = quote_for_sql(link.source.table.name)
    name = "sibling" if link.source.table.name != "sibling" else "other_row"
    joined = equal(qualified(name, link.source.key), qualified(source, link.source.key))
    different = _any(
        differs(f"{name}.{quote_for_sql(s.column)}", f"{source}.{quote_for_sql(s.column)}", exact=s.exact)
        for s in link.source.values
    )
    return f"EXISTS (SELECT FROM {link.source.table} AS {name} WHERE {joined} AND ({different}))"


def notes(link: Link) -> tuple[str, ...]:
    """What the plan prints on locks and on what the triggers cannot see."""
    source, target = link.source.table.plain, link.target.table.plain
    parent = link.end(_other(link.child)).table.plain
    child = link.end(link.child).table.plain
    told = []
    if link.direction == "both":
        told.append(
            f"A write to one of {source} and {target} locks the joined row of the other too. Where two transactions "
            "write the same pair from opposite ends in the same instant, each holds what the other needs: PostgreSQL "
            "ends one with deadlock_detected (40P01) after deadlock_timeout, and it must be run again. New code is "
            f"free of that where it locks the row of {source} first (SELECT … FOR NO KEY UPDATE) and then writes "
            f"{target}; so is a deployment that stops the last writer of {source} before the first of {target} begins."
        )
        told.append(
            f"An INSERT into {child} waits for transactions that write its row of {parent}, and holds that row "
            "until its own COMMIT."
        )
    else:
        leader = source if link.leads("source") else target
        told.append(
            f"A write to {leader} locks the rows of the other table that it changes; nothing takes the two in the "
            "opposite order but transactions that write both tables themselves, and these may deadlock (40P01) "
            "where they write the follower first."
        )
    told.append(
        f"Transactions that write several rows of {source} or {target} may deadlock where they take them in different "
        "orders: run 40P01 again, or write rows in the order of their keys. One that moves a row of "
        f"{child} to another row of {parent} is free of that where it locks both rows of {parent} first."
    )
    told.append(
        f"Transactions in REPEATABLE READ that write {parent} do not see a row of {child} that was committed after "
        "they began; such pairs are counted, and touched by another run of the backfill."
    )
    told.append(f"TRUNCATE fires none of these triggers: truncate {source} and {target} together.")
    if link.rows != "found":
        told.append(
            f"New code inserts the row of {target} in the same transaction as that of {source}, or with ON CONFLICT: "
            "once committed, the row may be there already."
        )
    return tuple(told)


# -- triggers -----------------------------------------------------------------------------------------------
_ROLES: tuple[Role, Role] = ("source", "target")
Action = Literal["takes", "gives", "settles"]

_WHY_TRIGGER = (
    "it takes an instant, and from its commit on no write escapes it; its name puts it after the table's own"
)


def _actions(link: Link, role: Role) -> Iterator[Action]:
    if link.follows(role):
        yield "takes"
    if link.leads(role) or (role == "target" and link.rows != "found"):
        yield "gives"
    if link.settles(role):
        yield "settles"


def _name(link: Link, role: Role, action: Action) -> QualifiedName:
    return QualifiedName(shorten(link.function.name, role, action), link.function.schema)


def _triggers(link: Link, role: Role) -> Iterator[tuple[str, str]]:
    """(name, CREATE TRIGGER) of one end."""
    end = link.end(role)
    for action in _actions(link, role):
        run = f"FOR EACH ROW EXECUTE FUNCTION {_name(link, role, action)}()"
        name = shorten(link.trigger, action)
        match action:
            case "takes":
                yield (
                    name,
                    f"CREATE TRIGGER {quote_for_sql(name)}\n    BEFORE INSERT OR UPDATE ON {end.table}\n    {run}",
                )
            case "gives":
                yield (
                    name,
                    f"CREATE TRIGGER {quote_for_sql(name)}\n    AFTER INSERT OR UPDATE OR DELETE ON {end.table}\n"
                    f"    {run}",
                )
            case "settles":
                late = "DEFERRABLE INITIALLY DEFERRED"
                yield (
                    name,
                    f"CREATE CONSTRAINT TRIGGER {quote_for_sql(name)}\n    AFTER INSERT ON {end.table} {late}\n"
                    f"    {run}",
                )
                if role == link.child:
                    moved_name = shorten(link.trigger, "settles_moved")
                    when = moved([quote_for_sql(column) for column in end.key])
                    yield (
                        moved_name,
                        f"CREATE CONSTRAINT TRIGGER {quote_for_sql(moved_name)}\n"
                        f"    AFTER UPDATE ON {end.table} {late}\n"
                        f"    FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {_name(link, role, action)}()",
                    )


def enable_always(table: QualifiedName, trigger: str) -> Statement:
    return Statement(
        f"ALTER TABLE {table}\n    ENABLE ALWAYS TRIGGER {quote_for_sql(trigger)}",
        LockMode.SHARE_ROW_EXCLUSIVE,
        "catalog only; bulk loaders and replication, which skip ordinary triggers, are kept in step too",
    )


def drop_trigger(table: QualifiedName, trigger: str) -> Statement:
    return Statement(
        f"DROP TRIGGER {quote_for_sql(trigger)} ON {table}",
        LockMode.ACCESS_EXCLUSIVE,
        "catalog only; it goes before the columns do, so that it never meets a row without them",
    )


def create_function(name: QualifiedName, body: str, schemas: Sequence[str]) -> tuple[Statement, Statement]:
    """A trigger function that runs with its owner's rights, and that nobody else may hang on a table of his own."""
    return (
        Statement(_function(name, body, schemas), None, "a new function touches no table"),
        Statement(
            f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC",
            None,
            "it runs with its owner's rights, so nobody else may make it a trigger of another table",
            allow=("revoke",),
        ),
    )


def _function(name: QualifiedName, body: str, schemas: Sequence[str]) -> str:
    tag, number = "$evolve$", 0
    while tag in body:
        number += 1
        tag = f"$evolve{number}$"
    path = list(dict.fromkeys(["pg_catalog", *map(quote_for_sql, schemas), "public", "pg_temp"]))
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger\n"
        f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = {', '.join(path)} AS {tag}\n{body}{tag}"
    )


def _schemas(link: Link) -> tuple[str, ...]:
    return (link.source.table.schema, link.target.table.schema)


# -- bodies -------------------------------------------------------------------------------------------------
def _body(link: Link, role: Role, action: Action) -> str:
    match action:
        case "takes":
            return _takes(link, role)
        case "gives":
            return _gives(link, role)
        case "settles":
            return _settles(link, role)


_NOTHING_BEFORE = "BEGIN\n    RETURN NEW;\nEND\n"
_NOTHING_AFTER = "BEGIN\n    RETURN NULL;\nEND\n"


def _takes(link: Link, role: Role) -> str:
    if not link.follows(role):
        return _NOTHING_BEFORE
    return _takes_both_ways(link, role) if link.leads(role) else _follows_only(link, role)


def _takes_both_ways(link: Link, role: Role) -> str:
    own, other = link.end(role), link.end(_other(role))
    child = role == link.child
    moves = child and link.rows == "found"
    lines = []
    for place, value in enumerate(own.values):
        new, old = f"NEW.{quote(value.column)}", f"OLD.{quote(value.column)}"
        silent = f"TG_OP = 'INSERT' AND NOT ({_given(new, value)})"
        if moves:
            silent = f"({silent} OR TG_OP = 'UPDATE' AND NOT ({differs(new, old, exact=value.exact)}))"
        if role == "source" or not child:
            # A null on the other side may be a row that is not filled yet.
            silent += f" AND partner.value_{place} IS NOT NULL"
        lines.append(
            f"        IF {silent} THEN\n            {new} := partner.value_{place};\n        END IF;"
        )
    when = "TG_OP = 'INSERT'" + (f" OR {moved([quote(c) for c in own.key])}" if moves else "")
    if child:
        why = "-- Nobody may change the other row between here and what is given to it afterwards."
        ending = "FOR NO KEY UPDATE"
    else:
        why = "-- Rows that point here may have come first, in a transaction that defers its foreign key."
        ending = f"ORDER BY {', '.join(f'o.{quote(v.column)} IS NULL' for v in other.values)} LIMIT 1"
    return f"""\
#variable_conflict use_column
DECLARE
    partner record;
BEGIN
    IF {when} THEN
        {why}
        SELECT {_as_values(other)} INTO partner
            FROM {other.table.full} AS o WHERE {equal(qualified("o", other.key), qualified("NEW", own.key))}
            {ending};
        IF NOT FOUND THEN
            RETURN NEW;
        END IF;
{chr(10).join(lines)}
    END IF;
    RETURN NEW;
END
"""


def _follows_only(link: Link, role: Role) -> str:
    own, other = link.end(role), link.end(_other(role))
    joined = equal(qualified("o", other.key), qualified("NEW", own.key))
    taken = "\n".join(
        f"        NEW.{quote(value.column)} := partner.value_{place};"
        for place, value in enumerate(own.values)
    )
    kept = []
    for value, theirs in zip(own.values, other.values, strict=True):
        new, old = f"NEW.{quote(value.column)}", f"OLD.{quote(value.column)}"
        same = f"NOT ({differs(f'o.{quote(theirs.column)}', new, exact=value.exact)})"
        kept.append(
            f"    IF {differs(new, old, exact=value.exact)}\n"
            f"        AND NOT EXISTS (SELECT FROM {other.table.full} AS o WHERE {joined} AND {same})\n"
            f"        AND NOT ({new} IS NULL AND NOT EXISTS (SELECT FROM {other.table.full} AS o WHERE {joined}))\n"
            f"    THEN\n        {new} := {old};\n    END IF;"
        )
    return f"""\
#variable_conflict use_column
DECLARE
    partner record;
BEGIN
    IF TG_OP = 'INSERT' OR {moved([quote(c) for c in own.key])} THEN
        SELECT {_as_values(other)} INTO partner
            FROM {other.table.full} AS o WHERE {joined} LIMIT 1;
{taken}
        RETURN NEW;
    END IF;
    -- Only the other end changes these values: what it did not write stays as it was.
{chr(10).join(kept)}
    RETURN NEW;
END
"""


def _gives(link: Link, role: Role) -> str:
    own, other = link.end(role), link.end(_other(role))
    both = link.direction == "both"
    leads = link.leads(role)
    if not leads and (role == "source" or link.rows == "found"):
        return _NOTHING_AFTER
    shifted = moved([quote(c) for c in own.key])
    declared = "".join(f"    push_{place} boolean := true;\n" for place in range(len(own.values)))
    lines: list[str] = []
    if link.rows == "found":
        if not both:
            lines.append(_cleared(own, other, shifted))
        lines.append("    IF TG_OP = 'DELETE' THEN\n        RETURN NULL;\n    END IF;")
    elif role == "source":
        lines.append(_deleted_with_source(own, other, shifted))
    else:
        lines.append(_deleted_alone(link, shifted))
        if not leads:
            lines.append("    RETURN NULL;")
            return f"#variable_conflict use_column\nBEGIN\n{chr(10).join(lines)}\nEND\n"
    lines.append(_pushed(link, role, shifted))
    if role == "source" and link.rows != "found":
        lines.append(_upsert(link))
    else:
        lines.append(_update(own, other))
    return f"""\
#variable_conflict use_column
<<sync>>
DECLARE
    written boolean;
{declared}BEGIN
{chr(10).join(lines)}
    RETURN NULL;
END
"""


def _cleared(own: End, other: End, shifted: str) -> str:
    nulls = ", ".join(f"{quote(value.column)} = NULL" for value in other.values)
    some = _any(f"o.{quote(value.column)} IS NOT NULL" for value in other.values)
    return f"""\
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND {shifted} THEN
        UPDATE {other.table.full} AS o SET {nulls}
            WHERE {equal(qualified("o", other.key), qualified("OLD", own.key))} AND ({some})
            AND NOT EXISTS (SELECT FROM {own.table.full} AS s
                WHERE {equal(qualified("s", own.key), qualified("OLD", own.key))});
    END IF;"""


def _deleted_with_source(own: End, other: End, shifted: str) -> str:
    # The foreign key's own cascade does both, except in sessions that skip it.
    gone = (
        f"NOT EXISTS (SELECT FROM {own.table.full} AS s\n"
        f"            WHERE {equal(qualified('s', own.key), qualified('OLD', own.key))})"
    )
    left = equal(qualified("o", other.key), qualified("OLD", own.key))
    keys = ", ".join(f"{quote(t)} = NEW.{quote(s)}" for s, t in zip(own.key, other.key, strict=True))
    return f"""\
    IF TG_OP = 'DELETE' THEN
        DELETE FROM {other.table.full} AS o WHERE {left}
            AND {gone};
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND {shifted} THEN
        UPDATE {other.table.full} AS o SET {keys} WHERE {left}
            AND {gone};
    END IF;"""


def _deleted_alone(link: Link, shifted: str) -> str:
    own, other = link.target, link.source
    left = equal(qualified("o", other.key), qualified("OLD", own.key))
    replaced = (
        f"NOT EXISTS (SELECT FROM {own.table.full} AS s "
        f"WHERE {equal(qualified('s', own.key), qualified('OLD', own.key))})"
    )
    if link.rows == "every" or link.direction == "to target":
        message = f"a row of {own.table.plain} goes only with its row of {other.table.plain}"
        return f"""\
    IF (TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND {shifted}) AND {replaced}
        AND EXISTS (SELECT FROM {other.table.full} AS o WHERE {left})
    THEN
        RAISE EXCEPTION USING ERRCODE = '23001',
            MESSAGE = {literal(message).strip()},
            HINT = 'while the change is in flight, delete the other row, or set the columns to null';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN NULL;
    END IF;"""
    absent = ", ".join(
        f"{quote(value.column)} = {'NULL' if value.default is None else f'({value.default})::{value.type}'}"
        for value in other.values
    )
    some = _any(_given(f"o.{quote(value.column)}", value) for value in other.values)
    return f"""\
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND {shifted} THEN
        UPDATE {other.table.full} AS o SET {absent} WHERE {left} AND ({some})
            AND {replaced};
        IF TG_OP = 'DELETE' THEN
            RETURN NULL;
        END IF;
    END IF;"""


def _pushed(link: Link, role: Role, shifted: str) -> str:
    own = link.end(role)
    changed = _any(
        differs(f"NEW.{quote(v.column)}", f"OLD.{quote(v.column)}", exact=v.exact) for v in own.values
    )
    current = f"EXISTS (SELECT FROM {own.table.full} AS s WHERE s.ctid = NEW.ctid)"
    lines = [f"    written := TG_OP = 'INSERT' OR {shifted} OR {changed};"]
    if role == "source" or link.direction != "both":
        # A later write of the same row, by a trigger, has an event of its own, and gives all there is.
        lines.insert(0, f"    IF NOT {current} THEN\n        RETURN NULL;\n    END IF;")
        if link.direction == "both":
            lines += [
                f"    push_{place} := TG_OP = 'UPDATE' OR {_given(f'NEW.{quote(v.column)}', v)};"
                for place, v in enumerate(own.values)
            ]
        return "\n".join(lines)
    keeps = f" OR {shifted}" if link.rows != "found" else ""
    for place, v in enumerate(own.values):
        new, old = f"NEW.{quote(v.column)}", f"OLD.{quote(v.column)}"
        still = (
            f"EXISTS (SELECT FROM {own.table.full} AS s\n"
            f"            WHERE {equal(qualified('s', own.key), qualified('NEW', own.key))}"
            f" AND NOT ({differs(f's.{quote(v.column)}', new, exact=v.exact)}))"
        )
        lines.append(
            f"    push_{place} := CASE TG_OP WHEN 'INSERT' THEN {_given(new, v)}\n"
            f"        ELSE {differs(new, old, exact=v.exact)}{keeps} END;\n"
            "    -- A later write of the same row, by a trigger, gave what it changed.\n"
            f"    IF push_{place} AND NOT {current} THEN\n"
            f"        push_{place} := {still};\n    END IF;"
        )
    anything = " OR ".join(f"push_{place}" for place in range(len(own.values)))
    lines.append(f"    IF NOT ({anything}) THEN\n        RETURN NULL;\n    END IF;")
    return "\n".join(lines)


def _update(own: End, other: End) -> str:
    joined = equal(qualified("o", other.key), qualified("NEW", own.key))
    pairs = list(enumerate(zip(own.values, other.values, strict=True)))
    settings = ",\n            ".join(
        f"{quote(t.column)} = CASE WHEN sync.push_{n} THEN NEW.{quote(s.column)} ELSE o.{quote(t.column)} END"
        for n, (s, t) in pairs
    )
    different = "\n            OR ".join(
        f"sync.push_{n} AND {differs(f'o.{quote(t.column)}', f'NEW.{quote(s.column)}', exact=s.exact)}"
        for n, (s, t) in pairs
    )
    return f"""\
    IF written THEN
        -- Also where the values look equal: somebody may be changing the other one.
        PERFORM FROM {other.table.full} AS o WHERE {joined}
            ORDER BY {", ".join(qualified("o", other.row))} FOR NO KEY UPDATE;
    END IF;
    UPDATE {other.table.full} AS o SET
            {settings}
        WHERE {joined} AND (
            {different});"""


def _upsert(link: Link) -> str:
    own, other = link.source, link.target
    joined = equal(qualified("o", other.key), qualified("NEW", own.key))
    pairs = list(zip(own.values, other.values, strict=True))
    same = _all(
        f"NOT ({differs(f'o.{quote(t.column)}', f'NEW.{quote(s.column)}', exact=s.exact)})" for s, t in pairs
    )
    anything = " OR ".join(f"push_{place}" for place in range(len(own.values)))
    nulls = " OR ".join(f"NEW.{quote(column)} IS NULL" for column in own.key)
    columns = ", ".join(quote(c) for c in (*other.key, *(t.column for t in other.values)))
    values = ", ".join(f"NEW.{quote(c)}" for c in (*own.key, *(s.column for s in own.values)))
    settings = ", ".join(f"{quote(t.column)} = EXCLUDED.{quote(t.column)}" for _, t in pairs)
    different = _any(
        differs(f"o.{quote(t.column)}", f"EXCLUDED.{quote(t.column)}", exact=s.exact) for s, t in pairs
    )
    insert = f"""\
    INSERT INTO {other.table.full} AS o ({columns})
        VALUES ({values})
        ON CONFLICT ({", ".join(map(quote, other.key))}) DO UPDATE SET {settings}
        WHERE {different};"""
    lines = [
        f"    IF {nulls} OR NOT ({anything})",
        f"        OR NOT written AND EXISTS (SELECT FROM {other.table.full} AS o WHERE {joined} AND {same})",
        "    THEN",
        "        RETURN NULL;",
        "    END IF;",
    ]
    if link.rows == "optional":
        given = _any(_given(f"NEW.{quote(s.column)}", s) for s in own.values)
        lines += [
            f"    IF NOT ({given}) THEN",
            _indented(_update(own, other)),
            "        RETURN NULL;",
            "    END IF;",
        ]
    return "\n".join([*lines, insert])


def _settles(link: Link, role: Role) -> str:
    if not link.settles(role):
        return _NOTHING_AFTER
    own, other = link.end(role), link.end(_other(role))
    pairs = list(enumerate(zip(own.values, other.values, strict=True)))
    if role != link.child:
        columns = ", ".join(quote(c) for c in (*other.key, *(t.column for t in other.values)))
        values = ", ".join(f"s.{quote(c)}" for c in (*own.key, *(s.column for s in own.values)))
        return f"""\
#variable_conflict use_column
BEGIN
    -- Its own transaction has inserted none, so it comes from here.
    INSERT INTO {other.table.full} AS o ({columns})
        SELECT {values} FROM {own.table.full} AS s
        WHERE {equal(qualified("s", own.key), qualified("NEW", own.key))}
        ON CONFLICT ({", ".join(map(quote, other.key))}) DO NOTHING;
    RETURN NULL;
END
"""
    row = equal(qualified("s", own.row), qualified("NEW", own.row))
    key = equal(qualified("s", own.key), qualified("NEW", own.key))
    lock = "FOR NO KEY UPDATE" if link.direction == "both" else "FOR SHARE"
    settings = ", ".join(f"{quote(s.column)} = partner.value_{n}" for n, (s, _) in pairs)
    different = _any(
        differs(f"s.{quote(s.column)}", f"partner.value_{n}", exact=s.exact) for n, (s, _) in pairs
    )
    filled = ""
    if role == "source" and link.direction == "both":
        theirs = equal(qualified("o", other.key), qualified("NEW", own.key))
        given = ", ".join(
            f"{quote(t.column)} = coalesce(o.{quote(t.column)}, s.{quote(s.column)})" for _, (s, t) in pairs
        )
        lacking = _any(
            f"o.{quote(t.column)} IS NULL AND s.{quote(s.column)} IS NOT NULL" for _, (s, t) in pairs
        )
        filled = f"""\
    UPDATE {other.table.full} AS o SET {given}
        FROM {own.table.full} AS s WHERE {theirs} AND {row} AND {key} AND ({lacking});
"""
    theirs = equal(qualified("o", other.key), qualified("NEW", own.key))
    return f"""\
#variable_conflict use_column
DECLARE
    partner record;
BEGIN
    -- From here to the end of COMMIT nobody changes the other row.
    PERFORM FROM {other.table.full} AS o WHERE {theirs} {lock};
{filled}    SELECT {_as_values(other)} INTO partner
        FROM {other.table.full} AS o WHERE {theirs};
    IF FOUND THEN
        UPDATE {own.table.full} AS s SET {settings}
            WHERE {row} AND {key} AND ({different});
    END IF;
    RETURN NULL;
END
"""


# -- text ---------------------------------------------------------------------------------------------------
def _given(value: str, side: Side) -> str:
    """True where an INSERT gave `value` instead of leaving it to the default."""
    if side.default is None or side.volatile:
        return f"{value} IS NOT NULL"
    return differs(value, f"({side.default})::{side.type}", exact=side.exact)


def _as_values(end: End) -> str:
    return ", ".join(f"o.{quote(value.column)} AS value_{place}" for place, value in enumerate(end.values))


def qualified(table: str, columns: Sequence[str]) -> list[str]:
    return [f"{table}.{quote(column)}" for column in columns]


def equal(left: Sequence[str], right: Sequence[str]) -> str:
    return " AND ".join(f"{a} = {b}" for a, b in zip(left, right, strict=True))


def moved(columns: Sequence[str]) -> str:
    return "(" + " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in columns) + ")"


def _any(conditions: Iterator[str] | Sequence[str]) -> str:
    return " OR ".join(conditions)


def _all(conditions: Iterator[str] | Sequence[str]) -> str:
    return " AND ".join(conditions)


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))
