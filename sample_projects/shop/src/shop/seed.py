"""Fill an empty shop of release 1 with users and two years of orders: `python -m shop.seed --size demo`."""

from __future__ import annotations

import argparse
import os
import sys
import time

from sqlalchemy import Connection, text

from shop.database import create_engine

SIZES = {"small": (2_000, 10_000), "demo": (200_000, 1_000_000), "large": (2_000_000, 10_000_000)}

# Everything but the clock comes from the row's own number, so that every run makes the same shop.
USERS = text("""
    INSERT INTO users (id, email, name, created_at)
    SELECT n,
           'user' || n || '@shop.example',
           (ARRAY['Ada', 'Alan', 'Barbara', 'Donald', 'Edgar', 'Grace'])[1 + n * 104729 % 6]
             || ' ' ||
           (ARRAY['Codd', 'Dijkstra', 'Hopper', 'Knuth', 'Liskov', 'Lovelace', 'Turing'])[1 + n * 7919 % 7],
           now() - interval '730 days' * ((:users - n)::float8 / :users)
    FROM generate_series(1::bigint, :users) AS n
""")
# Two orders in three have no note: only today's releases write one with every order.
ORDERS = text("""
    INSERT INTO orders (id, user_id, status, total, note, created_at)
    SELECT n,
           1 + n * 2654435761 % :users,
           (ARRAY['new', 'paid', 'shipped', 'delivered', 'cancelled'])[1 + n * 40503 / 7 % 5],
           (100 + n * 7919 % 49999)::numeric / 100,
           CASE WHEN n % 3 = 0 THEN 'order ' || n END,
           now() - interval '730 days' * ((:orders - n)::float8 / :orders)
    FROM generate_series(1::bigint, :orders) AS n
""")
RELATIONS_OF_ORDERS = text("""
    SELECT format('ALTER TABLE orders DROP CONSTRAINT %I', conname),
           format('ALTER TABLE orders ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid = 'orders'::regclass AND contype = 'f'
    UNION ALL
    SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    FROM pg_index WHERE indrelid = 'orders'::regclass AND NOT indisprimary
""")


def seed(connection: Connection, users: int, orders: int) -> None:
    """Insert ids 1, 2, 3, …; the next id handed out follows them. Runs in the caller's transaction.

    Orders go in without their foreign key and second indexes, which are made again afterwards: half the time.
    """
    relations = connection.execute(RELATIONS_OF_ORDERS).all()
    connection.execute(USERS, {"users": users})
    for drop, _ in relations:
        connection.exec_driver_sql(drop)
    connection.execute(ORDERS, {"users": users, "orders": orders})
    for _, create in relations:
        connection.exec_driver_sql(create)
    for table in ("users", "orders"):
        connection.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
        )


def is_empty(connection: Connection) -> bool:
    return connection.exec_driver_sql("SELECT NOT EXISTS (SELECT FROM users)").scalar_one()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shop.seed", description=__doc__)
    parser.add_argument("--database-url", default=os.environ.get("SHOP_DATABASE_URL"))
    parser.add_argument("--size", choices=SIZES, default="demo")
    parser.add_argument("--users", type=int, help="instead of the size's")
    parser.add_argument("--orders", type=int, help="instead of the size's")
    options = parser.parse_args()
    if not options.database_url:
        parser.error("give --database-url or set SHOP_DATABASE_URL")
    users, orders = SIZES[options.size]
    users = users if options.users is None else options.users
    orders = orders if options.orders is None else options.orders
    if min(users, orders) < 0 or (orders and not users):
        parser.error("orders need users, and neither can be fewer than none")

    engine = create_engine(options.database_url, application_name="shop-seed")
    started = time.monotonic()
    with engine.begin() as connection:
        if not is_empty(connection):
            print("error: this shop already has users; seed an empty one", file=sys.stderr)
            return 1
        seed(connection, users, orders)
    # Leaves nothing for autovacuum to do in the middle of a demonstration.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE) users, orders")
    print(f"{users:,} users and {orders:,} orders in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
