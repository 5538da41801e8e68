"""Triggers that keep two tables equal while one is written: forward into the shadow, in reverse after the swap."""

from __future__ import annotations

from evolve.partition.inventory import Inventory
from evolve.partition.naming import SYNC_TRIGGER, TRUNCATE_TRIGGER, Names
from evolve.sql.locks import LockMode
from evolve.sql.names import QualifiedName, literal, quote
from evolve.sql.statements import Statement


def forward(names: Names, inventory: Inventory, key: tuple[str, ...]) -> tuple[Statement, ...]:
    """From the table into the shadow, whose primary key is `key`. A change of the key is a delete and an insert."""
    target, body = names.shadow.full, _onward(names.shadow.full, inventory, key)
    function = names.forward_function
    return (*_function(function, target, body, _path(inventory, key)), *triggers(names.table, function))


def between(names: Names, inventory: Inventory, key: tuple[str, ...]) -> tuple[Statement, ...]:
    """A function that brings writes to partitions of the table to the partitions of its shadow, whichever they are.

    TRUNCATE of one partition takes from the others what belongs to that partition only.
    """
    target = names.shadow.full
    emptied = f"DELETE FROM {target} WHERE "  # noqa: S608 - quoted names
    truncate = (
        f"EXECUTE {literal(emptied)} || coalesce(pg_catalog.pg_get_partition_constraintdef(TG_RELID), 'true')"
    )
    body = _onward(target, inventory, key)
    return _function(names.forward_function, target, body, _path(inventory, key), truncate)


def reverse(names: Names, inventory: Inventory) -> tuple[Statement, ...]:
    """From the partitioned table back into the old one, so that the swap can be undone without loss.

    An insert is not forgiven a conflict: until the old table goes, its unique keys hold for the new one too.
    A row that moves to another partition fires DELETE, then INSERT.
    """
    primary = inventory.primary_key
    key = primary.columns if primary else ()
    target = names.retired.full
    body = f"""
  IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND {_row("OLD", key)} IS DISTINCT FROM {_row("NEW", key)}) THEN
    DELETE FROM {target} WHERE {_same(key)};
  END IF;
  IF TG_OP = 'INSERT' THEN
    {_insert(target, inventory)};
  ELSIF TG_OP = 'UPDATE' THEN
    {_insert(target, inventory)}
    {_or_update(inventory, key)};
  END IF;"""  # noqa: S608 - quoted names
    function = names.reverse_function
    return (*_function(function, target, body, _path(inventory, key)), *triggers(names.table, function))


def drop_triggers(table: QualifiedName) -> tuple[Statement, ...]:
    return tuple(
        Statement(
            f"DROP TRIGGER IF EXISTS {quote(trigger)} ON {table.full}",
            LockMode.ACCESS_EXCLUSIVE,
            "a change of the catalog only",
        )
        for trigger in (SYNC_TRIGGER, TRUNCATE_TRIGGER)
    )


def drop_functions(names: Names) -> tuple[Statement, ...]:
    return tuple(
        Statement(f"DROP FUNCTION IF EXISTS {function}()", None, "nothing calls it any more")
        for function in (names.forward_function, names.reverse_function)
    )


def _onward(target: str, inventory: Inventory, key: tuple[str, ...]) -> str:
    """What brings one change to rows that are still being copied.

    A transaction that looks at the tables as of its beginning may not see the row it has to delete, because that was
    copied meanwhile. To insert it once more says so: that fails with serialization_failure, which the clients of such
    transactions are made for, and the whole is tried again.
    """
    return f"""
  IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND {_row("OLD", key)} IS DISTINCT FROM {_row("NEW", key)}) THEN
    DELETE FROM {target} WHERE {_same(key)};
    IF NOT FOUND AND pg_catalog.current_setting('transaction_isolation') NOT LIKE 'read %' THEN
      {_insert(target, inventory, "OLD")} ON CONFLICT DO NOTHING;
      DELETE FROM {target} WHERE {_same(key)};
    END IF;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    {_insert(target, inventory)}
    {_or_update(inventory, key)};
  END IF;"""  # noqa: S608 - quoted names


def _function(
    name: str, target: str, body: str, path: str, truncate: str | None = None
) -> tuple[Statement, ...]:
    return (
        Statement(
            # SECURITY DEFINER: whoever may write the table may not write its twin. The search path is pinned so that
            # nobody can slip a function or operator of his own under it. A key may be called "found" or "tg_op", as
            # variables of plpgsql are; in SQL the column is meant.
            f"""CREATE OR REPLACE FUNCTION {name}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} AS $evolve$
#variable_conflict use_column
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    {truncate or f"TRUNCATE {target}"};
    RETURN NULL;
  END IF;{body}
  RETURN NULL;
END $evolve$""",
            None,
            "a function that nothing calls yet",
        ),
        Statement(
            # Who may execute it may hang it on a table of his own and write through it.
            f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC",
            None,
            "a trigger that is there already asks nobody's leave",
        ),
    )


def triggers(table: QualifiedName, function: str) -> tuple[Statement, ...]:
    lock = LockMode.SHARE_ROW_EXCLUSIVE
    return (
        Statement(
            f"CREATE TRIGGER {quote(SYNC_TRIGGER)} AFTER INSERT OR UPDATE OR DELETE ON {table.full} "
            f"FOR EACH ROW EXECUTE FUNCTION {function}()",
            lock,
            "writers wait for milliseconds; every write from here on reaches both tables",
        ),
        Statement(
            f"CREATE TRIGGER {quote(TRUNCATE_TRIGGER)} AFTER TRUNCATE ON {table.full} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
            lock,
            "a change of the catalog only",
        ),
        # ALWAYS: also for what a logical replication subscription writes.
        Statement(
            f"ALTER TABLE {table.full} ENABLE ALWAYS TRIGGER {quote(SYNC_TRIGGER)}, "
            f"ENABLE ALWAYS TRIGGER {quote(TRUNCATE_TRIGGER)}",
            lock,
            "a change of the catalog only",
        ),
    )


def _insert(target: str, inventory: Inventory, record: str = "NEW") -> str:
    columns = ", ".join(quote(name) for name in inventory.stored_columns)
    values = ", ".join(f"{record}.{quote(name)}" for name in inventory.stored_columns)
    return f"INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({values})"  # noqa: S608 - quoted names


def _or_update(inventory: Inventory, key: tuple[str, ...]) -> str:
    # GENERATED ALWAYS AS IDENTITY cannot be assigned in an UPDATE; nor can the application change it.
    fixed = {*key, *(column.name for column in inventory.columns if column.identity == "always")}
    assigned = [quote(name) for name in inventory.stored_columns if name not in fixed]
    conflict = f"ON CONFLICT ({', '.join(quote(name) for name in key)})"
    if not assigned:
        return f"{conflict} DO NOTHING"
    return f"{conflict} DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in assigned)}"


def _row(record: str, key: tuple[str, ...]) -> str:
    return f"({', '.join(f'{record}.{quote(name)}' for name in key)})"


def _same(key: tuple[str, ...]) -> str:
    return " AND ".join(f"{quote(name)} = OLD.{quote(name)}" for name in key)


def _path(inventory: Inventory, key: tuple[str, ...]) -> str:
    """Types from elsewhere bring their operators along: citext's equality is not text's."""
    found = {column.type_schema for column in inventory.columns if column.name in key}
    schemas = sorted(found - {"pg_catalog"})
    return ", ".join(["pg_catalog", *(quote(schema) for schema in schemas), "pg_temp"])
