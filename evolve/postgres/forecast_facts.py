"""What of a table and its server decides how dear a backfill is: sizes, triggers, standbys, publications, vacuum."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evolve.backfill.forecast import VACUUM_READ, Caution, Setting
from evolve.backfill.spec import Spec
from evolve.backfill.works import Delete, InsertSelect
from evolve.counted import counted
from evolve.postgres.backfill_target import CORRELATED, Target
from evolve.postgres.connect import Connection
from evolve.postgres.tidying import tidiness
from evolve.sql.names import QualifiedName

OLD = (
    60.0  # seconds after which a transaction keeps dead rows from being pruned for longer than a batch lasts
)
WIDE = 1_000  # bytes of a value on average, from which it is likely to be kept outside of its row

# AccessShare on catalogs only.
_SERVER = """
SELECT name, CASE WHEN vartype = 'bool' THEN (setting::boolean)::integer::text ELSE setting END
  FROM pg_settings
 WHERE name IN ('checkpoint_timeout', 'max_wal_size', 'autovacuum_vacuum_cost_delay', 'vacuum_cost_delay',
                'autovacuum_vacuum_cost_limit', 'vacuum_cost_limit', 'vacuum_cost_page_dirty', 'block_size',
                'synchronous_standby_names')
"""
# AccessShare on catalogs only. Of a trigger's type, 1 stands for rows, 4, 8 and 16 for INSERT, DELETE and UPDATE.
_TRIGGERS = """
SELECT tgname::text, tgtype::integer & 1 = 1 FROM pg_trigger
 WHERE tgrelid = %(table)s::oid AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype::integer & %(event)s > 0
   AND (tgattr = '' OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = tgrelid AND attnum = ANY (tgattr)
                                AND attname = ANY (%(columns)s)))
 ORDER BY 1
"""
# AccessShare on catalogs only.
_INDEXED = """
SELECT DISTINCT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
 WHERE x.indrelid IN (SELECT %(table)s::oid UNION ALL SELECT relid FROM pg_partition_tree(%(table)s::oid))
   AND i.relkind = 'i'
   AND EXISTS (SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
                  AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid
                  AND a.attname = ANY (%(columns)s))
 ORDER BY 1
"""
# AccessShare on catalogs only.
_TABLE = """
SELECT coalesce((SELECT option_value::integer FROM pg_options_to_table(c.reloptions)
                  WHERE option_name = 'fillfactor'), 100),
       c.relrowsecurity,
       coalesce((SELECT string_agg(DISTINCT pubname::text, ', ') FROM pg_publication_tables AS p
                  WHERE (p.schemaname, p.tablename) IN (
                        SELECT n.nspname, l.relname FROM pg_class l JOIN pg_namespace n ON n.oid = l.relnamespace
                         WHERE l.oid = c.oid OR l.oid IN (SELECT relid FROM pg_partition_tree(c.oid)))), ''),
       coalesce((SELECT string_agg(DISTINCT attname::text, ', ') FROM pg_stats AS s
                  WHERE s.schemaname = %(schema)s AND s.tablename = %(name)s AND s.avg_width >= %(wide)s), ''),
       coalesce((SELECT sum(avg_width) FROM pg_stats AS s WHERE s.schemaname = %(schema)s AND s.tablename = %(name)s
                    AND s.attname = ANY (%(columns)s) AND s.null_frac < 1), 0)::float8,
       (SELECT max(abs(correlation)) FROM pg_stats AS s WHERE s.schemaname = %(schema)s AND s.tablename = %(name)s
           AND s.attname = %(key)s)::float8
  FROM pg_class c WHERE c.oid = %(table)s::oid
"""
# No lock: reads what the server knows of its sessions. A role without pg_monitor sees none but its own.
_OLDEST = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
   AND backend_type <> 'autovacuum worker'
"""
# No lock: reads what the server knows of its standbys and slots.
_STANDBYS = """
SELECT count(*), count(*) FILTER (WHERE replay_lsn IS NULL), count(*) FILTER (WHERE backend_xmin IS NOT NULL),
       coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::bigint,
       (SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL)
  FROM pg_stat_replication WHERE state = 'streaming'
"""


def read_setting(
    connection: Connection, spec: Spec, target: Target, trying: Target, *, journal: bool
) -> Setting:
    """
    Args:
        trying: where batches are tried: the table, or a leaf of it.
        journal: an undo journal is kept.
    """
    event = 16
    written = spec.table
    match spec.work:
        case InsertSelect(into=into):
            event, written = 4, into
        case Delete():
            event = 8
        case _:
            pass
    oid = table_oid(connection, written) or target.oid
    columns = [column for column, _ in spec.assignments] or list(spec.columns)
    tidy = tidiness(connection, written)
    server = {str(name): str(value) for name, value in connection.execute(_SERVER).fetchall()}
    row = connection.execute(
        _TABLE,
        {
            "table": oid,
            "schema": trying.table.schema if event != 4 else written.schema,
            "name": trying.table.name if event != 4 else written.name,
            "columns": columns,
            "key": target.key[0].name,
            "wide": WIDE,
        },
    ).fetchone()
    fillfactor, secured, publications, wide, width, correlation = row or (100, False, "", "", 0.0, None)
    # AccessShare on catalogs only: see above.
    standbys = connection.execute(_STANDBYS).fetchone() or (0, 0, 0, 0, 0)
    count, unseen, feedback, behind, slots = (int(str(value)) for value in standbys)
    oldest = connection.execute(_OLDEST).fetchone()
    age = float(str(oldest[0])) if oldest else 0.0
    held = age >= OLD or feedback > 0 or slots > 0
    triggers = connection.execute(_TRIGGERS, {"table": oid, "event": event, "columns": columns}).fetchall()
    indexed = (
        connection.execute(_INDEXED, {"table": oid, "columns": columns}).fetchall() if event == 16 else []
    )

    def cautions() -> Iterator[Caution]:
        if indexed:
            yield Caution(
                "indexed-column",
                f"what is written is indexed ({_names(indexed)}): each row gets a new entry in every index",
            )
        rows = [row for row in triggers if row[1]]
        if rows:
            yield Caution("row-trigger", f"fires for each row: {_names(rows)}")
        statements = [row for row in triggers if not row[1]]
        if statements:
            yield Caution("statement-trigger", f"fires for each batch: {_names(statements)}")
        if wide and event == 16:
            yield Caution(
                "toast",
                f"wide values ({wide}): one that is written anew leaves its old chunks to vacuum as well",
            )
        if fillfactor == 100 and event == 16 and (target.plain_sql or not target.sliced):
            yield Caution(
                "fillfactor",
                "pages are full (fillfactor 100) and windows are off: the table may double in size",
            )
        if target.leaves:
            yield Caution(
                "partitions",
                f"walked leaf by leaf, {counted(len(target.leaves), 'partition')}; those made later are not visited",
            )
        if secured:
            yield Caution(
                "row-security",
                "the table has row security; this role is not subject to it, and sees all rows",
            )
        if publications:
            yield Caution("publication", f"subscribers are sent every row that is written: {publications}")
        if feedback:
            yield Caution(
                "standby-feedback",
                "a standby sends hot_standby_feedback: its queries keep dead rows from being removed here",
            )
        if slots:
            yield Caution("slot", f"{counted(slots, 'replication slot')} keep dead rows from being removed")
        if age >= OLD:
            yield Caution(
                "old-snapshot",
                f"a transaction is {age:,.0f} s old: until it ends no dead row is removed, by nobody",
            )
        if server.get("synchronous_standby_names"):
            yield Caution("synchronous-standby", "each commit waits for a synchronous standby")
        if unseen:
            yield Caution("standby-unseen", "this role cannot see how far standbys are (GRANT pg_monitor)")

    return Setting(
        rows=target.rows_estimate,
        heap=sum(each.bytes for each in tidy),
        indexes=sum(size for each in tidy for size in each.indexes.values()),
        windows=event == 16 and target.sliced and not target.plain_sql and not held,
        pays=bool(trying.touched) and not held,
        in_order=correlation is None or float(str(correlation)) >= CORRELATED,
        adds_versions=event == 16,
        deletes=event == 8,
        undo_width=9.0 + float(str(width)) if journal else 0.0,
        checkpoint_seconds=_number(server, "checkpoint_timeout", 300.0),
        checkpoint_bytes=_number(server, "max_wal_size", 1024.0) * 1_048_576 / 2,
        vacuum_pages_per_second=_vacuum_pace(server),
        vacuumed_above=_above([each.vacuumed_above for each in tidy]),
        block=int(_number(server, "block_size", 8192.0)),
        standbys=None if unseen else count,
        behind=behind,
        cautions=tuple(cautions()),
    )


def table_oid(connection: Connection, table: QualifiedName) -> int | None:
    # AccessShare on catalogs only.
    row = connection.execute(
        "SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (table.schema, table.name),
    ).fetchone()
    return None if row is None else int(str(row[0]))


def _names(rows: list[tuple[object, ...]]) -> str:
    return ", ".join(str(row[0]) for row in rows)


def _number(server: dict[str, str], name: str, default: float) -> float:
    text = server.get(name, "")
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else default


def _vacuum_pace(server: dict[str, str]) -> float | None:
    """Pages per second that autovacuum may read and dirty; None where nothing holds it up."""
    delay = _number(server, "autovacuum_vacuum_cost_delay", 2.0)
    if delay < 0:
        delay = _number(server, "vacuum_cost_delay", 0.0)
    limit = _number(server, "autovacuum_vacuum_cost_limit", -1.0)
    if limit < 0:
        limit = _number(server, "vacuum_cost_limit", 200.0)
    cost = VACUUM_READ + _number(server, "vacuum_cost_page_dirty", 20.0)
    return None if delay == 0 else limit / cost / (delay / 1000)


def _above(thresholds: list[int | None]) -> int | None:
    """Of several leaves the least; None where autovacuum is off for one."""
    known = [each for each in thresholds if each is not None]
    return min(known) if known and len(known) == len(thresholds) else None
