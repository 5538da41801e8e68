"""Partitions that are cut once more: made whole before they are attached, refused where a unique key forbids it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.conversion import ORDERS, acted, converted, planned
from support.orders import execute, make_orders, relations, scalar
from support.servers import MakeDatabase, MakeTemplate

from evolve.app.convert_table import Patience
from evolve.app.premake_partitions import premake
from evolve.config import PartitionedTable
from evolve.partition.below import BadSub, SubKeyMissing
from evolve.postgres.connect import connect
from evolve.postgres.partitions import read_partitioned

pytestmark = pytest.mark.server

NOW = datetime(2027, 1, 31, tzinfo=UTC)
HASH = {"method": "hash", "key": "id", "modulus": 3}


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    """Orders by month; the old table is gone."""

    def fill(url: str) -> None:
        make_orders(url, 500)
        converted(url, planned(url))
        acted(url, "finish")

    return make_database(make_template("orders by month, to be cut once more", fill))


def made(url: str, sub: object) -> list[str]:
    options = {"key": "created_at", "interval": "1 month", "sub": sub}
    (one,) = premake(
        url, {"orders": PartitionedTable("range", options)}, ORDERS, NOW, patience=Patience(budget=20.0)
    )
    return [partition.name for partition in one.made]


def test_a_new_partition_has_partitions_and_they_have_what_others_have(url: str) -> None:
    assert made(url, HASH) == ["orders_p2027_03", "orders_p2027_04"]
    assert made(url, HASH) == []
    execute(
        url,
        "INSERT INTO orders (tenant_id, customer_id, region, created_at)"
        " SELECT 1, 1, 'eu', '2027-03-05' FROM generate_series(1, 300); ANALYZE orders",
    )
    # Storage parameters, a unique index of their own, and rows in each.
    leaves = scalar(
        url,
        "SELECT count(*) FROM pg_partition_tree('orders_p2027_03') AS t JOIN pg_class AS c ON c.oid = t.relid"
        " WHERE t.isleaf AND c.reloptions = '{fillfactor=80}' AND c.reltuples > 0"
        " AND EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisunique AND indnatts = 1)",
    )
    invalid = scalar(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid")
    with connect(url, autocommit=True) as connection:
        rows = read_partitioned(connection, ORDERS).rows["orders_p2027_03"]
    assert (leaves, invalid, rows) == (3, 0, 300)


def test_what_a_killed_run_left_is_made_anew(url: str) -> None:
    execute(
        url,
        "CREATE TABLE orders_p2027_03 (LIKE orders) PARTITION BY HASH (id);"
        "CREATE TABLE orders_p2027_03_h3_0 PARTITION OF orders_p2027_03 FOR VALUES WITH (MODULUS 3, REMAINDER 0);"
        "COMMENT ON TABLE orders_p2027_03 IS 'made by evolve: partition of orders'",
    )
    assert made(url, HASH) == ["orders_p2027_03", "orders_p2027_04"]
    assert scalar(url, "SELECT count(*) FROM pg_partition_tree('orders_p2027_03') WHERE isleaf") == 3


def test_a_key_that_a_unique_key_lacks_is_refused_before_anything_is_made(url: str) -> None:
    there = relations(url)
    with pytest.raises(SubKeyMissing) as refused:
        made(url, {"method": "list", "key": "region", "values": {"eu": ["eu"], "rest": ["us", "apac"]}})
    assert '"orders_pkey" does not hold it' in str(refused.value)
    assert relations(url) == there


@pytest.mark.parametrize("sub", ["hash", {"key": "id"}, {"method": "range", "key": "id", "interval": 1000}])
def test_what_is_no_way_to_cut_is_refused(url: str, sub: object) -> None:
    with pytest.raises(BadSub):
        made(url, sub)
