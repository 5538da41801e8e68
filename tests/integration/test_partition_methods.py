"""A server takes the bounds of every method, believes their CHECKs, and keeps each row where the method says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from evolve_partition_hash.partitioner import Hash
from evolve_partition_list.partitioner import List
from evolve_partition_range.partitioner import Range

from evolve.plugin_api import (
    Column,
    HashBound,
    Options,
    Partition,
    Partitioner,
    Problems,
    Profile,
    QualifiedName,
    TableInfo,
    bound_sql,
    check_sql,
    route_sql,
)
from evolve.postgres.connect import connect
from evolve.postgres.inventory import read_inventory, read_profile
from evolve.postgres.partitions import read_partitioned
from evolve.testing.partitioner_contract import PartitionerContract

pytestmark = pytest.mark.server

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Case:
    """A method, the type of its key, and an expression that makes the key of row g, 0 to 399."""

    method: type[Partitioner]
    options: Options
    type: str
    key: str

    def partitioner(self, collation: str = "") -> Partitioner:
        table = TableInfo(QualifiedName("Plain T"), (Column("K", self.type, collation=collation),), ("K",))
        made = self.method.parse({"key": "K", **self.options}, table)
        assert not isinstance(made, Problems), made
        return made


AT = "(timestamptz '2026-10-24 12:00+00' + g * interval '37 minutes')"
MILLISECONDS = f"(extract(epoch FROM {AT}) * 1000)::bigint"
UUID7 = f"(lpad(to_hex({MILLISECONDS}), 12, '0') || '7abc8' || lpad(to_hex(g), 15, 'f'))::uuid"
DIGITS = ", ".join(
    f"substr('{ULID}', (({MILLISECONDS} >> {shift}) & 31)::int + 1, 1)" for shift in range(45, -1, -5)
)

CASES = {
    "days over a change of clocks": Case(
        Range, {"interval": "day", "timezone": "Europe/Berlin"}, "timestamp with time zone", AT
    ),
    "dates by week": Case(Range, {"interval": "week"}, "date", "date '2024-02-25' + g"),
    "integers to the greatest": Case(
        Range, {"interval": 2**60}, "bigint", "(9223372036854775807 - g::numeric * 46116860184273879)::bigint"
    ),
    "smallints from the least": Case(Range, {"interval": 100}, "smallint", "(-32768 + g)::smallint"),
    "uuids of version 7": Case(Range, {"interval": "day", "codec": "uuidv7"}, "uuid", UUID7),
    "ulids": Case(
        Range, {"interval": "week", "codec": "ulid"}, "text", f"concat({DIGITS}, lpad(g::text, 16, 'Z'))"
    ),
    "snowflakes": Case(
        Range,
        {"interval": "day", "codec": "snowflake:2020-01-01"},
        "bigint",
        f"(({MILLISECONDS} - 1577836800000) << 22) + g",
    ),
    "seconds": Case(
        Range, {"interval": "12 hours", "codec": "epoch_s"}, "integer", f"({MILLISECONDS} / 1000)::integer"
    ),
    "sets of texts": Case(
        List,
        {"values": {"d'e": ["d'e", "at"], "Weit Weg": ["us", ""]}},
        "character varying(9)",
        "(ARRAY['d''e', 'at', 'us', ''])[g % 4 + 1]",
    ),
    "padded texts": Case(
        List, {"values": {"one": ["a"], "two": ["bcd", "b"]}}, "character(4)", "(ARRAY['a', 'b'])[g % 2 + 1]"
    ),
    "booleans": Case(List, {"values": {"paid": [True], "open": [False]}}, "boolean", "g % 2 = 0"),
    "numbers": Case(
        List,
        {"values": {"low": ["-1.5", "0"], "high": [7]}},
        "numeric(6,2)",
        "(ARRAY[-1.5, 0, 7])[g % 3 + 1]",
    ),
    "days by name": Case(
        List,
        {"values": {"leap": ["2024-02-29"], "last": ["9999-12-31"]}},
        "date",
        "(ARRAY['2024-02-29', '9999-12-31']::date[])[g % 2 + 1]",
    ),
    "a window": Case(List, {"window": 5, "premake": 2}, "integer", "-3 + g % 7"),
    "sets and the rest": Case(List, {"values": {"low": [1, 2]}, "default": "guard"}, "bigint", "g % 5"),
    "hashed integers": Case(Hash, {"modulus": 6}, "bigint", "g - 200"),
    "hashed texts": Case(Hash, {"modulus": 3}, "text", "'row ' || g"),
}


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(database_url, application_name="test", autocommit=True) as opened:
        # Hundreds of partitions in one plan are worth no compiler here.
        opened.execute("SET jit = off")
        yield opened


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rows_are_where_the_method_says_and_no_scan_is_needed(
    connection: psycopg.Connection[Any], case: Case
) -> None:
    collate = ' COLLATE "C"' if case.type == "text" else ""
    plain, parent = QualifiedName("Plain T"), QualifiedName("Parent T")
    connection.execute(f'CREATE TABLE {plain.full} ("K" {case.type}{collate} NOT NULL, g int)')
    connection.execute(f"INSERT INTO {plain.full} SELECT {case.key}, g FROM generate_series(0, 399) AS g")
    info = read_inventory(connection, plain).for_plugins()
    partitioner = case.method.parse({"key": "K", **case.options}, info)
    assert not isinstance(partitioner, Problems), partitioner
    profile = read_profile(connection, plain, partitioner, case.type)
    partitions = partitioner.initial(parent.name, profile, NOW)
    connection.execute(
        f'CREATE TABLE {parent.full} ("K" {case.type}{collate}, g int) PARTITION BY {case.method.method} ("K")'
    )

    scanned = [
        partition.name
        for partition in partitions
        if not attach(connection, partitioner, parent, partition, source=plain)
    ]

    route = route_sql(partitions, partitioner.key, parent, row="r")
    connection.execute(f"INSERT INTO {parent.full} SELECT * FROM {plain.full} WHERE g >= 200")
    assert strays(connection, parent, route) == []
    assert connection.execute(f"SELECT count(*) FROM {parent.full}").fetchone() == (400,)
    # A default partition is born after the others, and is read for what belongs to them. No CHECK can be written that
    # the server takes for the bound of a hashed text: it compares the collation of the call, and its own has none.
    read = ["Parent T_default"] if case == CASES["sets and the rest"] else []
    assert scanned == ([p.name for p in partitions] if case == CASES["hashed texts"] else read)
    # What is read back is what was written, so that upkeep finds nothing to do.
    there = read_partitioned(connection, parent).partitions
    assert sorted(there, key=lambda p: p.name) == sorted(partitions, key=lambda p: p.name)


def test_one_hash_partition_grows_and_rows_stay_where_their_hash_says(
    connection: psycopg.Connection[Any],
) -> None:
    partitioner = CASES["hashed integers"].partitioner()
    parent = QualifiedName("Parent T")
    connection.execute(f'CREATE TABLE {parent.full} ("K" bigint, g int) PARTITION BY hash ("K")')
    whole = list(partitioner.initial(parent.name, Profile(), NOW))
    pieces = partitioner.split(whole[1], Profile(), NOW, {"into": 3})
    assert not isinstance(pieces, Problems)
    grown = [
        *whole[:1],
        *whole[2:],
        *(Partition(partitioner.name(parent.name, piece), piece) for piece in pieces),
    ]
    for partition in grown:
        attach(connection, partitioner, parent, partition)

    connection.execute(f"INSERT INTO {parent.full} SELECT g, g FROM generate_series(-500, 499) AS g")

    route = route_sql(grown, partitioner.key, parent, row="r")
    assert strays(connection, parent, route) == []
    assert {HashBound(18, 1), HashBound(18, 7), HashBound(18, 13)} <= {p.bound for p in grown}


def test_a_query_by_the_key_is_seen_to_prune(connection: psycopg.Connection[Any]) -> None:
    partitioner = CASES["hashed integers"].partitioner()
    parent = QualifiedName("Parent T")
    connection.execute(f'CREATE TABLE {parent.full} ("K" bigint, g int) PARTITION BY hash ("K")')
    partitions = partitioner.initial(parent.name, Profile(), NOW)
    for partition in partitions:
        attach(connection, partitioner, parent, partition)

    def pruning(condition: str) -> tuple[int, bool, str]:
        row = connection.execute(
            f"EXPLAIN (FORMAT JSON) SELECT FROM {parent.full} WHERE {condition}"
        ).fetchone()
        assert row is not None
        found = partitioner.explain(row[0], partitions)
        return len(found.scanned), found.pruned, found.advice

    assert pruning('"K" = 7') == (1, True, "")
    assert pruning("g = 7") == (6, False, "compare K each by = or IN, with a constant or a parameter")


CONTRACTS: Sequence[tuple[Case, Sequence[Profile]]] = (
    (
        CASES["days over a change of clocks"],
        (Profile(), Profile(datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC))),
    ),
    (CASES["integers to the greatest"], (Profile(-(2**63), -(2**62)), Profile(2**62, 2**63 - 1))),
    (CASES["a window"], (Profile(), Profile(2**31 - 3, 2**31 - 1))),
    (CASES["sets and the rest"], (Profile(),)),
    (CASES["hashed texts"], (Profile(),)),
)


@pytest.mark.parametrize(
    ("case", "profiles_"), CONTRACTS, ids=[case.method.kind + case.type for case, _ in CONTRACTS]
)
def test_the_contract_holds_on_a_server(
    connection: psycopg.Connection[Any], case: Case, profiles_: Sequence[Profile]
) -> None:
    class Contract(PartitionerContract):
        partitioner = case.partitioner()
        profiles = profiles_
        moments = (NOW,)

    def execute(sql: str) -> Sequence[Sequence[object]]:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else ()

    Contract().check_on_server(execute, f'"K" {case.type}')


# -- tools


def strays(
    connection: psycopg.Connection[Any], parent: QualifiedName, route: str | None
) -> list[tuple[object, ...]]:
    """Rows that the server keeps elsewhere than `route` says."""
    # OFFSET 0: planned once, and not for each partition.
    return connection.execute(
        f'SELECT r."K", c.relname, {route} FROM (SELECT "K", tableoid FROM {parent.full} OFFSET 0) AS r '
        f"JOIN pg_class AS c ON c.oid = r.tableoid WHERE {route} IS DISTINCT FROM c.relname"
    ).fetchall()


def attach(
    connection: psycopg.Connection[Any],
    partitioner: Partitioner,
    parent: QualifiedName,
    partition: Partition,
    source: QualifiedName | None = None,
) -> bool:
    """Attach a table that has rows of the partition and its CHECK; True where the server took that for the bound."""
    leaf = QualifiedName(partition.name)
    connection.execute(f"CREATE TABLE {leaf.full} (LIKE {parent.full})")
    check = check_sql(partition.bound, partitioner.key, parent)
    if check is not None:
        connection.execute(f"ALTER TABLE {leaf.full} ADD CHECK ({check})")
        if source is not None:
            connection.execute(
                f"INSERT INTO {leaf.full} SELECT * FROM {source.full} WHERE g < 200 AND ({check})"
            )
    elif source is not None:
        others = " OR ".join(
            f"({check_sql(other.bound, partitioner.key, parent)})"
            for other in read_partitioned(connection, parent).partitions
        )
        connection.execute(
            f"INSERT INTO {leaf.full} SELECT * FROM {source.full} WHERE g < 200 AND NOT ({others})"
        )
    said: list[str] = []
    connection.add_notice_handler(keep := lambda diagnostic: said.append(diagnostic.message_primary or ""))
    connection.execute("SET client_min_messages = debug1")
    connection.execute(f"ALTER TABLE {parent.full} ATTACH PARTITION {leaf.full} {bound_sql(partition.bound)}")
    connection.execute("RESET client_min_messages")
    connection.remove_notice_handler(keep)
    return f'partition constraint for table "{partition.name}" is implied by existing constraints' in said
