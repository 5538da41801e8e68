"""What a conversion or a move replaced comes back, and what would be lost is said before."""

from __future__ import annotations

import pytest
from support.conversion import ORDERS, Watcher, acted, converted, planned
from support.moving import make_partitioned, move
from support.orders import execute, make_orders, relations, rows_of
from support.servers import MakeDatabase, MakeTemplate

from evolve.app.convert_table import CannotRollBack
from evolve.app.undo_partitioning import (
    NothingKept,
    NothingToUndo,
    NotSwappedYet,
    PartitionGone,
    RowsWouldGo,
    plan_undo,
    refuse_to_lose_rows,
)
from evolve.partition.steps import Copy
from evolve.postgres.conversion_steps import RowsPassedTheBound, TableChanged
from evolve.postgres.inventory import NoSuchTable
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server


@pytest.fixture
def orders(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    return make_database(make_template("300 orders", lambda url: make_orders(url, 300)))


@pytest.fixture
def monthly(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    return make_database(make_template("split 300 False", lambda url: make_partitioned(url, "split", 300)))


def test_a_fresh_conversion_loses_nothing(orders: str) -> None:
    before, rows = relations(orders), rows_of(orders)
    converted(orders, planned(orders))
    found = plan_undo(orders, ORDERS)
    assert (found.lost, found.returns) == ((), ())
    acted(orders, "roll_back")
    assert relations(orders) == before
    assert rows_of(orders) == rows


def test_what_came_since_is_told(orders: str) -> None:
    converted(orders, planned(orders))
    execute(
        orders,
        """
        CREATE INDEX orders_amount ON orders (amount);
        GRANT SELECT (amount) ON orders TO orders_reader;
        CREATE TABLE orders_long_ago (LIKE orders INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS);
        INSERT INTO orders_long_ago (id, tenant_id, customer_id, region, created_at)
        SELECT -g, 1, 1, 'eu', '2001-01-15' FROM generate_series(1, 7) AS g;
        ALTER TABLE orders ATTACH PARTITION orders_long_ago FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
        ALTER TABLE orders DETACH PARTITION orders_p2026_06;
        """,
    )
    found = plan_undo(orders, ORDERS)
    assert [line.partition(",")[0] for line in found.lost] == [
        "the index orders_amount",
        "SELECT (amount) for orders_reader",
        "7 rows of orders_long_ago FOR VALUES FROM ('2001-01-01 00:00:00+00') TO ('2002-01-01 00:00:00+00')",
    ]
    assert [line.split()[:4] for line in found.returns] == [["the", "rows", "of", "orders_p2026_06"]]
    with pytest.raises(RowsWouldGo, match="7 rows of orders_long_ago"):
        refuse_to_lose_rows(orders, ORDERS)


def test_rows_that_a_truncate_of_a_partition_took_come_back_and_that_is_told(orders: str) -> None:
    converted(orders, planned(orders))
    execute(orders, "TRUNCATE orders_p2026_06")
    execute(orders, "VACUUM FULL orders_p2026_07")  # a new file as well, and no row less
    found = plan_undo(orders, ORDERS)
    gone = len(rows_of(orders, "orders_evolve_old")) - len(rows_of(orders))
    assert gone > 0
    assert (found.lost, found.returns) == (
        (),
        (f"{gone} rows of orders_p2026_06, which was emptied by TRUNCATE since",),
    )


def test_who_is_refused_the_way_back_may_stay(orders: str) -> None:
    converted(orders, planned(orders))
    execute(orders, "ALTER TABLE orders DROP COLUMN note")
    with pytest.raises(TableChanged, match="or stay: evolve partition finish orders"):
        acted(orders, "roll_back")
    assert acted(orders, "finish").state == "finished"


def test_an_index_that_came_since_a_move_is_not_built_under_the_lock(monthly: str) -> None:
    converted(monthly, move(monthly, "split"))
    execute(monthly, "CREATE INDEX orders_amount ON orders (amount)")
    with pytest.raises(TableChanged, match=r"orders_amount(.|\n)*evolve partition undo orders --run"):
        acted(monthly, "roll_back")
    execute(monthly, "DROP INDEX orders_amount")
    assert acted(monthly, "roll_back").state == "abandoned"


def test_a_new_partition_that_is_gone_cannot_give_way(monthly: str) -> None:
    conversion = move(monthly, "split")
    converted(monthly, conversion)
    execute(monthly, f"ALTER TABLE orders DETACH PARTITION {conversion.partitions[1].name}")
    with pytest.raises(PartitionGone, match=conversion.partitions[1].name):
        plan_undo(monthly, ORDERS)


def test_rows_beyond_the_first_partition_are_in_the_way(orders: str) -> None:
    converted(orders, planned(orders, "attach"))
    assert plan_undo(orders, ORDERS).lost == ()
    execute(
        orders,
        "INSERT INTO orders (tenant_id, customer_id, region, created_at) VALUES (1, 1, 'eu', '2027-02-03')",
    )
    with pytest.raises(RowsPassedTheBound):
        plan_undo(orders, ORDERS)


def test_where_there_is_no_way_back_it_says_which_way_there_is(monthly: str) -> None:
    with pytest.raises(NoSuchTable):
        plan_undo(monthly, QualifiedName("nobody"))
    with pytest.raises(NothingToUndo, match="nothing to undo"):
        plan_undo(monthly, QualifiedName("customers"))

    class Stops(Watcher):
        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if isinstance(step, Copy):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converted(monthly, move(monthly, "split"), Stops())
    with pytest.raises(NotSwappedYet, match="--rollback"):
        plan_undo(monthly, ORDERS)
    acted(monthly, "roll_back")
    with pytest.raises(NothingToUndo, match="given up"):
        plan_undo(monthly, ORDERS)

    class StopsInFinish(Watcher):
        def ends(self, track: object, step: object, number: int, total: int, seconds: float) -> None:
            raise KeyboardInterrupt

    converted(monthly, move(monthly, "split"))
    with pytest.raises(KeyboardInterrupt):
        acted(monthly, "finish", StopsInFinish())
    with pytest.raises(CannotRollBack):
        plan_undo(monthly, ORDERS)
    acted(monthly, "finish")
    with pytest.raises(NothingKept, match="evolve partition merge orders orders_p"):
        plan_undo(monthly, ORDERS)
