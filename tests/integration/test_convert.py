"""Conversions on a real server: under writers, through kills, back and forth, with everything a table carries."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.conversion import (
    ORDERS,
    YEARS,
    Watcher,
    acted,
    converted,
    held,
    killed,
    planned,
    started,
    wait_until,
)
from support.orders import execute, make_orders, relations, rows_of, scalar, writers
from support.servers import MakeDatabase, MakeTemplate

from evolve.app.convert_table import CannotRollBack, GaveUp, NotSwapped
from evolve.partition.inventory import Inventory, differences
from evolve.partition.steps import Step
from evolve.postgres.connect import connect
from evolve.postgres.conversion_steps import RowsDiffer, RowsPassedTheBound, StepFailed, TableChanged
from evolve.postgres.conversions import ConversionBusy, ConversionExists, NoConversion, conversion_lock
from evolve.postgres.inventory import read_inventory
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    """3,000 orders."""
    return make_database(make_template("orders", make_orders))


@pytest.fixture
def rich(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    """The same with triggers, views, policies, grants, comments, a publication."""
    return make_database(make_template("rich orders", lambda url: make_orders(url, extras=True)))


@pytest.fixture
def many(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    """60,000 orders, so that the copy takes a while."""
    return make_database(make_template("many orders", lambda url: make_orders(url, 60_000)))


def inventory(url: str) -> Inventory:
    with connect(url, autocommit=True) as connection:
        return read_inventory(connection, ORDERS)


# -- under writers ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_nothing_is_lost_or_refused_while_clients_write(many: str, recipe: str) -> None:
    with writers(many, rows=60_000) as traffic:
        time.sleep(0.3)
        record = converted(many, planned(many, recipe))  # type: ignore[arg-type]
        time.sleep(0.5)
    print(f"{recipe}: {traffic.done} transactions, longest {traffic.longest * 1000:.0f} ms")  # noqa: T201 - shown with -s
    assert record.state == "swapped"
    assert traffic.errors == []
    assert traffic.refs <= {str(row[8]) for row in rows_of(many)}
    if recipe == "copy":
        assert rows_of(many) == rows_of(many, "orders_evolve_old")
    ids = [row[0] for row in rows_of(many)]
    assert len(ids) == len(set(ids))


def test_rows_are_where_their_key_belongs(url: str) -> None:
    converted(url, planned(url))
    misplaced = scalar(
        url,
        "SELECT count(*) FROM orders WHERE tableoid::regclass::text"
        " <> 'orders_p' || to_char(created_at AT TIME ZONE 'UTC', 'YYYY_MM')",
    )
    assert misplaced == 0


def test_swap_back_after_writes_loses_nothing(rich: str) -> None:
    converted(rich, planned(rich))
    with writers(rich) as traffic:
        time.sleep(1.0)
    before = rows_of(rich)
    acted(rich, "roll_back")
    assert traffic.errors == []
    assert rows_of(rich) == before


def test_swap_back_while_clients_write(url: str) -> None:
    with writers(url) as traffic:
        converted(url, planned(url))
        time.sleep(0.3)
        acted(url, "roll_back")
        time.sleep(0.3)
    assert traffic.errors == []
    assert scalar(url, "SELECT relkind::text FROM pg_class WHERE relname = 'orders'") == "r"


def test_truncate_reaches_both_tables(url: str) -> None:
    converted(url, planned(url))
    execute(url, "TRUNCATE orders")
    assert rows_of(url, "orders_evolve_old") == []


def test_keys_may_be_called_as_variables_of_triggers_are(database_url: str) -> None:
    execute(
        database_url,
        """
        CREATE TABLE lost (id int, found timestamptz, tg_op text, PRIMARY KEY (id, found, tg_op));
        INSERT INTO lost SELECT g, '2026-10-01', 'x' FROM generate_series(1, 9) AS g
        """,
    )
    writes = (
        "DELETE FROM lost WHERE id = 1; UPDATE lost SET found = found + interval '40 days' WHERE id IN (2, 3)"
    )
    write_before_the_swap = at_step("verify", lambda: execute(database_url, writes))
    table = QualifiedName("lost")
    conversion = planned(
        database_url, options={"key": "found", "interval": "1 month"}, unique={}, table=table
    )
    converted(database_url, conversion, write_before_the_swap)
    execute(database_url, writes.replace("1;", "4;"))
    rows = "SELECT array_agg(t ORDER BY id)::text FROM {} AS t"
    assert scalar(database_url, rows.format("lost")) == scalar(database_url, rows.format("lost_evolve_old"))
    assert scalar(database_url, "SELECT count(*) FROM lost") == 7


def test_the_old_tables_keys_hold_until_it_goes(url: str) -> None:
    """A second order of the same id would fit the wider key, but could not be swapped back."""
    converted(url, planned(url))
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(url, "INSERT INTO orders (id, tenant_id, customer_id, region) VALUES (7, 1, 1, 'eu')")
    acted(url, "finish")
    execute(url, "INSERT INTO orders (id, tenant_id, customer_id, region) VALUES (7, 1, 1, 'eu')")


def test_a_key_update_in_the_midst_of_a_batch_loses_no_row(url: str) -> None:
    """A row whose key jumps to the end while a batch waits for it must not take the cursor along."""
    with psycopg.connect(url) as blocker:
        blocker.execute("UPDATE orders SET id = 2999999 WHERE id = 250")
        blocker.execute("UPDATE orders SET id = 2999998 WHERE id = 2999")
        thread = threading.Thread(target=lambda: converted(url, planned(url)))
        thread.start()
        time.sleep(1.0)
        blocker.commit()
        thread.join()
    assert rows_of(url) == rows_of(url, "orders_evolve_old")
    assert len(rows_of(url)) == 3_000


def test_a_users_trigger_that_writes_the_row_again_is_not_overtaken(url: str) -> None:
    execute(
        url,
        """CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN UPDATE orders SET note = 'second' WHERE id = NEW.id AND note = 'first'; RETURN NULL; END $$;
        CREATE TRIGGER a_again AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION again()""",
    )

    class Writes(Watcher):
        def ends(self, track: object, step: object, number: int, total: int, seconds: float) -> None:
            execute(url, f"UPDATE orders SET note = 'first' WHERE id = {number + 1}")

    converted(url, planned(url), Writes())
    execute(url, "UPDATE orders SET note = 'first' WHERE id = 2000")
    assert scalar(url, "SELECT count(*) FROM orders WHERE note = 'first'") == 0
    assert rows_of(url) == rows_of(url, "orders_evolve_old")


def test_rows_outside_of_every_partition_get_one(url: str) -> None:
    class Strays(Watcher):
        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if getattr(step, "name", "") in ("copy", "swap"):
                year = 2024 if getattr(step, "name", "") == "copy" else 2028
                execute(url, f"UPDATE orders SET created_at = '{year}-05-05' WHERE id IN (11, 22)")

    record = converted(url, planned(url), Strays())
    assert record.state == "swapped"
    assert scalar(url, "SELECT count(*) FROM orders_p2028_05") == 2
    assert scalar(url, "SELECT count(*) FROM orders WHERE tableoid = 'orders_p2024_05'::regclass") == 0
    assert rows_of(url) == rows_of(url, "orders_evolve_old")
    assert "orders_evolve_strays" not in relations(url)


# -- what goes along --------------------------------------------------------------------------------------------------
def without_identity(found: Inventory) -> Inventory:
    """What a partitioned table cannot have the same: its kind, wider keys, storage of its own."""
    return replace(
        found,
        oid=0,
        kind="",
        keys=(),
        options=(),
        children=(),
        others=(),
        views=(),
        indexes=(),
        foreign_keys=(),
    )


@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_everything_the_table_carries_goes_along(rich: str, recipe: str) -> None:
    before = inventory(rich)
    converted(rich, planned(rich, recipe))  # type: ignore[arg-type]
    after = inventory(rich).without(frozenset({"!evolve_sync", "!evolve_sync_truncate"}))

    assert differences(without_identity(before), without_identity(after)) == ()
    assert after.keys[0].columns == ("id", "created_at")
    assert after.keys[0].comment == "one order"
    assert [(f.name, f.definition, f.comment) for f in after.foreign_keys] == [
        (f.name, f.definition, f.comment) for f in before.foreign_keys
    ]
    kept = [index for index in before.indexes if index.name != "orders_ext_ref"]
    assert list(after.indexes) == kept
    assert [view.name for view in after.views] == [view.name for view in before.views]
    assert [(v.options, v.owner) for v in after.views] == [(v.options, v.owner) for v in before.views]
    assert scalar(rich, "SELECT count(*) FROM big_open_orders") == scalar(
        rich, "SELECT count(*) FROM orders WHERE status = 'new' AND amount > 500"
    )


@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_going_back_leaves_the_table_as_it_was(rich: str, recipe: str) -> None:
    before, names, rows = inventory(rich), relations(rich), rows_of(rich)
    converted(rich, planned(rich, recipe))  # type: ignore[arg-type]
    acted(rich, "roll_back")
    assert differences(before, inventory(rich)) == ()
    assert relations(rich) == names
    assert rows_of(rich) == rows


def test_partitions_have_what_a_parent_cannot_pass_on(rich: str) -> None:
    converted(rich, planned(rich))
    assert (
        scalar(rich, "SELECT reloptions::text FROM pg_class WHERE relname = 'orders_p2026_11'")
        == "{fillfactor=80}"
    )
    assert scalar(
        rich, "SELECT indisunique FROM pg_index WHERE indexrelid = 'orders_p2026_11_orders_ext_ref'::regclass"
    )
    comment = scalar(rich, "SELECT obj_description('orders_p2026_11'::regclass)")
    assert comment == "made by evolve: partition of orders"


@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_numbers_go_on_counting(url: str, recipe: str) -> None:
    converted(url, planned(url, recipe))  # type: ignore[arg-type]
    new = scalar(url, "INSERT INTO orders (tenant_id, customer_id, region) VALUES (1, 1, 'eu') RETURNING id")
    assert isinstance(new, int)
    assert new > 3_000
    assert "orders_id_seq" in relations(url)


@pytest.mark.parametrize("recipe", ["copy", "attach"])
@pytest.mark.parametrize("column", ["serial", "bigint GENERATED ALWAYS AS IDENTITY"])
def test_serial_and_identity_always(database_url: str, recipe: str, column: str) -> None:
    execute(
        database_url,
        f"CREATE TABLE events (id {column} PRIMARY KEY, at timestamptz NOT NULL);"
        "INSERT INTO events (at)"
        " SELECT timestamptz '2026-10-01' + g * interval '1 hour' FROM generate_series(1, 500) g",
    )
    events = QualifiedName("events")
    conversion = planned(
        database_url,
        recipe,  # type: ignore[arg-type]
        {"key": "at", "interval": "1 month"},
        {},
        events,
    )
    converted(database_url, conversion)
    execute(database_url, "UPDATE events SET at = at + interval '40 days' WHERE id = 3")
    assert scalar(database_url, "INSERT INTO events (at) VALUES ('2026-11-11') RETURNING id > 500") is True
    owner = scalar(database_url, "SELECT pg_get_serial_sequence('events', 'id')")
    assert owner == "public.events_id_seq"


def test_unique_key_can_be_widened(url: str) -> None:
    converted(url, planned(url, unique={"orders_ext_ref": "widen"}))
    assert scalar(url, "SELECT pg_get_indexdef('orders_ext_ref'::regclass)") == (
        "CREATE UNIQUE INDEX orders_ext_ref ON ONLY public.orders USING btree (ext_ref, created_at)"
    )


@pytest.mark.parametrize("answer", ["widen", "per-partition"])
@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_unique_constraints_are_answered_too(url: str, recipe: str, answer: str) -> None:
    execute(url, "ALTER TABLE orders ADD CONSTRAINT ref_once UNIQUE USING INDEX orders_ext_ref")
    before = inventory(url)
    converted(url, planned(url, recipe, unique={"ref_once": answer}))  # type: ignore[arg-type, dict-item]
    assert (answer == "widen") == any(key.name == "ref_once" for key in inventory(url).keys)
    acted(url, "roll_back")
    assert differences(before, inventory(url)) == ()


def test_integer_key_keeps_the_primary_key(url: str) -> None:
    conversion = planned(url, options={"key": "id", "interval": 1000})
    converted(url, conversion)
    assert inventory(url).keys[0].columns == ("id",)
    assert scalar(url, "SELECT count(*) FROM orders_p1000") == 1000


@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_names_that_need_quotes(database_url: str, recipe: str) -> None:
    quoted = '"My App"."Order ""Lines"" 100%"'
    execute(
        database_url,
        f"""
        CREATE SCHEMA "My App";
        CREATE TABLE {quoted} (
            "Id" bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "When" date NOT NULL, "%s" text);
        CREATE INDEX "Ünique %" ON {quoted} ("%s");
        INSERT INTO {quoted} ("When", "%s") SELECT date '2026-10-01' + g % 60, 'x' || g FROM generate_series(1, 300) g
        """,
    )
    table = QualifiedName('Order "Lines" 100%', "My App")
    converted(database_url, planned(database_url, recipe, {"key": "When", "interval": "week"}, {}, table))  # type: ignore[arg-type]
    assert scalar(database_url, f"SELECT count(*) FROM {quoted}") == 300


# -- kills ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("moment", "then"),
    [
        ("begins", "resume"),
        ("ends", "roll_back"),
        pytest.param("ends", "resume", marks=pytest.mark.long),
        pytest.param("begins", "roll_back", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("recipe", ["copy", "attach"])
def test_killed_at_every_step(
    make_template: MakeTemplate,
    make_database: MakeDatabase,
    recipe: str,
    moment: str,
    then: str,
) -> None:
    template = make_template("few rich orders", lambda url: make_orders(url, 500, extras=True))
    step = 0
    while True:
        url = make_database(template)
        before, names = inventory(url), relations(url)
        status = killed(url, recipe, "convert", step=step, moment=moment)  # type: ignore[arg-type]
        if status == 0:
            break
        execute(url, f"UPDATE orders SET note = 'between' WHERE id = {step + 1}")
        rows = rows_of(url)
        record = acted(url, then)  # type: ignore[arg-type]
        assert rows_of(url) == rows, f"after step {step}"
        if then == "roll_back":
            assert record.state == "abandoned"
            assert relations(url) == names, f"after step {step}"
            assert differences(before, inventory(url)) == (), f"after step {step}"
        else:
            assert record.state == "swapped"
            assert record.complete("forward")
            if recipe == "copy":
                assert rows_of(url, "orders_evolve_old") == rows
        step += 1
    assert step == len(planned_steps(make_database(template), recipe))


def planned_steps(url: str, recipe: str) -> tuple[object, ...]:
    return planned(url, recipe, YEARS).forward  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recipe", "moment"),
    [
        ("copy", "begins"),
        ("attach", "ends"),
        pytest.param("copy", "ends", marks=pytest.mark.long),
        pytest.param("attach", "begins", marks=pytest.mark.long),
    ],
)
def test_killed_on_the_way_back_and_at_the_end(
    make_template: MakeTemplate, make_database: MakeDatabase, recipe: str, moment: str
) -> None:
    template = make_template("few rich orders", lambda url: make_orders(url, 500, extras=True))
    for action, track in (("roll_back", "back"), ("roll_back", "abandon"), ("finish", "finish")):
        step = 0
        while True:
            url = make_database(template)
            before = inventory(url)
            converted(url, planned(url, recipe, YEARS))  # type: ignore[arg-type]
            rows = rows_of(url)
            if killed(url, recipe, action, track=track, step=step, moment=moment) == 0:  # type: ignore[arg-type]
                break
            try:
                record = acted(url, "resume")
            except NoConversion:
                assert moment == "ends"  # it was the last step: nothing is left to resume
            else:
                assert record.state == ("finished" if action == "finish" else "abandoned")
            assert rows_of(url) == rows
            if action == "roll_back":
                assert differences(before, inventory(url)) == ()
            step += 1
        assert step > 0


def test_killed_again_and_again_in_the_copy_under_writers(many: str) -> None:
    dice = random.Random()

    def copied() -> int:
        rows = scalar(
            many, "SELECT coalesce((SELECT rows FROM evolve.partition_step WHERE name = 'copy'), 0)"
        )
        assert isinstance(rows, int)
        return rows

    with writers(many, rows=60_000) as traffic:
        killed_at = []
        for number, action in enumerate(("convert", "resume", "resume"), 1):
            before = copied() if killed_at else 0
            # However slow this process is to look, the copy does not come to its end meanwhile.
            with held(many, beyond=15_000 * number):
                process = started(many, "copy", action)
                wait_until(
                    lambda: scalar(many, "SELECT to_regclass('evolve.partition_step') IS NOT NULL") is True
                )
                wait_until(lambda b=before: copied() > b)  # type: ignore[misc]
                time.sleep(dice.uniform(0.0, 0.1))
                process.send_signal(signal.SIGKILL)
                process.communicate()
            killed_at.append(copied())
        record = acted(many, "resume")
        time.sleep(0.2)
    print(  # noqa: T201 - shown with -s
        f"killed after {killed_at} rows; {traffic.done} transactions, longest {traffic.longest * 1000:.0f} ms"
    )
    assert record.state == "swapped"
    assert traffic.errors == []
    assert rows_of(many) == rows_of(many, "orders_evolve_old")


# -- what may come between --------------------------------------------------------------------------------------------
def at_step(name: str, action: Callable[[], None]) -> Watcher:
    class Acts(Watcher):
        def begins(self, track: object, step: object, number: int, total: int) -> None:
            if getattr(step, "name", "") == name and name not in self.begun:
                self.begun.append(name)
                action()

    return Acts()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE orders ADD COLUMN extra int", "+extra"),
        ("CREATE INDEX surprise ON orders (note)", "+surprise"),
        ("GRANT SELECT ON orders TO PUBLIC", "grants"),
        ("CREATE VIEW v AS SELECT id FROM orders", "views"),
    ],
)
def test_a_change_of_the_table_stops_the_swap(url: str, change: str, told: str) -> None:
    watcher = at_step("swap", lambda: execute(url, change))
    with pytest.raises(TableChanged) as refusal:
        converted(url, planned(url), watcher)
    assert told in refusal.value.what
    rows = rows_of(url)
    acted(url, "roll_back")
    assert rows_of(url) == rows


def test_rows_that_differ_stop_the_swap(url: str) -> None:
    def cheat() -> None:
        execute(
            url,
            "SET session_replication_role = replica; ALTER TABLE orders DISABLE TRIGGER ALL;"
            "UPDATE orders SET note = 'past the trigger' WHERE id = 1234; ALTER TABLE orders ENABLE TRIGGER ALL",
        )

    with pytest.raises(RowsDiffer, match="1234"):
        converted(url, planned(url), at_step("verify", cheat))


def test_a_logical_replication_subscriber_is_followed_too(url: str) -> None:
    """Its sessions have session_replication_role = replica, under which ordinary triggers are silent."""

    def replicate() -> None:
        execute(
            url,
            "SET session_replication_role = replica; UPDATE orders SET note = 'replicated' WHERE id = 1234",
        )

    converted(url, planned(url), at_step("verify", replicate))
    assert rows_of(url) == rows_of(url, "orders_evolve_old")


def test_an_old_snapshot_holds_the_swap_back(url: str) -> None:
    with psycopg.connect(url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT count(*) FROM customers")
        with pytest.raises(GaveUp, match="transactions that began before the copy ended"):
            converted(url, planned(url), budget=1.0)
        assert old.execute("SELECT count(*) FROM orders").fetchone() == (3_000,)
    assert acted(url, "resume").state == "swapped"


def test_sessions_of_which_a_role_may_not_see_much_are_waited_for_until_their_transaction_ends(
    url: str,
) -> None:
    execute(
        url,
        """
        DO $$ BEGIN CREATE ROLE orders_stranger LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO orders_stranger', current_database()); END $$;
        GRANT CREATE ON SCHEMA public TO orders_stranger; GRANT REFERENCES ON customers TO orders_stranger;
        ALTER TABLE orders OWNER TO orders_stranger
        """,
    )
    stranger = make_conninfo(url, user="orders_stranger", password="x")  # noqa: S106 - on a scratch server

    class Ends(Watcher):
        def waits(self, step: Step, reason: str, seconds: float) -> None:
            super().waits(step, reason, seconds)
            old.rollback()

    watcher = Ends()
    with psycopg.connect(url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT count(*) FROM customers")
        pid = old.info.backend_pid
        assert converted(stranger, planned(stranger), watcher).state == "swapped"
    assert any(f"pid {pid}" in reason for reason in watcher.waited)


def test_timeouts_that_a_database_sets_for_its_application_do_not_end_a_conversion(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        database = connection.info.dbname
        connection.execute(f"ALTER DATABASE {database} SET idle_session_timeout = '200ms'".encode())
        connection.execute(f"ALTER DATABASE {database} SET statement_timeout = '5s'".encode())
    watcher = at_step("verify", lambda: time.sleep(1.0))
    assert converted(url, planned(url), watcher).state == "swapped"


def test_a_long_reader_makes_the_swap_wait_and_lets_writers_pass(url: str) -> None:
    with psycopg.connect(url) as reader, writers(url) as traffic:

        def read() -> None:
            reader.execute("SELECT count(*) FROM orders")
            threading.Timer(3.0, reader.rollback).start()

        watcher = at_step("swap", read)
        record = converted(url, planned(url), watcher)
    print(f"longest {traffic.longest * 1000:.0f} ms, {len(watcher.waited)} waits")  # noqa: T201 - shown with -s
    assert record.state == "swapped"
    assert traffic.errors == []
    assert any("held by" in reason for reason in watcher.waited)
    assert traffic.longest < 1.5  # a lock timeout of 500 ms on two busy cores, not the reader's 3 s


def test_gives_up_when_the_lock_is_never_to_be_had(url: str) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE orders IN ROW EXCLUSIVE MODE")
        pid = holder.info.backend_pid
        with pytest.raises(GaveUp, match="every write to orders") as refusal:
            converted(url, planned(url), budget=1.5)
    assert f"pid {pid}" in str(refusal.value.why)
    assert acted(url, "roll_back").state == "abandoned"


def test_one_conversion_at_a_time(url: str) -> None:
    with conversion_lock(url, ORDERS), pytest.raises(ConversionBusy, match="pid"):
        acted(url, "resume")


def test_a_second_conversion_is_refused(url: str) -> None:
    converted(url, planned(url))
    with pytest.raises(ConversionExists):
        planned(url)


def test_finish_drops_the_old_table_and_leaves_no_trace(url: str) -> None:
    converted(url, planned(url))
    record = acted(url, "finish")
    assert record.state == "finished"
    assert not [name for name in relations(url) if "evolve" in name]
    assert scalar(url, "SELECT count(*) FROM pg_proc WHERE proname LIKE 'partition_%'") == 0
    with pytest.raises(NoConversion):
        acted(url, "roll_back")


def test_finish_before_the_end_is_refused(url: str) -> None:
    killed(url, "copy", "convert", step=3, moment="begins")
    with pytest.raises(NotSwapped):
        acted(url, "finish")


def test_roll_back_in_the_midst_of_finish_is_refused(url: str) -> None:
    converted(url, planned(url, options=YEARS))
    killed(url, "copy", "finish", track="finish", step=0, moment="ends")
    with pytest.raises(CannotRollBack):
        acted(url, "roll_back")


def test_attached_table_cannot_go_back_once_rows_passed_its_bound(url: str) -> None:
    converted(url, planned(url, "attach"))
    execute(
        url,
        "INSERT INTO orders (tenant_id, customer_id, region, created_at) VALUES (1, 1, 'eu', '2027-02-02')",
    )
    with pytest.raises(RowsPassedTheBound):
        acted(url, "roll_back")
    assert len(rows_of(url)) == 3_001
    assert acted(url, "finish").state == "finished"
    assert not [name for name in relations(url) if "evolve" in name]


def test_rows_of_a_partition_that_upkeep_made_since_stand_in_the_way_back(url: str) -> None:
    converted(url, planned(url, "attach"))
    execute(
        url,
        """
        CREATE TABLE orders_p2031 PARTITION OF orders FOR VALUES FROM ('2031-01-01') TO ('2032-01-01');
        INSERT INTO orders (tenant_id, customer_id, region, created_at) VALUES (1, 1, 'eu', '2031-02-02')
        """,
    )
    with pytest.raises(RowsPassedTheBound, match="orders_p2031"):
        acted(url, "roll_back")
    assert len(rows_of(url)) == 3_001


def test_a_duplicate_within_a_partition_fails_the_step_and_can_be_mended(database_url: str) -> None:
    make_orders(database_url, 300)
    conversion = planned(database_url)
    execute(database_url, "CREATE TABLE orders_p2026_10 (id int)")
    with pytest.raises(StepFailed, match="already exists"):
        converted(database_url, conversion)
    execute(database_url, "DROP TABLE orders_p2026_10")
    assert acted(database_url, "resume").state == "swapped"


def test_no_session_is_left_behind(url: str) -> None:
    converted(url, planned(url))
    wait_until(
        lambda: (
            scalar(
                url,
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'evolve%'"
                " AND datname = current_database()",
            )
            == 0
        )
    )
