"""The swap of a table for its partitioned twin, and the swap back: one short transaction each."""

from __future__ import annotations

from evolve.partition import sync
from evolve.partition.inventory import Inventory, Publication, Sequence, Trigger, View
from evolve.partition.naming import Names
from evolve.partition.steps import Statements
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote
from evolve.sql.statements import Statement

CATALOG = "a change of the catalog only, under the lock that is held already"
MARGIN = 1000  # values of a sequence left out, for those that sessions have drawn and not used yet


def swap(names: Names, inventory: Inventory, renamed: tuple[str, ...], *, strays: bool) -> Statements:
    """The shadow takes the table's name and everything that hangs on it; the old table is kept current in reverse.

    Args:
        renamed: indexes that exist on both tables, under the name they have on the old one.
        strays: the shadow has a partition for rows that fit no other.
    """
    drop = Statement(f"DROP TABLE {names.strays.full}", None, "empty, and only the sync trigger knew it")
    return Statements(
        name="swap",
        title=f"{names.shadow.plain} becomes {names.table.plain}, kept in step with {names.retired.plain}",
        why="milliseconds of catalog changes; waits at most the lock timeout, then lets the application pass",
        first=(*lock_others(inventory), lock(names.table)),
        unchanged="all",
        empty=(names.strays.full,) if strays else (),
        statements=(
            *((drop,) if strays else ()),
            *sync.drop_triggers(names.table),
            *drop_inbound(inventory),
            *_disable_triggers(names.table, inventory),
            *_stop_row_security(names.table, inventory),
            *exchange(names, inventory, renamed),
            *add_inbound(inventory),
            *publish(inventory, added=names.table, dropped=names.retired),
            *sync.reverse(names, inventory),
        ),
        state="swapped",
    )


def exchange(names: Names, inventory: Inventory, renamed: tuple[str, ...]) -> tuple[Statement, ...]:
    """The shadow gets the table's name, and whatever had to wait for that."""
    return (
        *_sequences_forward(names, inventory),
        *rename(names.table, names.retired.name),
        *_rename_parts(names, inventory, renamed, away="old"),
        *rename(names.shadow, names.table.name),
        *_rename_parts(names, inventory, renamed, away="new"),
        *carried(names.table, inventory),
    )


def swap_back(names: Names, inventory: Inventory, renamed: tuple[str, ...]) -> Statements:
    """The old table, current to the last row, takes its name again."""
    return Statements(
        name="swap back",
        title=f"{names.retired.plain} becomes {names.table.plain} again",
        why="milliseconds of catalog changes; the reverse trigger has kept every row",
        first=(*lock_others(inventory), lock(names.table), lock(names.retired)),
        unchanged="columns",
        statements=(
            *sync.drop_triggers(names.table),
            *drop_inbound(inventory),
            *_sequences_back(names, inventory),
            *rename(names.table, names.shadow.name),
            *_rename_parts(names, inventory, renamed, away="new", back=True),
            *rename(names.retired, names.table.name),
            *_rename_parts(names, inventory, renamed, away="old", back=True),
            *_enable_triggers(names.table, inventory.triggers),
            *_row_security(names.table, inventory),
            *_views(inventory),
            *add_inbound(inventory),
            *publish(inventory, added=names.table, dropped=names.shadow),
        ),
        state="swapped back",
    )


def carried(table: QualifiedName, inventory: Inventory, *, policies: bool = True) -> tuple[Statement, ...]:
    """What is made anew on the table that now has the name: triggers, policies, row security, views."""
    return (
        *(
            Statement(trigger.definition, LockMode.SHARE_ROW_EXCLUSIVE, CATALOG)
            for trigger in inventory.triggers
        ),
        *_enable_triggers(table, tuple(t for t in inventory.triggers if t.enabled != "O")),
        *(
            Statement(
                f"CREATE POLICY {quote(policy.name)} ON {table.full} {policy.definition}",
                LockMode.ACCESS_EXCLUSIVE,
                CATALOG,
            )
            for policy in inventory.policies
            if policies
        ),
        *_row_security(table, inventory),
        *_views(inventory),
    )


def comments(table: QualifiedName, inventory: Inventory, renamed: tuple[str, ...]) -> tuple[Statement, ...]:
    """Comments on what was made anew; those on columns and checks went along with LIKE."""
    schema = quote(table.schema)
    wanted: list[tuple[str, str | None]] = []
    for key in inventory.keys:
        if key.name in renamed:
            wanted.append((f"CONSTRAINT {quote(key.name)} ON {table.full}", key.comment))
    for foreign in inventory.foreign_keys:
        wanted.append((f"CONSTRAINT {quote(foreign.name)} ON {table.full}", foreign.comment))
    for index in inventory.indexes:
        if index.name in renamed:
            wanted.append((f"INDEX {schema}.{quote(index.name)}", index.comment))
    for trigger in inventory.triggers:
        wanted.append((f"TRIGGER {quote(trigger.name)} ON {table.full}", trigger.comment))
    for policy in inventory.policies:
        wanted.append((f"POLICY {quote(policy.name)} ON {table.full}", policy.comment))
    return tuple(
        Statement(f"COMMENT ON {what} IS {literal(text)}", LockMode.SHARE_UPDATE_EXCLUSIVE, "blocks nothing")
        for what, text in wanted
        if text is not None
    )


def lock(table: QualifiedName) -> Statement:
    return Statement(
        f"LOCK TABLE {table.full} IN ACCESS EXCLUSIVE MODE",
        LockMode.ACCESS_EXCLUSIVE,
        "all that follows are catalog changes of milliseconds",
    )


def lock_others(inventory: Inventory) -> tuple[Statement, ...]:
    """Whatever is changed along with the table, before it: in the order in which clients lock them."""
    # A reader of a view locks the view, then the table: so do we, or the two would wait for each other. LOCK TABLE
    # would lock every other table that the view reads; an ALTER that changes nothing locks the view alone.
    views = tuple(
        Statement(
            f"ALTER VIEW {view.name} OWNER TO {view.owner}",
            LockMode.ACCESS_EXCLUSIVE,
            "changes nothing; takes the view's lock before the table's, as readers do",
        )
        for view in inventory.views
    )
    # Who writes a row that points here locks its table, then this one.
    sources = dict.fromkeys(foreign.source for foreign in inventory.inbound)
    return (
        *views,
        *(
            Statement(
                f"LOCK TABLE {source} IN ACCESS EXCLUSIVE MODE",
                LockMode.ACCESS_EXCLUSIVE,
                "its foreign keys are pointed at the other table, which reads no row",
            )
            for source in sources
        ),
    )


def drop_inbound(inventory: Inventory) -> tuple[Statement, ...]:
    return tuple(
        Statement(
            f"ALTER TABLE {foreign.source} DROP CONSTRAINT {quote(foreign.name)}",
            LockMode.ACCESS_EXCLUSIVE,
            CATALOG,
        )
        for foreign in inventory.inbound
    )


def add_inbound(inventory: Inventory) -> tuple[Statement, ...]:
    """At the table that now has the name. Every write from here on obeys it; rows that are there did so until now."""
    return tuple(
        Statement(
            f"ALTER TABLE {foreign.source} ADD CONSTRAINT {quote(foreign.name)} {foreign.definition}"
            # One that is not enforced is not valid by nature, and the server takes no second word for it.
            + ("" if foreign.definition.endswith("NOT ENFORCED") else " NOT VALID"),
            LockMode.SHARE_ROW_EXCLUSIVE,
            "NOT VALID reads no row",
        )
        for foreign in inventory.inbound
    )


def inbound(inventory: Inventory) -> tuple[Statements, ...]:
    """What follows the swap: the foreign keys that point here are proven anew, and get their comments."""
    steps = [
        Statements(
            name="inbound keys",
            title=f"{foreign.name} of {foreign.source}, validated",
            why="reads that table and blocks neither reads nor writes",
            statements=(
                Statement(
                    f"ALTER TABLE {foreign.source} VALIDATE CONSTRAINT {quote(foreign.name)}",
                    LockMode.SHARE_UPDATE_EXCLUSIVE,
                    "blocks neither reads nor writes",
                ),
            ),
        )
        for foreign in inventory.inbound
        if foreign.validated
    ]
    texts = tuple(
        Statement(
            f"COMMENT ON CONSTRAINT {quote(foreign.name)} ON {foreign.source} IS {literal(foreign.comment)}",
            LockMode.SHARE_UPDATE_EXCLUSIVE,
            "blocks nothing",
        )
        for foreign in inventory.inbound
        if foreign.comment is not None
    )
    if texts:
        steps.append(Statements("comments", "on foreign keys that point here", "blocks nothing", texts))
    return tuple(steps)


def rename(table: QualifiedName, to: str) -> tuple[Statement, ...]:
    sql = f"ALTER TABLE {table.full} RENAME TO {quote(to)}"
    return (Statement(sql, LockMode.ACCESS_EXCLUSIVE, CATALOG),)


def _rename_parts(
    names: Names, inventory: Inventory, indexes: tuple[str, ...], *, away: str, back: bool = False
) -> tuple[Statement, ...]:
    """Indexes (and the constraints they back) and identity sequences, whose names are unique in the schema."""
    aside = names.old if away == "old" else names.fresh
    identities = [sequence.name for sequence in inventory.sequences if sequence.identity]
    parts = [("INDEX", name) for name in indexes] + [("SEQUENCE", name) for name in identities]
    statements = []
    for kind, name in parts:
        # Away from the name: old → aside at the swap, the shadow's → aside at the way back.
        leaves = (away == "old") != back
        source, target = (name, aside(name)) if leaves else (aside(name), name)
        sql = f"ALTER {kind} {names.in_schema(source)} RENAME TO {quote(target)}"
        statements.append(Statement(sql, LockMode.ACCESS_EXCLUSIVE, CATALOG))
    return tuple(statements)


def _sequences_forward(names: Names, inventory: Inventory) -> tuple[Statement, ...]:
    statements = []
    for sequence in inventory.sequences:
        if sequence.identity:
            fresh = names.in_schema(names.fresh(sequence.name))
            statements.append(advance(fresh, names.in_schema(sequence.name), sequence))
        else:
            statements.append(owned_by(sequence, names.shadow))
    return tuple(statements)


def _sequences_back(names: Names, inventory: Inventory) -> tuple[Statement, ...]:
    statements = []
    for sequence in inventory.sequences:
        if sequence.identity:
            old = names.in_schema(names.old(sequence.name))
            statements.append(advance(old, names.in_schema(sequence.name), sequence))
        else:
            statements.append(owned_by(sequence, names.retired))
    return tuple(statements)


def advance(sequence: str, beyond: str, of: Sequence) -> Statement:
    """Set `sequence` beyond where `beyond` stands; both are names as SQL. At most to its own end."""
    step = of.increment * max(MARGIN, of.cache)
    end = "least(s.seqmax" if of.increment > 0 else "greatest(s.seqmin"
    return Statement(
        f"SELECT setval({literal(sequence)}::regclass, {end}, b.last_value + {step})) "  # noqa: S608 - quoted names
        f"FROM {beyond} AS b, pg_sequence AS s WHERE s.seqrelid = {literal(sequence)}::regclass",
        None,
        "no row lock; the margin covers numbers that sessions have drawn already",
    )


def owned_by(sequence: Sequence, table: QualifiedName) -> Statement:
    return Statement(
        f"ALTER SEQUENCE {quote(sequence.schema)}.{quote(sequence.name)} "
        f"OWNED BY {table.full}.{quote(sequence.column)}",
        LockMode.SHARE_ROW_EXCLUSIVE,
        CATALOG,
    )


def _disable_triggers(table: QualifiedName, inventory: Inventory) -> tuple[Statement, ...]:
    """The reverse sync writes what the triggers have done already; they must not do it twice."""
    if not inventory.triggers:
        return ()
    sql = f"ALTER TABLE {table.full} DISABLE TRIGGER USER"
    return (Statement(sql, LockMode.SHARE_ROW_EXCLUSIVE, CATALOG),)


def _enable_triggers(table: QualifiedName, triggers: tuple[Trigger, ...]) -> tuple[Statement, ...]:
    words = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
    return tuple(
        Statement(
            f"ALTER TABLE {table.full} {words[trigger.enabled]} TRIGGER {quote(trigger.name)}",
            LockMode.SHARE_ROW_EXCLUSIVE,
            CATALOG,
        )
        for trigger in triggers
    )


def _row_security(table: QualifiedName, inventory: Inventory) -> tuple[Statement, ...]:
    clauses = []
    if inventory.row_security:
        clauses.append("ENABLE ROW LEVEL SECURITY")
    if inventory.forced_row_security:
        clauses.append("FORCE ROW LEVEL SECURITY")
    if not clauses:
        return ()
    return (Statement(f"ALTER TABLE {table.full} {', '.join(clauses)}", LockMode.ACCESS_EXCLUSIVE, CATALOG),)


def _stop_row_security(table: QualifiedName, inventory: Inventory) -> tuple[Statement, ...]:
    """The reverse sync must be able to write every row, also where policies bind the owner."""
    if not inventory.forced_row_security:
        return ()
    sql = f"ALTER TABLE {table.full} NO FORCE ROW LEVEL SECURITY"
    return (Statement(sql, LockMode.ACCESS_EXCLUSIVE, CATALOG),)


def _views(inventory: Inventory) -> tuple[Statement, ...]:
    """Views are bound to a table, not to a name; their text, read anew, finds the one that has the name now."""
    return tuple(_view(view) for view in inventory.views)


def _view(view: View) -> Statement:
    options = f" WITH ({', '.join(view.options)})" if view.options else ""
    query = view.definition.strip().rstrip(";")
    sql = f"CREATE OR REPLACE VIEW {view.name}{options} AS {query}"
    return Statement(sql, LockMode.ACCESS_EXCLUSIVE, CATALOG)


def publish(inventory: Inventory, *, added: QualifiedName, dropped: QualifiedName) -> tuple[Statement, ...]:
    statements = []
    for publication in inventory.publications:
        sql = f"ALTER PUBLICATION {publication.name} DROP TABLE {dropped.full}"
        statements.append(Statement(sql, LockMode.SHARE_UPDATE_EXCLUSIVE, CATALOG))
        sql = f"ALTER PUBLICATION {publication.name} ADD TABLE {added.full}{_published(publication)}"
        statements.append(Statement(sql, LockMode.SHARE_UPDATE_EXCLUSIVE, CATALOG))
    return tuple(statements)


def _published(publication: Publication) -> str:
    columns = ""
    if publication.columns is not None:
        columns = f" ({', '.join(quote(name) for name in publication.columns)})"
    condition = f" WHERE ({publication.condition})" if publication.condition is not None else ""
    return columns + condition
