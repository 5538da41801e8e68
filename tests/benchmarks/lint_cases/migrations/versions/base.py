"""What every case starts from; it holds rows and is in use."""

from alembic import op

revision = "base_schema"
down_revision = None


def upgrade():
    op.execute("CREATE TYPE order_status AS ENUM ('new', 'paid')")
    op.execute("CREATE DOMAIN percent AS integer CHECK (VALUE BETWEEN 0 AND 100)")
    op.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY, name varchar(50), email varchar(50) NOT NULL, age smallint, "
        "motto text, code varchar(20))"
    )
    op.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL, total numeric(10,2) NOT NULL, "
        "status order_status NOT NULL DEFAULT 'new', note text, placed timestamp, quantity integer, rebate percent)"
    )
    op.execute("CREATE INDEX orders_user_id ON orders (user_id)")
    op.execute("CREATE INDEX users_code ON users (code)")
    op.execute("CREATE TABLE parcels (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, weight real)")
    op.execute(
        "CREATE TABLE events (id bigint NOT NULL, year integer NOT NULL, kind text) PARTITION BY RANGE (year)"
    )
    op.execute("CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM (2025) TO (2026)")
    op.execute("CREATE TABLE events_rest PARTITION OF events DEFAULT")
    op.execute("CREATE TABLE events_2026 (LIKE events)")
    op.execute("CREATE VIEW big_orders AS SELECT id, total FROM orders WHERE total > 100")
    op.execute(
        "CREATE MATERIALIZED VIEW sums AS SELECT user_id, sum(total) AS total FROM orders GROUP BY user_id"
    )
    op.execute("CREATE UNIQUE INDEX sums_user_id ON sums (user_id)")
    op.execute(
        "INSERT INTO users "
        "SELECT n, 'user ' || n, n || '@example.org', 30, 'motto', 'c' || n FROM generate_series(1, 500) n"
    )
    op.execute(
        "INSERT INTO orders SELECT n, n, n, 'new', 'note', '2026-01-01', 1, 5 FROM generate_series(1, 500) n"
    )
    op.execute("INSERT INTO parcels SELECT n, n, 1 FROM generate_series(1, 500) n")
    op.execute("INSERT INTO events SELECT n, 2025, 'click' FROM generate_series(1, 500) n")
    op.execute("INSERT INTO events SELECT n, 2030, 'click' FROM generate_series(501, 600) n")
    op.execute("INSERT INTO events_2026 SELECT n, 2026, 'click' FROM generate_series(1, 500) n")
    op.execute("REFRESH MATERIALIZED VIEW sums")
