"""What a partitioned table would gain by is found, with the reason, and what stands in its way."""

from __future__ import annotations

import pytest
from support.moving import make_partitioned
from support.orders import NOW, execute
from support.servers import MakeDatabase, MakeTemplate

from evolve.app.propose_move import propose_move
from evolve.config import PartitionedTable
from evolve.report.partition import proposal_text
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ORDERS = QualifiedName("orders")
EVENTS = QualifiedName("events")


def test_a_default_partition_with_rows_is_drained_first(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    url = make_database(make_template("drain 300 False", lambda url: make_partitioned(url, "drain", 300)))
    found = propose_move(url, {}, ORDERS, NOW)
    assert found.candidates[0].command == "evolve partition drain orders"
    assert found.plan is not None
    assert found.plan.recipe == "drain"
    execute(url, "CREATE VIEW rest AS SELECT id FROM orders_default")
    blocked = propose_move(url, {}, ORDERS, NOW)
    assert blocked.plan is None
    assert "the view public.rest" in blocked.obstacles[0].what


def test_history_in_one_partition_is_split_and_what_is_empty_left_alone(database_url: str) -> None:
    execute(
        database_url,
        """
        CREATE TABLE events (id bigint, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE events_past PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-10-01');
        CREATE TABLE events_p2026_10_to_2027_01 PARTITION OF events FOR VALUES FROM ('2026-10-01') TO ('2027-01-01');
        INSERT INTO events SELECT g, date '2026-01-01' + g FROM generate_series(1, 200) AS g;
        ANALYZE events;
        """,
    )
    monthly = {"events": PartitionedTable("range", {"key": "at", "interval": "month"})}
    found = propose_move(database_url, monthly, EVENTS, NOW)
    assert [each.command for each in found.candidates] == ["evolve partition split events events_past"]
    assert "200 rows, is 10 partitions" in found.candidates[0].reason
    assert found.plan is not None
    commands = [(each.command, each.reason) for each in found.candidates]
    text = proposal_text("events", commands, found.plan, found.obstacles, found.due, explain=False)
    assert text.startswith(
        "evolve partition split events events_past --run\n  because events_past FOR VALUES"
    )


def test_a_table_that_is_as_its_scheme_wants_it_has_nothing_to_gain(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    key = "rehash 300 False"
    url = make_database(make_template(key, lambda url: make_partitioned(url, "rehash", 300)))
    assert propose_move(url, {}, ORDERS, NOW).candidates == ()
    grown = {"orders": PartitionedTable("hash", {"key": "id", "modulus": 8})}
    found = propose_move(url, grown, ORDERS, NOW)
    assert len(found.candidates) == 4
    assert found.plan is not None
