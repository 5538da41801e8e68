"""Plans of queries on a partitioned table: each is prepared and explained in a read-only transaction, and never run.

A generic plan knows no parameter. EXPLAIN EXECUTE begins it with given ones, and tells how many partitions those leave
out; EXPLAIN (GENERIC_PLAN), of 16 and later, tells no more, and would fill pg_stat_statements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import psycopg

from evolve.partition.advice.query_plan import Plan
from evolve.partition.advice.scheme import Level, Method, Sample, Scheme, arguments
from evolve.postgres.connect import Connection
from evolve.postgres.failure import message
from evolve.postgres.partitions import NotPartitioned
from evolve.sql.names import QualifiedName
from evolve.sql.parse import bound_values
from evolve.sql.query_use import compared_parameters

LOCK_TIMEOUT = 1_000  # milliseconds

_NAME = "evolve_explained"
# Values that hashes spread; that these are few partitions' does no harm.
_SPREAD: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("smallint", "integer", "bigint", "numeric"), tuple(str(number) for number in range(1, 9))
    ),
    **dict.fromkeys(("text", "character varying"), tuple(f"'{number}'" for number in range(1, 9))),
    "uuid": tuple(f"'{number:08d}-0000-4000-8000-000000000000'" for number in range(1, 9)),
}
_METHODS: Mapping[str, Method] = {"r": "range", "l": "list", "h": "hash"}


class CannotPlan(Exception):
    """The server would not plan the query; the text says why."""


def read_scheme(connection: Connection, table: QualifiedName) -> Scheme:
    """
    Raises:
        NotPartitioned: it is an ordinary table, or none.
    """
    with connection.transaction():
        # No lock: bounds come out as values that mean the same in every session.
        connection.execute("SELECT set_config('DateStyle', 'ISO', true), set_config('TimeZone', 'UTC', true)")
        # ACCESS SHARE on catalogs only: pg_partition_tree(), and pg_get_expr() of a named table, would wait for whoever
        # locks a partition.
        rows = connection.execute(
            """
            WITH RECURSIVE tree (relid, level) AS (
                SELECT o.oid, 0 FROM pg_class AS o JOIN pg_namespace AS s ON s.oid = o.relnamespace
                 WHERE s.nspname = %s AND o.relname = %s AND o.relkind = 'p'
                UNION ALL
                SELECT i.inhrelid, t.level + 1 FROM tree AS t JOIN pg_inherits AS i ON i.inhparent = t.relid)
            SELECT c.oid::bigint, n.nspname, c.relname, i.inhparent::bigint, p.partstrat,
                   ARRAY(SELECT coalesce(a.attname::text, '')
                           FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (num, place)
                           LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.num AND k.num > 0
                          ORDER BY k.place),
                   pg_get_expr(c.relpartbound, 0)
              FROM tree AS t
              JOIN pg_class AS c ON c.oid = t.relid
              JOIN pg_namespace AS n ON n.oid = c.relnamespace
              LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND t.level > 0
              LEFT JOIN pg_partitioned_table AS p ON p.partrelid = c.oid
             ORDER BY t.level, c.relname
            """,
            (table.schema, table.name),
        ).fetchall()
    if not rows:
        raise NotPartitioned(table)
    levels: dict[int, Level] = {}
    leaves, defaults, samples = [], [], dict[str, list[Sample]]()
    for oid, schema, name, parent, strategy, columns, bound in rows:
        relation = QualifiedName(str(name), str(schema))
        if strategy is not None:
            names = tuple(cast("list[str]", columns))
            levels[cast("int", oid)] = Level(relation, _METHODS[str(strategy)], names)
        else:
            leaves.append(relation)
            if bound == "DEFAULT":
                defaults.append(relation)
        if bound is not None:
            for column, sample in _samples(levels[cast("int", parent)], str(bound)):
                samples.setdefault(column, []).append(sample)
    types = _types(connection, table)
    hashed = [column for level in levels.values() if level.method == "hash" for column in level.columns]
    return Scheme(
        tuple(levels.values()),
        frozenset(leaves),
        frozenset(defaults),
        {
            column: tuple(Sample(value) for value in _SPREAD.get(types.get(column, ""), ()))
            for column in hashed
        }
        | {column: tuple(_ordered(found)) for column, found in samples.items()},
        types,
        _volatile(connection),
        _pruning(connection),
    )


def _samples(level: Level, bound: str) -> list[tuple[str, Sample]]:
    values = bound_values(bound)
    if values is None:
        return []
    kind, low, high = values
    if kind == "list":
        return [(level.columns[0], Sample(value)) for value in low[:1] if _finite(value) and level.columns[0]]
    return [
        (column, Sample(lower, upper if _finite(upper) else None))
        for column, lower, upper in zip(level.columns, low, high, strict=True)
        if column and _finite(lower)
    ]


def _finite(value: str) -> bool:
    return value.upper() not in ("MINVALUE", "MAXVALUE", "NULL")


def _ordered(found: list[Sample]) -> list[Sample]:
    """As numbers where they are such; other values are printed in an order that is theirs."""
    unique = list(dict.fromkeys(found))

    def place(sample: Sample) -> tuple[float, str]:
        try:
            return float(sample.low.strip("'")), ""
        except ValueError:
            return 0.0, sample.low

    return sorted(unique, key=place)


def _types(connection: Connection, table: QualifiedName) -> dict[str, str]:
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, NULL)"
        " FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped",
        (table.schema, table.name),
    ).fetchall()
    return {str(name): str(type_) for name, type_ in rows}


def _volatile(connection: Connection) -> frozenset[str]:
    """Names of functions, none of which is anything but volatile."""
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        "SELECT proname FROM pg_proc GROUP BY proname HAVING bool_and(provolatile = 'v')"
    ).fetchall()
    return frozenset(str(name) for (name,) in rows)


def _pruning(connection: Connection) -> bool:
    row = connection.execute("SELECT current_setting('enable_partition_pruning') = 'on'").fetchone()
    return row is not None and row[0] is True


def explain(connection: Connection, query: str, scheme: Scheme, timeout: int) -> Plan:
    """The plan of one statement, begun with values for its parameters with which it scans little.

    The query is not executed. ACCESS SHARE on what it reads and ROW EXCLUSIVE on what it writes, for as long as it is
    planned; a lock is waited for a second at most.

    Args:
        connection: in autocommit mode.
        query: checked to be a single SELECT, INSERT, UPDATE, DELETE or MERGE.
        timeout: milliseconds that each of the statements may take.

    Raises:
        CannotPlan: the server refused, for what the query says, for want of a privilege, or of time.
    """
    was, connection.read_only = connection.read_only, True
    try:
        with connection.transaction(force_rollback=True):
            # Takes no lock.
            connection.execute(
                "SELECT set_config('statement_timeout', %s::text, true), set_config('lock_timeout', %s::text, true),"
                " set_config('plan_cache_mode', 'force_generic_plan', true),"
                # Keeps it out of pg_stat_statements, where the role may.
                " CASE current_setting('is_superuser') WHEN 'on'"
                " THEN set_config('pg_stat_statements.track', 'none', true) END",
                (timeout, LOCK_TIMEOUT),
            )
            return _explain(connection, query, scheme)
    except psycopg.Error as error:
        if connection.closed:
            raise
        raise CannotPlan(message(error)) from error
    finally:
        connection.read_only = was


def _explain(connection: Connection, query: str, scheme: Scheme) -> Plan:
    # As a message of the extended protocol, which binary asks for: the server refuses a second statement in it.
    connection.execute(f"PREPARE {_NAME} AS {query}".encode(), binary=True)
    try:
        # A savepoint, so that what was prepared can be let go: it outlives the transaction.
        with connection.transaction():
            return _plan(connection, query, scheme)
    finally:
        if not connection.closed:
            connection.execute(f"DEALLOCATE {_NAME}".encode())


def _plan(connection: Connection, query: str, scheme: Scheme) -> Plan:
    row = connection.execute(
        "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = %s", (_NAME,)
    ).fetchone()
    types = cast("list[str]", row[0]) if row is not None else []
    given = arguments(scheme, types, tuple(compared_parameters(query)))
    try:
        with connection.transaction():
            return _begun(connection, given)
    except psycopg.DataError:  # a value of the key's type that is none of the parameter's
        return _begun(connection, ("NULL",) * len(given))


def _begun(connection: Connection, given: tuple[str, ...]) -> Plan:
    values = f"({', '.join(given)})" if given else ""
    # Plans and does not run it.
    row = connection.execute(
        f"EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) EXECUTE {_NAME}{values}".encode()
    ).fetchone()
    told = row[0] if row is not None else []
    return cast("list[Mapping[str, Plan]]", told)[0]["Plan"]


def views_of(connection: Connection, table: QualifiedName) -> frozenset[str]:
    """Names of the views that read `table`, or another of them."""
    # ACCESS SHARE on catalogs only.
    rows = connection.execute(
        """
        WITH RECURSIVE reader AS (
            SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = %s AND c.relname = %s
            UNION
            SELECT r.ev_class FROM reader JOIN pg_depend AS d ON d.refobjid = reader.oid
                AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
              JOIN pg_rewrite AS r ON r.oid = d.objid)
        SELECT c.relname FROM reader JOIN pg_class AS c USING (oid) WHERE c.relkind = 'v'
        """,
        (table.schema, table.name),
    ).fetchall()
    return frozenset(str(name) for (name,) in rows)
