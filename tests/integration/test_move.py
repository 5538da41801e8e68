"""Partitions drained, split, merged and rehashed on a real server: under writers, through kills, there and back."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from support.conversion import ORDERS, acted, converted
from support.moving import killed, make_partitioned, move
from support.orders import execute, relations, rows_of, scalar, writers
from support.servers import MakeDatabase, MakeTemplate

from evolve.partition.conversion import Move
from evolve.partition.inventory import Inventory, differences
from evolve.postgres.connect import connect
from evolve.postgres.conversions import NoConversion
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import read_partitioned

pytestmark = pytest.mark.server

COMMANDS: tuple[Move, ...] = ("drain", "split", "merge", "rehash")


def partitioned(
    command: Move,
    make_template: MakeTemplate,
    make_database: MakeDatabase,
    rows: int = 3_000,
    extras: bool = False,
) -> str:
    key = f"{command} {rows} {extras}"
    return make_database(make_template(key, lambda url: make_partitioned(url, command, rows, extras=extras)))


def inventory(url: str) -> Inventory:
    with connect(url, autocommit=True) as connection:
        return read_inventory(connection, ORDERS)


def bounds(url: str) -> set[object]:
    with connect(url, autocommit=True) as connection:
        return set(read_partitioned(connection, ORDERS).partitions)


def misplaced(url: str) -> object:
    """Rows that the server itself would not put where they are."""
    return scalar(
        url,
        "SELECT coalesce(sum((xpath('/row/n/text()', query_to_xml(format("
        "'SELECT count(*) AS n FROM ONLY %s WHERE NOT (%s)', c.oid::regclass,"
        " coalesce(pg_get_partition_constraintdef(c.oid), 'true')), false, true, '')))[1]::text::int), 0)"
        " FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
        " WHERE i.inhparent IN ('orders'::regclass, to_regclass('orders_evolve_new'))",
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_lost_refused_or_hidden_while_clients_write(
    make_template: MakeTemplate, make_database: MakeDatabase, command: Move
) -> None:
    url = partitioned(command, make_template, make_database, 20_000)
    untouched = "SELECT count(*) FROM orders WHERE id BETWEEN 10001 AND 20000"
    expected, seen, stop = scalar(url, untouched), set(), threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                row = connection.execute(untouched.encode()).fetchone()
                seen.add(row[0] if row else None)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        with writers(url, rows=10_000) as traffic:
            record = converted(url, move(url, command), budget=60.0)
            time.sleep(0.3)
    finally:
        stop.set()
        reader.join()
    print(f"{command}: {traffic.done} transactions, longest {traffic.longest * 1000:.0f} ms")  # noqa: T201 - shown with -s
    assert record.state == "swapped"
    assert traffic.errors == []
    assert seen == {expected}
    assert traffic.refs <= {str(row[8]) for row in rows_of(url)}
    assert misplaced(url) == 0
    assert kept_in_step(url)


def kept_in_step(url: str) -> bool:
    """The new partitions, row by row, are what the shadow holds of the old ones."""
    new = scalar(
        url,
        "SELECT string_agg(format('SELECT t::text FROM (SELECT id, created_at, amount, status, note, ext_ref, "
        "region, amount_cents FROM %s) AS t', plan.name), ' UNION ALL ') FROM (SELECT p ->> 'name' AS name "
        "FROM evolve.partition_conversion, jsonb_array_elements(plan -> 'partitions') AS p "
        "WHERE state = 'swapped') AS plan",
    )
    columns = "id, created_at, amount, status, note, ext_ref, region, amount_cents"
    hashed = "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t, 0)::numeric), 0) FROM ({}) AS a (t)"
    old = f"SELECT t::text FROM (SELECT {columns} FROM orders_evolve_new) AS t"
    return scalar(url, hashed.format(new)) == scalar(url, hashed.format(old))


@pytest.mark.parametrize("command", COMMANDS)
def test_there_back_and_for_good(
    make_template: MakeTemplate, make_database: MakeDatabase, command: Move
) -> None:
    url = partitioned(command, make_template, make_database, 1_000, extras=True)
    before, names, there = inventory(url), relations(url), bounds(url)
    converted(url, move(url, command))
    execute(url, "UPDATE orders SET note = 'after the swap' WHERE id % 7 = 0")
    execute(url, "DELETE FROM orders WHERE id % 13 = 0")
    rows = rows_of(url)

    acted(url, "roll_back")
    assert rows_of(url) == rows
    assert relations(url) == names
    assert bounds(url) == there
    assert differences(before, inventory(url)) == ()

    planned = move(url, command)
    converted(url, planned)
    acted(url, "finish")
    assert rows_of(url) == rows
    assert {p.name for p in planned.partitions} <= {p.name for p in bounds(url)}  # type: ignore[attr-defined]
    assert not [name for name in relations(url) if "evolve" in name]
    assert misplaced(url) == 0
    assert scalar(url, "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%evolve%'") == 0
    assert scalar(url, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%evolve%'") == 0


@pytest.mark.parametrize(
    ("moment", "then"),
    [
        ("begins", "resume"),
        pytest.param("ends", "roll_back", marks=pytest.mark.long),
        pytest.param("ends", "resume", marks=pytest.mark.long),
        pytest.param("begins", "roll_back", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize(
    "command", ["merge", *(pytest.param(c, marks=pytest.mark.long) for c in COMMANDS if c != "merge")]
)
def test_killed_at_every_step(
    make_template: MakeTemplate, make_database: MakeDatabase, command: Move, moment: str, then: str
) -> None:
    steps = move(partitioned(command, make_template, make_database, 300, extras=True), command).forward
    # Of steps of one kind in a row the first and the last are enough.
    telling = [
        number
        for number, step in enumerate(steps)
        if number in (0, len(steps) - 1) or {steps[number - 1].name, steps[number + 1].name} != {step.name}
    ]
    for number in telling:
        url = partitioned(command, make_template, make_database, 300, extras=True)
        before, names = inventory(url), relations(url)
        assert killed(url, command, "move", step=number, moment=moment) != 0  # type: ignore[arg-type]
        execute(url, f"UPDATE orders SET note = 'between' WHERE id = {number + 1}")
        rows = rows_of(url)
        record = acted(url, then)  # type: ignore[arg-type]
        assert rows_of(url) == rows, f"after step {number}"
        if then == "roll_back":
            assert relations(url) == names, f"after step {number}"
            assert differences(before, inventory(url)) == (), f"after step {number}"
        else:
            assert record.state == "swapped"
            assert kept_in_step(url), f"after step {number}"


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_on_the_way_back_and_at_the_end(
    make_template: MakeTemplate, make_database: MakeDatabase, command: Move
) -> None:
    for action, track in (("roll_back", "back"), ("roll_back", "abandon"), ("finish", "finish")):
        step = 0
        while True:
            url = partitioned(command, make_template, make_database, 300, extras=True)
            before = inventory(url)
            converted(url, move(url, command))
            rows = rows_of(url)
            if killed(url, command, action, track=track, step=step, moment="ends") == 0:
                break
            try:
                record = acted(url, "resume")
            except NoConversion:
                pass  # it was the last step: nothing is left to resume
            else:
                assert record.state == ("finished" if action == "finish" else "abandoned")
            assert rows_of(url) == rows
            if action == "roll_back":
                assert differences(before, inventory(url)) == ()
            step += 1
        assert step > 0
