"""Partitions that are missing are made: behind long readers, from several machines at once, after kills, into gaps."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import psycopg
import pytest
from support.command_line import environment
from support.conversion import ORDERS, converted, planned
from support.orders import NOW, execute, make_orders, relations, scalar
from support.servers import MakeDatabase, MakeTemplate

from evolve.app.convert_table import Patience
from evolve.app.premake_partitions import (
    NoScheme,
    NothingPartitioned,
    Premade,
    SchemeDiffers,
    StillBlocked,
    premake,
)
from evolve.config import PartitionedTable
from evolve.partition.inventory import Inventory
from evolve.postgres.connect import connect
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import NameTaken, NotPartitioned, RowsInDefault, read_partitioned
from evolve.sql.bounds import first_overlap, gaps
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

LATER = datetime(2027, 6, 15, tzinfo=UTC)  # a scheduler that was down for half a year


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    """Orders by month, with everything a table carries; the old table is gone."""

    def fill(url: str) -> None:
        make_orders(url, 500, extras=True)
        converted(url, planned(url))

    return make_database(make_template("orders by month", fill))


def made(url: str, now: datetime, *, only: QualifiedName | None = ORDERS, dry_run: bool = False) -> Premade:
    (one,) = premake(url, {}, only, now, dry_run=dry_run, patience=Patience(budget=20.0))
    return one


def names(premade: Premade) -> list[str]:
    return [partition.name for partition in premade.made]


def inventory(url: str, table: str) -> Inventory:
    with connect(url, autocommit=True) as connection:
        return read_inventory(connection, QualifiedName(table))


def test_what_will_be_needed_soon_is_made(url: str) -> None:
    assert names(made(url, datetime(2027, 1, 31, tzinfo=UTC))) == ["orders_p2027_03", "orders_p2027_04"]


def test_nothing_is_left_to_do_the_second_time(url: str) -> None:
    made(url, LATER)
    assert names(made(url, LATER)) == []


def test_no_gap_is_left_after_a_long_pause(url: str) -> None:
    made(url, LATER)
    with connect(url, autocommit=True) as connection:
        partitions = read_partitioned(connection, ORDERS).partitions
    assert first_overlap(partitions) is None
    assert gaps(partitions) == []
    assert partitions[-1].name == "orders_p2027_09"


def test_a_partition_that_somebody_dropped_is_made_again(url: str) -> None:
    execute(url, "DROP TABLE orders_p2026_12")
    assert names(made(url, NOW)) == ["orders_p2026_12"]


def test_a_dry_run_makes_nothing(url: str) -> None:
    before = relations(url)
    assert names(made(url, LATER, dry_run=True))
    assert relations(url) == before


def test_a_new_partition_is_like_its_siblings(url: str) -> None:
    made(url, datetime(2027, 1, 31, tzinfo=UTC))
    old, new = inventory(url, "orders_p2026_11"), inventory(url, "orders_p2027_03")
    assert [(c.name, c.type, c.not_null, c.generated) for c in new.columns] == [
        (c.name, c.type, c.not_null, c.generated) for c in old.columns
    ]
    assert sorted(i.definition for i in new.indexes) == sorted(i.definition for i in old.indexes)
    assert [key.columns for key in new.keys] == [key.columns for key in old.keys]
    assert [check.name for check in new.checks] == [check.name for check in old.checks]
    assert [f.definition for f in new.foreign_keys] == [f.definition for f in old.foreign_keys]
    assert (new.options, new.owner, new.comment) == (old.options, old.owner, old.comment)
    assert {trigger.name for trigger in new.triggers} == {trigger.name for trigger in old.triggers}
    assert scalar(
        url, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders_p2027_03'::regclass"
    ) == scalar(url, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders_p2026_11'::regclass")


def test_rows_land_in_the_new_partition(url: str) -> None:
    made(url, LATER)
    execute(
        url,
        "INSERT INTO orders (tenant_id, customer_id, region, created_at) VALUES (1, 1, 'eu', '2027-09-30')",
    )
    assert scalar(url, "SELECT count(*) FROM orders_p2027_09") == 1


def test_a_long_reader_holds_nothing_up(url: str) -> None:
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM orders")
        began = time.monotonic()
        assert names(made(url, datetime(2027, 1, 31, tzinfo=UTC)))
        assert time.monotonic() - began < 10


def test_writers_do_not_wait_behind_a_reader(url: str) -> None:
    longest = 0.0
    stop = threading.Event()

    def write() -> None:
        nonlocal longest
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                began = time.monotonic()
                connection.execute("UPDATE orders SET note = 'x' WHERE id = 5")
                longest = max(longest, time.monotonic() - began)

    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM orders")
        thread = threading.Thread(target=write)
        thread.start()
        try:
            made(url, LATER)
        finally:
            stop.set()
            thread.join()
    assert longest < 10


def test_two_at_once_make_each_partition_once(url: str) -> None:
    code = (
        "import sys; from datetime import UTC, datetime; from evolve.app.premake_partitions import premake;"
        "done = premake(sys.argv[1], {}, None, datetime(2027, 12, 1, tzinfo=UTC));"
        "sys.stdout.write(','.join(p.name for one in done for p in one.made))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], stdout=subprocess.PIPE, env=environment(), text=True
        )
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    lists = [output.split(",") for output in outputs if output]
    assert sum(len(found) for found in lists) == 13
    assert len({name for found in lists for name in found}) == 13


def test_what_a_killed_run_left_behind_is_taken_over(url: str) -> None:
    execute(
        url,
        "CREATE TABLE orders_p2027_03 (LIKE orders);"
        "COMMENT ON TABLE orders_p2027_03 IS 'made by evolve: partition of orders'",
    )
    assert names(made(url, datetime(2027, 1, 31, tzinfo=UTC))) == ["orders_p2027_03", "orders_p2027_04"]
    assert scalar(url, "SELECT relispartition FROM pg_class WHERE relname = 'orders_p2027_03'") is True


def test_a_table_of_somebody_else_is_left_alone(url: str) -> None:
    execute(url, "CREATE TABLE orders_p2027_03 (precious int); INSERT INTO orders_p2027_03 VALUES (1)")
    with pytest.raises(NameTaken, match="orders_p2027_03"):
        made(url, datetime(2027, 1, 31, tzinfo=UTC))
    assert scalar(url, "SELECT precious FROM orders_p2027_03") == 1


def test_a_marked_table_that_holds_rows_is_left_alone(url: str) -> None:
    execute(
        url,
        "CREATE TABLE orders_p2027_03 (precious int); INSERT INTO orders_p2027_03 VALUES (1);"
        "COMMENT ON TABLE orders_p2027_03 IS 'made by evolve: partition of orders'",
    )
    with pytest.raises(NameTaken):
        made(url, datetime(2027, 1, 31, tzinfo=UTC))


def test_a_lock_that_is_never_free_is_given_up_on(url: str) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")
        with pytest.raises(StillBlocked, match="orders_p2027_03"):
            premake(url, {}, ORDERS, datetime(2027, 1, 31, tzinfo=UTC), patience=Patience(budget=1.0))


def test_a_hand_made_partition_in_the_way_is_a_conflict(url: str) -> None:
    execute(url, "CREATE TABLE hand PARTITION OF orders FOR VALUES FROM ('2027-03-10') TO ('2027-03-20')")
    done = made(url, datetime(2027, 1, 31, tzinfo=UTC))
    assert names(done) == ["orders_p2027_04"]
    assert [(c.wanted.name, c.existing.name) for c in done.due.conflicts] == [("orders_p2027_03", "hand")]


def test_rows_in_a_default_partition_are_told(url: str) -> None:
    execute(
        url,
        "CREATE TABLE catch PARTITION OF orders DEFAULT;"
        "INSERT INTO orders (tenant_id, customer_id, region, created_at) VALUES (1, 1, 'eu', '2027-03-03')",
    )
    done = made(url, datetime(2027, 1, 31, tzinfo=UTC))
    assert isinstance(done.error, RowsInDefault)
    assert "orders_p2027_03" in done.error.what
    assert names(done) == ["orders_p2027_04"]


def test_integer_partitions_follow_the_rows(database_url: str) -> None:
    make_orders(database_url, 500)
    converted(
        database_url,
        planned(
            database_url,
            options={"key": "id", "interval": 1000, "premake": 2000},
            unique={"orders_ext_ref": "per-partition"},
        ),
    )
    execute(
        database_url,
        "SELECT setval('orders_id_seq', 2600); INSERT INTO orders (tenant_id, customer_id, region)"
        " VALUES (1, 1, 'eu')",
    )
    assert names(made(database_url, NOW)) == ["orders_p3000", "orders_p4000"]


def test_after_attach_only_what_lies_beyond_is_made(database_url: str) -> None:
    make_orders(database_url, 500)
    converted(database_url, planned(database_url, "attach"))
    assert names(made(database_url, NOW)) == []
    assert names(made(database_url, datetime(2027, 1, 31, tzinfo=UTC))) == [
        "orders_p2027_03",
        "orders_p2027_04",
    ]


def test_the_settings_are_enough(url: str) -> None:
    execute(url, "DROP SCHEMA evolve CASCADE")
    settings = {
        "orders": PartitionedTable("range", {"key": "created_at", "interval": "1 month", "recipe": "copy"})
    }
    (done,) = premake(url, settings, None, datetime(2027, 1, 31, tzinfo=UTC))
    assert names(done) == ["orders_p2027_03", "orders_p2027_04"]


def test_settings_that_do_not_fit_the_table_are_refused(url: str) -> None:
    settings = {"orders": PartitionedTable("range", {"key": "updated_at", "interval": "1 month"})}
    with pytest.raises(SchemeDiffers, match="updated_at"):
        premake(url, settings, None, NOW)


def test_an_ordinary_table_is_refused(database_url: str) -> None:
    make_orders(database_url, 10)
    settings = {"orders": PartitionedTable("range", {"key": "created_at", "interval": "1 month"})}
    with pytest.raises(NotPartitioned):
        premake(database_url, settings, None, NOW)


def test_an_unknown_scheme_is_refused(database_url: str) -> None:
    execute(database_url, "CREATE TABLE t (at date) PARTITION BY RANGE (at)")
    with pytest.raises(NoScheme):
        premake(database_url, {}, QualifiedName("t"), NOW)


def test_nothing_known_is_refused(database_url: str) -> None:
    with pytest.raises(NothingPartitioned):
        premake(database_url, {}, None, NOW)


def test_partitions_are_read_while_somebody_holds_one(database_url: str) -> None:
    """PostgreSQL 18 locks the relation whose number it is given beside a bound."""
    execute(
        database_url,
        "CREATE TABLE t (at date) PARTITION BY RANGE (at);"
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    )
    with psycopg.connect(database_url) as holder, connect(database_url, autocommit=True) as connection:
        holder.execute("LOCK TABLE t_1 IN ACCESS EXCLUSIVE MODE")
        connection.execute("SET lock_timeout = '2s'")
        found = read_partitioned(connection, QualifiedName("t"))
    assert [partition.name for partition in found.partitions] == ["t_1"]
