"""Each move of each method while clients write and change keys: nothing is lost, hidden or refused."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import pytest
from support.conversion import MONTHS, ORDERS, acted, converted
from support.orders import NOW, execute, make_orders, scalar, writers
from support.servers import MakeDatabase, MakeTemplate

from evolve.app import convert_table
from evolve.app.move_partitions import MoveWish, plan_move
from evolve.partition.conversion import Move
from evolve.partition.plan import Wish

pytestmark = pytest.mark.server

ROWS = 8_000
COLUMNS = "id, created_at, amount, status, note, ext_ref, region, amount_cents"


@dataclass(frozen=True)
class Case:
    """
    Args:
        method, options: of the conversion that the table comes from.
        after: statements that follow it.
        key: the primary key, for upserts.
        moves: a statement that takes a row to another partition; %s is its id.
    """

    method: str
    options: dict[str, object]
    command: Move
    partitions: tuple[str, ...]
    how: dict[str, object]
    key: str
    moves: str
    after: str = ""


REGION = "UPDATE orders SET region = CASE region WHEN 'eu' THEN 'us' WHEN 'us' THEN 'apac' ELSE 'eu' END WHERE id = %s"
NUMBER = "UPDATE orders SET id = 3000000 - id WHERE id = %s"
MONTH = "UPDATE orders SET created_at = created_at - interval '33 days' WHERE id = %s AND created_at > '2026-07-05'"
SINGLE = {"eu": ["eu"], "us": ["us"], "apac": ["apac"]}


def listed(
    command: Move, partitions: tuple[str, ...], how: dict[str, object], sets: object, after: str = ""
) -> Case:
    return Case(
        "list", {"key": "region", "values": sets}, command, partitions, how, "id, region", REGION, after
    )


CASES = {
    "range split": Case(
        "range", dict(MONTHS), "split", ("orders_p2026_08",), {"interval": "week"}, "id, created_at", MONTH
    ),
    "range merge": Case(
        "range", dict(MONTHS), "merge", ("orders_p2026_07", "orders_p2026_08"), {}, "id, created_at", MONTH
    ),
    "list split": listed(
        "split",
        ("orders_both",),
        {"values": {"eu": ["eu"], "us": ["us"]}},
        {"both": ["eu", "us"], "apac": ["apac"]},
    ),
    "list merge": listed("merge", ("orders_eu", "orders_us"), {}, SINGLE),
    "list drain": listed(
        "drain",
        (),
        {"values": {"us": ["us"]}},
        {"eu": ["eu"], "rest": ["us", "apac"]},
        "ALTER TABLE orders DETACH PARTITION orders_rest; ALTER TABLE orders ATTACH PARTITION orders_rest DEFAULT",
    ),
    "hash split": Case(
        "hash", {"key": "id", "modulus": 4}, "split", ("orders_h4_1",), {"into": 2}, "id", NUMBER
    ),
    "hash merge": Case(
        "hash", {"key": "id", "modulus": 4}, "merge", ("orders_h4_1", "orders_h4_3"), {}, "id", NUMBER
    ),
    "hash rehash": Case("hash", {"key": "id", "modulus": 4}, "rehash", (), {"modulus": 3}, "id", NUMBER),
}
QUICK = ("list split",)


def prepared(url: str, case: Case) -> None:
    make_orders(url, ROWS)
    # Unique within each partition could not hold in one that takes the rows of several.
    execute(url, "DROP INDEX orders_ext_ref; CREATE INDEX orders_ext_ref ON orders (ext_ref)")
    wish = Wish(ORDERS, case.method, case.options, "copy")
    converted(url, convert_table.plan_conversion(url, wish, NOW))
    acted(url, "finish")
    if case.after:
        execute(url, case.after)
    execute(url, "ANALYZE orders")


@dataclass
class Movers:
    done: int = 0
    errors: list[str] = field(default_factory=list)


@contextmanager
def movers(url: str, case: Case) -> Iterator[Movers]:
    """A client that takes rows to other partitions and back, and upserts them, until the block ends."""
    told, stop = Movers(), threading.Event()

    def work() -> None:
        dice = random.Random(5)
        upsert = (
            "INSERT INTO orders (id, tenant_id, customer_id, region, created_at) SELECT id, tenant_id, customer_id,"
            f" region, created_at FROM orders WHERE id = %s ON CONFLICT ({case.key})"
            " DO UPDATE SET amount = orders.amount + 1, note = 'upserted'"
        )
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                statement = case.moves if dice.random() < 0.6 else upsert
                try:
                    connection.execute(statement.encode(), (dice.randint(1, ROWS),))
                except psycopg.Error as error:
                    told.errors.append(str(error))
                told.done += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join()


def hashed(url: str, source: str) -> object:
    return scalar(
        url,
        "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)"
        f" FROM (SELECT {COLUMNS} FROM {source}) AS t",
    )


def of_plan(url: str) -> str:
    """The new partitions together, as SQL."""
    names = scalar(
        url,
        "SELECT string_agg(format('SELECT * FROM %I', p ->> 'name'), ' UNION ALL ') FROM evolve.partition_conversion,"
        " jsonb_array_elements(plan -> 'partitions') AS p WHERE state = 'swapped'",
    )
    return f"({names}) AS new"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in CASES]
)
def test_nothing_is_lost_hidden_or_refused(
    make_template: MakeTemplate, make_database: MakeDatabase, name: str
) -> None:
    case = CASES[name]
    url = make_database(make_template(f"{name} {ROWS}", lambda url: prepared(url, case)))
    # Rows that nobody writes: they are in sight at every moment.
    untouched = f"SELECT count(*) FROM orders WHERE id BETWEEN {ROWS + 1} AND {ROWS + 500}"
    execute(
        url,
        "INSERT INTO orders (id, tenant_id, customer_id, region, created_at) SELECT g, 1, 1,"
        " (ARRAY['eu', 'us', 'apac'])[1 + g % 3], timestamptz '2026-07-15' + g % 40 * interval '1 day'"
        f" FROM generate_series({ROWS + 1}, {ROWS + 500}) AS g;"
        "SELECT setval(pg_get_serial_sequence('orders', 'id'), 100000)",
    )
    seen, stop = set(), threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                row = connection.execute(untouched.encode()).fetchone()
                seen.add(row[0] if row else None)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        with (
            writers(url, clients=2, rows=ROWS, keys=case.method == "range") as traffic,
            movers(url, case) as moved,
        ):
            wish = MoveWish(ORDERS, case.command, case.partitions, case.how)
            record = converted(url, plan_move(url, {}, wish, NOW), budget=60.0)
            after = moved.done
            while moved.done < after + 50 and not moved.errors:
                stop.wait(0.01)
    finally:
        stop.set()
        reader.join()
    assert record.state == "swapped"
    assert (traffic.errors, moved.errors) == ([], [])
    assert seen == {500}
    assert hashed(url, of_plan(url)) == hashed(url, "orders_evolve_new")
    assert scalar(url, "SELECT count(*) = count(DISTINCT ext_ref) FROM orders") is True
    whole = hashed(url, "orders")
    acted(url, "roll_back")
    assert hashed(url, "orders") == whole
