"""Partitions drained, split, merged and rehashed on a real server: under writers, through kills, there and back."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import psycopg
import pytest
from support.conversion import ORDERS, Watcher, acted, converted, wait_until
from support.moving import killed, make_partitioned, move
from support.orders import NOW, execute, relations, rows_of, scalar, writers
from support.servers import MakeDatabase, MakeTemplate

from evolve.app import convert_table
from evolve.app.convert_table import Environment, GaveUp
from evolve.app.move_partitions import (
    BadMove,
    CannotMove,
    MoveWish,
    NoDefaultPartition,
    NoSuchPartition,
    NotHashed,
    plan_move,
)
from evolve.app.partition_status import partition_status
from evolve.app.premake_partitions import premake
from evolve.config import PartitionedTable
from evolve.partition.conversion import Conversion, Move
from evolve.partition.inventory import Inventory, differences
from evolve.partition.steps import Copy, Statements
from evolve.plugin_api import Due, bound_sql
from evolve.postgres.connect import connect
from evolve.postgres.conversion_steps import StepFailed, TableChanged
from evolve.postgres.conversions import ConversionExists, NoConversion
from evolve.postgres.inventory import read_inventory
from evolve.postgres.partitions import read_partitioned
from evolve.sql.names import QualifiedName
from evolve.sql.statements import Statement

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


def misplaced(url: str) -> int:
    """Rows that the server itself would not put where they are."""
    with psycopg.connect(url, autocommit=True) as connection:
        leaves = connection.execute(
            "SELECT format('SELECT count(*) FROM ONLY %s WHERE NOT (%s)', inhrelid::regclass,"
            " coalesce(pg_get_partition_constraintdef(inhrelid), 'true')) FROM pg_inherits"
            " WHERE inhparent IN ('orders'::regclass, to_regclass('orders_evolve_new'))"
        ).fetchall()
        counted = [connection.execute(str(leaf[0]).encode()).fetchone() for leaf in leaves]
    assert counted
    return sum(int(str(row[0])) for row in counted if row is not None)


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
    assert partition_status(url, {}, ORDERS, NOW).due == Due()
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


def stop_at_swap(url: str, planned: Conversion) -> None:
    class StopsAtSwap(Watcher):
        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if step == planned.forward[-1]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converted(url, planned, StopsAtSwap())


def told(url: str, statements: Sequence[Statement]) -> list[str]:
    """What the server says of `statements`, run in one transaction, to whom asks for every detail."""
    said: list[str] = []
    with psycopg.connect(url) as connection:
        connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
        connection.execute("SET client_min_messages = debug1")
        for statement in statements:
            connection.execute(statement.sql.encode())
    return said


@pytest.mark.parametrize("command", COMMANDS)
def test_the_swap_reads_no_row(
    make_template: MakeTemplate, make_database: MakeDatabase, command: Move
) -> None:
    """Under its lock the server takes the CHECKs for the bounds, there and back."""
    url = partitioned(command, make_template, make_database, 300, extras=True)
    if command == "merge":
        execute(url, "CREATE TABLE orders_rest PARTITION OF orders DEFAULT")
    planned = move(url, command)

    stop_at_swap(url, planned)
    for swap in (planned.forward[-1], planned.back[-1]):
        assert isinstance(swap, Statements)
        attached = [s.sql for s in swap.statements if "ATTACH PARTITION" in s.sql]
        said = told(url, (*swap.first, *swap.statements))
        proven = [line for line in said if line.startswith("partition constraint") and "is implied" in line]
        # What stands alone beneath the shadow as its default partition has no bound that had to be proven.
        assert len(attached) - len(proven) <= (1 if command == "drain" else 0)
        updated = [line for line in said if line.startswith("updated partition constraint")]
        assert all("is implied" in line for line in updated)


def test_a_row_that_leaves_while_a_batch_waits_for_it(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    url = partitioned("split", make_template, make_database, 1_000)
    leaver = scalar(url, "SELECT id FROM orders_p2026_07 ORDER BY id LIMIT 1")
    waiting = (
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'evolve partition worker' AND wait_event_type = 'Lock'"
    )
    threads: list[threading.Thread] = []

    def leave(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        with connection:
            wait_until(lambda: scalar(url, waiting))

    class Leaves(Watcher):
        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if isinstance(step, Copy):
                connection = psycopg.connect(url)
                connection.execute(
                    "UPDATE orders SET created_at = created_at + interval '75 days' WHERE id = %s", (leaver,)
                )
                threads.append(threading.Thread(target=leave, args=(connection,)))
                threads[-1].start()

    record = converted(url, move(url, "split"), Leaves())
    threads[0].join()
    assert record.state == "swapped"
    assert kept_in_step(url)
    assert (
        scalar(url, f"SELECT tableoid::regclass::text FROM orders WHERE id = {leaver}") == "orders_p2026_09"
    )


def test_truncate_of_a_new_partition_takes_its_rows_only(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    url = partitioned("split", make_template, make_database, 300)
    planned = move(url, "split")
    converted(url, planned)
    execute(url, f"TRUNCATE {planned.partitions[1].name}")
    rows = rows_of(url)
    assert kept_in_step(url)
    acted(url, "roll_back")
    assert rows_of(url) == rows


def test_upkeep_goes_on_meanwhile(make_template: MakeTemplate, make_database: MakeDatabase) -> None:
    url = partitioned("split", make_template, make_database, 300)

    class Upkeep(Watcher):
        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if isinstance(step, Copy):
                execute(
                    url,
                    "CREATE TABLE later PARTITION OF orders FOR VALUES FROM ('2040-01-01') TO ('2040-02-01')",
                )

    assert converted(url, move(url, "split"), Upkeep()).state == "swapped"


def test_a_list_is_split_drained_and_merged(database_url: str) -> None:
    url = database_url
    execute(
        url,
        "CREATE TABLE orders (id bigint, region text NOT NULL, PRIMARY KEY (id, region)) PARTITION BY LIST (region);"
        "CREATE TABLE orders_eu PARTITION OF orders FOR VALUES IN ('de', 'fr', 'it');"
        "CREATE TABLE orders_default PARTITION OF orders DEFAULT;"
        "INSERT INTO orders SELECT g, (ARRAY['de', 'fr', 'it', 'us', 'jp'])[1 + g % 5] FROM generate_series(1, 500) g",
    )
    tables = {"orders": PartitionedTable("list", {"key": "region", "values": {"eu": ["de", "fr", "it"]}})}
    for command, names, how in (
        ("split", ("orders_eu",), {"values": {"de": ["de"]}}),
        ("drain", (), {"values": {"us": ["us"]}}),
        ("merge", ("orders_in_de", "orders_in_us"), {}),
    ):
        wish = MoveWish(ORDERS, command, names, how)  # type: ignore[arg-type]
        converted(url, plan_move(url, tables, wish, NOW))
        acted(url, "finish")
    assert {bound_sql(p.bound) for p in bounds(url)} == {  # type: ignore[attr-defined]
        "DEFAULT",
        "FOR VALUES IN ('de', 'us')",
        "FOR VALUES IN ('fr', 'it')",
    }
    assert scalar(url, "SELECT count(*) FROM orders") == 500


@pytest.mark.parametrize(
    ("before", "command", "says"),
    [
        ("CREATE VIEW july AS SELECT id FROM orders_p2026_07", "split", "the view public.july"),
        ("ALTER TABLE orders_p2026_07 ADD CHECK (id > 0)", "split", "the CHECK"),
        (
            "CREATE TRIGGER own BEFORE INSERT ON orders_p2026_07 EXECUTE FUNCTION nothing()",
            "split",
            "the trigger own",
        ),
        ("CREATE UNIQUE INDEX once ON orders_p2026_07 (ext_ref)", "merge", '"once" is unique within'),
        ("CREATE TABLE orders_p20260706_to_20260713 ()", "split", "orders_p20260706_to_20260713"),
        ("ALTER TABLE orders_p2026_07 SET UNLOGGED", "split", "unlogged"),
        ("CREATE PUBLICATION everything FOR ALL TABLES", "split", "publication everything"),
        (
            "CREATE TABLE lines (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES orders)",
            "split",
            "lines_id_at_fkey",
        ),
    ],
)
def test_what_cannot_go_along_is_refused_before_anything_is_touched(
    make_template: MakeTemplate, make_database: MakeDatabase, before: str, command: Move, says: str
) -> None:
    url = partitioned("merge", make_template, make_database, 300)
    execute(url, "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    execute(url, before)
    names = relations(url)
    with pytest.raises(CannotMove) as refused:
        move(url, command)
    assert says in str(refused.value)
    assert relations(url) == names


@pytest.mark.parametrize(
    ("command", "partitions", "how", "error"),
    [
        ("drain", (), {}, NoDefaultPartition),
        ("split", ("orders_p1999_01",), {"interval": "week"}, NoSuchPartition),
        ("split", ("orders_p2026_07",), {}, BadMove),
        ("split", ("orders_p2026_07",), {"at": "2031-01-01"}, BadMove),
        ("merge", ("orders_p2026_06", "orders_p2026_08"), {}, BadMove),
        ("rehash", (), {"modulus": 8}, NotHashed),
    ],
)
def test_what_makes_no_sense_is_refused(
    make_template: MakeTemplate,
    make_database: MakeDatabase,
    command: Move,
    partitions: tuple[str, ...],
    how: dict[str, object],
    error: type[Exception],
) -> None:
    url = partitioned("merge", make_template, make_database, 300)
    with pytest.raises(error):
        plan_move(url, {}, MoveWish(ORDERS, command, partitions, how), NOW)


def test_one_at_a_time(make_template: MakeTemplate, make_database: MakeDatabase) -> None:
    url = partitioned("split", make_template, make_database, 300)
    converted(url, move(url, "split"))
    with pytest.raises(ConversionExists, match="split"):
        move(url, "split")


def test_a_journal_that_an_earlier_version_made(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    url = partitioned("split", make_template, make_database, 300)
    execute(
        url,
        "ALTER TABLE evolve.partition_conversion DROP CONSTRAINT partition_conversion_recipe_check,"
        " ADD CONSTRAINT partition_conversion_recipe_check CHECK (recipe IN ('copy', 'attach'))",
    )
    assert converted(url, move(url, "split")).state == "swapped"


def test_premake_leaves_alone_what_is_about_to_be_attached(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    url = partitioned("drain", make_template, make_database, 300)
    stop_at_swap(url, move(url, "drain"))
    (done,) = premake(url, {}, ORDERS, NOW)
    assert (done.made, done.error) == ((), None)
    assert acted(url, "resume").state == "swapped"


@pytest.mark.parametrize("then", ["resume", pytest.param("roll_back", marks=pytest.mark.long)])
def test_killed_in_the_copy(make_template: MakeTemplate, make_database: MakeDatabase, then: str) -> None:
    url = partitioned("split", make_template, make_database, 3_000)
    there = bounds(url)
    steps = move(url, "split").forward
    copy = next(number for number, step in enumerate(steps) if isinstance(step, Copy))
    assert killed(url, "split", "move", step=copy, moment="progresses") != 0
    execute(url, "UPDATE orders SET created_at = created_at + interval '40 days' WHERE id % 5 = 0")
    execute(url, "DELETE FROM orders WHERE id % 7 = 0")
    rows = rows_of(url)
    acted(url, then)  # type: ignore[arg-type]
    assert rows_of(url) == rows
    if then == "resume":
        assert kept_in_step(url)
    else:
        assert bounds(url) == there


def test_a_lock_that_is_not_to_be_had(make_template: MakeTemplate, make_database: MakeDatabase) -> None:
    url = partitioned("split", make_template, make_database, 300)
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM orders_p2026_10")
        reader.execute("LOCK TABLE orders IN ACCESS SHARE MODE")
        with pytest.raises(GaveUp, match="evolve partition split") as gave_up:
            converted(url, move(url, "split"), budget=1.0)
        assert "evolve partition split orders --resume" in str(gave_up.value)
        execute(url, "UPDATE orders SET note = 'meanwhile' WHERE id = 1")
    assert acted(url, "resume").state == "swapped"
    assert kept_in_step(url)


def test_an_interrupted_detach_is_in_the_way(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    url = partitioned("split", make_template, make_database, 300)
    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as detacher:
        reader.execute("SELECT count(*) FROM orders")
        detacher.execute("SET statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            detacher.execute("ALTER TABLE orders DETACH PARTITION orders_p2026_10 CONCURRENTLY")
    with pytest.raises(CannotMove, match="FINALIZE"):
        move(url, "split")


def test_what_somebody_else_made_meanwhile_is_not_cleared_away(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    url = partitioned("split", make_template, make_database, 300)
    planned = move(url, "split")
    execute(url, "CREATE TABLE orders_evolve_new AS SELECT 'mine' AS whose")
    with pytest.raises(StepFailed, match="orders_evolve_new"):
        converted(url, planned)
    assert acted(url, "roll_back").state == "abandoned"
    assert scalar(url, "SELECT whose FROM orders_evolve_new") == "mine"


def test_an_old_default_partition_is_not_read_under_the_lock(
    make_template: MakeTemplate, make_database: MakeDatabase
) -> None:
    url = partitioned("drain", make_template, make_database, 300)
    converted(url, move(url, "drain"))
    later = "orders FOR VALUES FROM ('2040-01-01 00:00Z') TO ('2040-02-01 00:00Z')"
    execute(url, f"CREATE TABLE later PARTITION OF {later}")
    with pytest.raises(TableChanged, match=r"later(.|\n)*evolve partition undo orders --run"):
        acted(url, "roll_back")
    execute(url, "DROP TABLE later")
    assert acted(url, "roll_back").state == "abandoned"


def test_names_that_need_quotes(database_url: str) -> None:
    execute(
        database_url,
        """
        CREATE TABLE "Order Lines" ("Id" bigint, "At" date NOT NULL, "it's" text, PRIMARY KEY ("Id", "At"))
            PARTITION BY RANGE ("At");
        CREATE TABLE "Lines %s 2026" PARTITION OF "Order Lines" FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        CREATE INDEX "by $1" ON "Order Lines" ("it's");
        INSERT INTO "Order Lines" SELECT g, date '2026-01-01' + g, 'x' FROM generate_series(1, 300) AS g;
        """,
    )
    table = QualifiedName("Order Lines")
    tables = {'"Order Lines"': PartitionedTable("range", {"key": "At", "interval": "quarter"})}
    wish = MoveWish(table, "split", ("Lines %s 2026",), {})
    record = converted(database_url, plan_move(database_url, tables, wish, NOW))
    execute(database_url, """UPDATE "Order Lines" SET "it's" = 'y'; TRUNCATE "Order Lines_p2026_q2" """)
    environment = Environment(now=lambda: NOW)
    convert_table.roll_back(database_url, table, observer=Watcher(), environment=environment)
    assert record.state == "swapped"
    assert scalar(database_url, """SELECT count(*) FROM "Order Lines" WHERE "it's" = 'y'""") == 300 - 91
