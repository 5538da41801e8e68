"""Conversions whose partitions are cut once more: by both recipes, under writers, back and forth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
from support.conversion import MONTHS, ORDERS, PER_PARTITION, Watcher, acted, converted
from support.orders import NOW, execute, make_orders, relations, rows_of, scalar, writers
from support.servers import MakeDatabase, MakeTemplate

from evolve.app.convert_table import plan_conversion
from evolve.partition.below import BadSub, SubKeyMissing
from evolve.partition.conversion import Conversion
from evolve.partition.plan import Wish
from evolve.partition.steps import Step, Track

pytestmark = pytest.mark.server

HASH: Mapping[str, object] = {"method": "hash", "key": "id", "modulus": 2}


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    """1,000 orders with everything a table carries."""
    return make_database(
        make_template("rich orders, to be cut twice", lambda url: make_orders(url, 1_000, extras=True))
    )


def planned(url: str, recipe: Literal["copy", "attach"] = "copy", sub: object = HASH) -> Conversion:
    return plan_conversion(url, Wish(ORDERS, "range", MONTHS, recipe, PER_PARTITION, sub), NOW)


def shape(url: str) -> list[int]:
    """Levels of partitions, tables that hold rows on the second of them, indexes that are not valid."""
    tree = "pg_partition_tree('orders')"
    return [
        int(str(scalar(url, f"SELECT max(level) FROM {tree}"))),
        int(str(scalar(url, f"SELECT count(*) FROM {tree} WHERE isleaf AND level = 2"))),
        int(str(scalar(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"))),
    ]


class Stray(Watcher):
    """Writes a row that no partition takes, once the copy has ended."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def begins(self, track: Track, step: Step, number: int, total: int) -> None:
        super().begins(track, step, number, total)
        if step.name == "wait":
            execute(
                self._url,
                "INSERT INTO orders (tenant_id, customer_id, region, created_at) VALUES (1, 1, 'eu', '2029-07-07')",
            )


def test_rows_are_copied_to_both_levels_under_writers(url: str) -> None:
    before = relations(url)
    with writers(url, rows=1_000) as traffic:
        converted(url, planned(url), Stray(url))
    months = int(str(scalar(url, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'orders'::regclass")))
    assert traffic.errors == []
    assert shape(url) == [2, 2 * months, 0]
    assert rows_of(url) == rows_of(url, "orders_evolve_old")
    # What hangs on a table of rows hangs on each.
    for what in (
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY (%s) AND convalidated",
        "SELECT count(*) FROM pg_class WHERE oid = ANY (%s) AND reloptions = '{fillfactor=80}'",
        "SELECT count(*) FROM pg_index WHERE indrelid = ANY (%s) AND indisunique AND NOT indisprimary",
    ):
        leaves = "ARRAY(SELECT relid::oid FROM pg_partition_tree('orders') WHERE isleaf)"
        assert scalar(url, what.replace("%s", leaves)) == 2 * months
    acted(url, "roll_back")
    assert relations(url) == before


def test_the_table_itself_stays_whole_where_it_becomes_a_partition(url: str) -> None:
    before = relations(url)
    with writers(url, rows=1_000, keys=False) as traffic:
        conversion = planned(url, "attach")
        converted(url, conversion)
    levels, second, invalid = shape(url)
    assert (traffic.errors, levels, second, invalid) == ([], 2, 2 * (len(conversion.partitions) - 1), 0)
    assert any("the table itself stays whole" in note for note in conversion.notes)
    acted(url, "roll_back")
    assert relations(url) == before


def test_a_list_is_hashed(url: str) -> None:
    sets = {"key": "region", "values": {"eu": ["eu"], "rest": ["us", "apac"]}}
    wish = Wish(ORDERS, "list", sets, "copy", PER_PARTITION, HASH)
    converted(url, plan_conversion(url, wish, NOW))
    assert shape(url) == [2, 4, 0]
    assert rows_of(url) == rows_of(url, "orders_evolve_old")


def test_a_key_that_a_unique_key_lacks_is_refused_before_anything_is_made(url: str) -> None:
    there = relations(url)
    with pytest.raises(SubKeyMissing):
        planned(url, sub={"method": "list", "key": "region", "values": {"all": ["eu", "us", "apac"]}})
    with pytest.raises(BadSub):
        planned(url, sub={"method": "range", "key": "id", "interval": 1000})
    assert relations(url) == there
