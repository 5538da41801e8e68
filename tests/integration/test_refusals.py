"""Statements that are refused, or nearly, and what they read: the linter says what the server does."""

from __future__ import annotations

import pytest
from support.recordings import recording

from evolve.app.verify_revisions import verify_on
from evolve.lint.rules import ALL
from evolve.postgres.scratch import Server

pytestmark = pytest.mark.server

BASE = (
    "CREATE TYPE status AS ENUM ('new', 'paid')",
    "CREATE TABLE users (id bigint PRIMARY KEY, name varchar(50), email varchar(50) NOT NULL, age int)",
    "INSERT INTO users SELECT n, 'u'||n, 'e'||n, n FROM generate_series(1,100) n",
    "CREATE TABLE orders (id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, note text, "
    "total numeric(10,2) NOT NULL, placed timestamp, status status NOT NULL DEFAULT 'new', qty int)",
    "INSERT INTO orders (user_id, note, total, qty) SELECT n, 'b', n, n FROM generate_series(1,100) n",
    "CREATE TABLE li (id bigint NOT NULL, k text NOT NULL, PRIMARY KEY (id, k)) PARTITION BY LIST (k)",
)
TEXTS = (
    "CREATE TABLE keys (id text PRIMARY KEY)",
    "INSERT INTO keys SELECT n FROM generate_series(1,50) n",
    "CREATE TABLE refs (id int, a text REFERENCES keys)",
    "INSERT INTO refs SELECT n, n FROM generate_series(1,50) n",
)
DOMAIN = (
    "CREATE DOMAIN pos AS int",
    "CREATE TABLE dt (id int, p pos)",
    "INSERT INTO dt SELECT n, n FROM generate_series(1,50) n",
    "CREATE MATERIALIZED VIEW dm AS SELECT p FROM dt",
)


def defaulted(key: str, check: str, value: str) -> tuple[str, ...]:
    """A table with rows in its DEFAULT partition, which has a CHECK."""
    return (
        f"CREATE TABLE pk (id int, k {key}) PARTITION BY {'RANGE' if key == 'bigint' else 'LIST'} (k)",
        "CREATE TABLE pk_d PARTITION OF pk DEFAULT",
        f"ALTER TABLE pk_d ADD CHECK ({check})",
        f"INSERT INTO pk SELECT n, {value} FROM generate_series(1,50) n",
    )


# What is there before, and the statement of the revision.
CASES: list[tuple[tuple[str, ...], str]] = [
    ((), "ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'gone'"),
    ((), "ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'paid'"),
    ((), "ALTER TABLE orders ADD COLUMN n varchar(3) DEFAULT 'abcdef'"),
    ((), "CREATE TABLE xx (n varchar(3) DEFAULT 'abcdef')"),
    ((), "ALTER TABLE users ALTER COLUMN age SET DEFAULT 'abc'"),
    ((), "ALTER TABLE users ALTER COLUMN age TYPE text, ALTER COLUMN age SET DEFAULT 'abc'"),
    ((), "CREATE TABLE xx (a boolean DEFAULT 1)"),
    ((), "CREATE TABLE xx (a timestamptz DEFAULT 'now()', b text DEFAULT 5, c jsonb DEFAULT '{}')"),
    ((), "CREATE TABLE xx (a int DEFAULT b, b int)"),
    ((), "ALTER TABLE users ADD COLUMN n int UNIQUE DEFAULT 0"),
    ((), "ALTER TABLE users ADD COLUMN n int UNIQUE DEFAULT NULL"),
    ((), "ALTER TABLE users ADD COLUMN n uuid UNIQUE DEFAULT gen_random_uuid()"),
    ((), "ALTER TABLE users ADD COLUMN n int DEFAULT 0, ADD UNIQUE (n)"),
    ((), "ALTER TABLE users ADD COLUMN n int DEFAULT 0, ADD UNIQUE (n, id)"),
    ((), "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (user_id, qty) REFERENCES users"),
    ((), "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id, name)"),
    ((), "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (status) REFERENCES users (id)"),
    (TEXTS, "ALTER TABLE orders ADD COLUMN ss text[] REFERENCES keys"),
    (TEXTS, "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (status) REFERENCES keys NOT VALID"),
    ((), "CREATE INDEX ig ON users USING gin (name)"),
    ((), "CREATE INDEX ig ON orders USING gin (to_tsvector('english', note))"),
    ((), "CREATE INDEX ig ON orders USING brin (placed)"),
    ((), "CREATE UNIQUE INDEX ig ON users USING hash (name)"),
    ((), "CREATE INDEX ig ON users USING hash (name, age)"),
    ((), "ALTER TABLE users ADD COLUMN j json UNIQUE"),
    ((), "CREATE TABLE xx (a json) PARTITION BY RANGE (a)"),
    ((), "ALTER TABLE users ADD EXCLUDE USING gist (id WITH =)"),
    (("CREATE INDEX nu ON users (name)",), "ALTER TABLE users ADD UNIQUE USING INDEX nu"),
    (("CREATE UNIQUE INDEX nu ON users (name)",), "ALTER TABLE users ADD UNIQUE USING INDEX nu"),
    (("CREATE UNIQUE INDEX nu ON users (name)",), "ALTER TABLE orders ADD UNIQUE USING INDEX nu"),
    (
        ("CREATE UNIQUE INDEX nu ON users (name) WHERE age > 3",),
        "ALTER TABLE users ADD UNIQUE USING INDEX nu",
    ),
    (("CREATE UNIQUE INDEX nu ON users (lower(name))",), "ALTER TABLE users ADD UNIQUE USING INDEX nu"),
    (("CREATE UNIQUE INDEX nu ON users (name DESC)",), "ALTER TABLE users ADD UNIQUE USING INDEX nu"),
    ((), "ALTER TABLE orders ADD UNIQUE USING INDEX nothing"),
    ((), "CREATE TABLE xx (a int) PARTITION BY RANGE (b)"),
    ((), "CREATE TABLE xx (a int, PRIMARY KEY (b))"),
    ((), "CREATE TABLE xx (a int, CHECK (b > 0))"),
    ((), "CREATE TABLE xx (a int, CHECK (xx IS NOT NULL)) PARTITION BY RANGE ((a + 1))"),
    ((), "CREATE TABLE xx (LIKE users, UNIQUE (name))"),
    ((), "CREATE TABLE xx (a int GENERATED ALWAYS AS (b + 1) STORED)"),
    ((), "CREATE TABLE xx (a int, a text)"),
    ((), "ALTER TABLE users ADD COLUMN g int CHECK (nothing > 1)"),
    ((), "ALTER TABLE users ADD COLUMN g int CHECK (g > age) DEFAULT 200"),
    ((), "CREATE INDEX ig ON users (lower(nothing))"),
    ((), "CREATE INDEX ig ON users (age) WHERE nothing"),
    (
        defaulted("text", "k IN ('a', 'b')", "'a'"),
        "CREATE TABLE pk_z PARTITION OF pk FOR VALUES IN ('x', 'y')",
    ),
    (
        defaulted("bigint", "k IN (1, 2)", "2"),
        "CREATE TABLE pk_z PARTITION OF pk FOR VALUES FROM (9) TO (20)",
    ),
    (defaulted("bigint", "k = 2", "2"), "CREATE TABLE pk_z PARTITION OF pk FOR VALUES FROM (3) TO (20)"),
    (
        defaulted("bigint", "k IN (1, 2)", "2"),
        "CREATE TABLE pk_z PARTITION OF pk FOR VALUES FROM (-9) TO (1)",
    ),
    (DOMAIN, "ALTER DOMAIN pos ADD CHECK (VALUE > 0)"),
    (TEXTS, 'ALTER TABLE refs ALTER COLUMN a TYPE text COLLATE "C"'),
    (TEXTS, 'ALTER TABLE keys ALTER COLUMN id TYPE text COLLATE "C"'),
    (TEXTS, "ALTER TABLE keys ALTER COLUMN id TYPE varchar(10)"),
]


@pytest.mark.parametrize(
    ("before", "statement"),
    [
        # A fourth of them in a quick run: each takes a database of its own.
        pytest.param(*case, id=case[1], marks=() if number % 4 == 0 else pytest.mark.long)
        for number, case in enumerate(CASES)
    ],
)
def test_the_linter_says_what_the_server_does(
    scratch_server: Server, before: tuple[str, ...], statement: str
) -> None:
    made = recording("before", *BASE, *before, transaction=None)
    asked = recording("asked", statement)

    verification = verify_on(scratch_server, [made, asked], {"asked"}, ALL, together=True)

    assert [difference.message for difference in verification.differences] == []
    assert verification.notes == ()
