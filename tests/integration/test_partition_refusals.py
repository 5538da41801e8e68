"""Statements about partitions and what they share with their table: the linter says what the server does."""

from __future__ import annotations

import pytest
from support.recordings import recording

from evolve.app.verify_revisions import verify_on
from evolve.lint.rules import DEFAULT
from evolve.postgres.scratch import Server

pytestmark = pytest.mark.server

BASE = (
    "CREATE TYPE status AS ENUM ('new', 'paid')",
    "CREATE TABLE users (id bigint PRIMARY KEY, name varchar(50), email varchar(50) NOT NULL, age int)",
    "INSERT INTO users SELECT n, 'u'||n, 'e'||n, n FROM generate_series(1,100) n",
    "CREATE TABLE orders (id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, email text, note text, "
    "total numeric(10,2) NOT NULL, placed timestamp, status status NOT NULL DEFAULT 'new', qty int)",
    "CREATE INDEX by_user ON orders (user_id)",
    "INSERT INTO orders (user_id, email, note, total, qty) SELECT n, 'a', 'b', n, "
    "n FROM generate_series(1,100) n",
    "CREATE TABLE ev (id bigint NOT NULL, k int NOT NULL, v text, w int, "
    "user_id bigint, CONSTRAINT w_pos CHECK (w > 0)) PARTITION BY RANGE (k)",
    "CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE ev2 PARTITION OF ev FOR VALUES FROM (100) TO (200)",
    "CREATE INDEX ev_v ON ev (v)",
    "INSERT INTO ev SELECT n, n, 'v', n, n FROM generate_series(1,99) n",
    "CREATE TABLE li (id bigint NOT NULL, k text NOT NULL, v text, PRIMARY KEY (id, "
    "k)) PARTITION BY LIST (k)",
    "CREATE TABLE li_a PARTITION OF li FOR VALUES IN ('a', 'b')",
    "CREATE TABLE li_d PARTITION OF li DEFAULT",
    "INSERT INTO li SELECT n, 'a', 'v' FROM generate_series(1,50) n",
    "CREATE TABLE ha (id bigint NOT NULL, v text) PARTITION BY HASH (id)",
    "CREATE TABLE ha0 PARTITION OF ha FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE ha1 PARTITION OF ha FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "CREATE TABLE animal (id int, name text, legs int NOT NULL, CONSTRAINT legs_pos CHECK (legs >= 0))",
    "CREATE TABLE dog (breed text) INHERITS (animal)",
    "INSERT INTO dog SELECT n, 'rex', 4, 'x' FROM generate_series(1,10) n",
    "INSERT INTO animal SELECT n, 'rex', 4 FROM generate_series(1,10) n",
)

# What is there before, and the statements of the revision.
CASES: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((), ("ALTER TABLE ONLY ev ADD COLUMN z int",)),
    ((), ("ALTER TABLE ONLY animal ADD COLUMN z int",)),
    ((), ("ALTER TABLE ONLY dog ADD COLUMN z int",)),
    ((), ("ALTER TABLE ONLY users ADD COLUMN z int",)),
    ((), ("ALTER TABLE ONLY ev DROP COLUMN v",)),
    ((), ("ALTER TABLE ONLY animal DROP COLUMN name",)),
    ((), ("ALTER TABLE ONLY ev RENAME COLUMN v TO vv",)),
    ((), ("ALTER TABLE ONLY animal RENAME COLUMN name TO nn",)),
    ((), ("ALTER TABLE ONLY ev ALTER COLUMN v TYPE varchar(20)",)),
    ((), ("ALTER TABLE ONLY animal ALTER COLUMN name TYPE varchar(20)",)),
    ((), ("ALTER TABLE ONLY ev ADD CONSTRAINT c CHECK (w < 1000)",)),
    ((), ("ALTER TABLE ONLY ev ADD CONSTRAINT c CHECK (w < 1000) NOT VALID",)),
    ((), ("ALTER TABLE ONLY ev ADD CONSTRAINT c CHECK (w < 1000) NO INHERIT",)),
    ((), ("ALTER TABLE ONLY animal ADD CONSTRAINT c CHECK (legs < 1000)",)),
    ((), ("ALTER TABLE ONLY animal ADD CONSTRAINT c CHECK (legs < 1000) NO INHERIT",)),
    ((), ("ALTER TABLE ev ADD CONSTRAINT c CHECK (w < 1000) NO INHERIT",)),
    ((), ("ALTER TABLE ONLY ev ALTER COLUMN w SET NOT NULL",)),
    (
        (
            "ALTER TABLE ev1 ALTER COLUMN w SET NOT NULL",
            "ALTER TABLE ev2 ALTER COLUMN w SET NOT NULL",
        ),
        ("ALTER TABLE ONLY ev ALTER COLUMN w SET NOT NULL",),
    ),
    ((), ("ALTER TABLE ONLY animal ALTER COLUMN name SET NOT NULL",)),
    (("ALTER TABLE ev ALTER COLUMN w SET NOT NULL",), ("ALTER TABLE ONLY ev ALTER COLUMN w DROP NOT NULL",)),
    ((), ("ALTER TABLE ONLY animal ALTER COLUMN legs DROP NOT NULL",)),
    ((), ("ALTER TABLE dog ALTER COLUMN legs DROP NOT NULL",)),
    (("ALTER TABLE ev ALTER COLUMN w SET NOT NULL",), ("ALTER TABLE ev1 ALTER COLUMN w DROP NOT NULL",)),
    ((), ("ALTER TABLE ONLY ev ALTER COLUMN v SET DEFAULT 'x'",)),
    ((), ("ALTER TABLE ONLY ev ALTER COLUMN v DROP DEFAULT",)),
    ((), ("ALTER TABLE ONLY ev DROP CONSTRAINT w_pos",)),
    ((), ("ALTER TABLE ONLY animal DROP CONSTRAINT legs_pos",)),
    ((), ("ALTER TABLE ev1 DROP CONSTRAINT w_pos",)),
    ((), ("ALTER TABLE dog DROP CONSTRAINT legs_pos",)),
    ((), ("ALTER TABLE ONLY ev RENAME CONSTRAINT w_pos TO w_p",)),
    ((), ("ALTER TABLE ev1 RENAME CONSTRAINT w_pos TO w_p",)),
    ((), ("ALTER TABLE ONLY animal RENAME CONSTRAINT legs_pos TO w_p",)),
    (
        ("ALTER TABLE ev ADD CONSTRAINT c CHECK (w < 1000) NOT VALID",),
        ("ALTER TABLE ONLY ev VALIDATE CONSTRAINT c",),
    ),
    (
        ("ALTER TABLE animal ADD CONSTRAINT c CHECK (legs < 1000) NOT VALID",),
        ("ALTER TABLE ONLY animal VALIDATE CONSTRAINT c",),
    ),
    ((), ("ALTER TABLE ONLY ev ADD PRIMARY KEY (id, k)",)),
    (("ALTER TABLE ev1 ALTER COLUMN w SET NOT NULL",), ("ALTER TABLE ONLY ev ADD PRIMARY KEY (w, k)",)),
    ((), ("ALTER TABLE ONLY ev ADD UNIQUE (id, k)",)),
    ((), ("ALTER TABLE ONLY animal ADD PRIMARY KEY (id)",)),
    ((), ("ALTER TABLE ONLY animal ADD UNIQUE (id)",)),
    ((), ("ALTER TABLE ONLY ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",)),
    ((), ("ALTER TABLE ONLY orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",)),
    ((), ("ALTER TABLE ONLY animal ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES users",)),
    ((), ("ALTER TABLE ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users NOT VALID",)),
    ((), ("ALTER TABLE animal ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES users NOT VALID",)),
    (
        ("ALTER TABLE ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",),
        ("ALTER TABLE ONLY ev DROP CONSTRAINT fk",),
    ),
    (
        ("ALTER TABLE ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",),
        ("ALTER TABLE ev1 DROP CONSTRAINT fk",),
    ),
    (
        ("ALTER TABLE ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",),
        ("ALTER TABLE ev DROP CONSTRAINT fk",),
    ),
    ((), ("ALTER TABLE ONLY ev ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY",)),
    ((), ("ALTER TABLE ev ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY",)),
    ((), ("ALTER TABLE ev1 ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY",)),
    ((), ("ALTER TABLE ONLY animal ALTER COLUMN legs ADD GENERATED ALWAYS AS IDENTITY",)),
    ((), ("ALTER TABLE ONLY ev ALTER COLUMN v SET STATISTICS 100",)),
    ((), ("ALTER TABLE ONLY ev ALTER COLUMN v SET STORAGE EXTERNAL",)),
    ((), ("ALTER TABLE ONLY ev ADD COLUMN z serial",)),
    ((), ("ALTER TABLE ev ADD COLUMN z bigserial",)),
    ((), ("ALTER TABLE ev ADD COLUMN z bigint GENERATED ALWAYS AS IDENTITY",)),
    ((), ("ALTER TABLE ev SET UNLOGGED",)),
    ((), ("ALTER TABLE ev SET (fillfactor = 70)",)),
    ((), ("CREATE INDEX ix ON ONLY ev (w)",)),
    ((), ("ALTER TABLE ev1 ADD COLUMN q int",)),
    ((), ("ALTER TABLE ev1 DROP COLUMN v",)),
    ((), ("ALTER TABLE ev1 ALTER COLUMN k DROP NOT NULL",)),
    ((), ("ALTER TABLE ev DROP COLUMN k",)),
    ((), ("ALTER TABLE ev ALTER COLUMN k TYPE bigint",)),
    ((), ("ALTER TABLE ev1 INHERIT animal",)),
    ((), ("ALTER TABLE ev ADD EXCLUDE USING btree (v WITH =)",)),
    ((), ("ALTER TABLE ev ADD UNIQUE (id)",)),
    ((), ("CREATE UNIQUE INDEX u ON ev (id)",)),
    ((), ("CREATE UNIQUE INDEX u ON ev (id, k)",)),
    ((), ("ALTER TABLE ev ADD CONSTRAINT u UNIQUE USING INDEX ev_v",)),
    ((), ("ALTER TABLE ev RENAME TO evs",)),
    ((), ("TRUNCATE ONLY ev",)),
    ((), ("TRUNCATE ev",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM (150) TO (300)",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM (200) TO (300)",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM (300) TO (200)",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM (200) TO (200)",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM (MINVALUE) TO (1)",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM ('250') TO ('260')",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM ('50') TO ('60')",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES IN (1)",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES WITH (MODULUS 2, REMAINDER 1)",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev DEFAULT",)),
    ((), ("CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM (1, 2) TO (4, 5)",)),
    ((), ("CREATE TABLE li_x PARTITION OF li FOR VALUES IN ('b', 'c')",)),
    ((), ("CREATE TABLE li_x PARTITION OF li FOR VALUES IN ('c')",)),
    ((), ("CREATE TABLE li_x PARTITION OF li DEFAULT",)),
    (
        (),
        (
            "CREATE TABLE li_x (LIKE li INCLUDING ALL)",
            "ALTER TABLE li ATTACH PARTITION li_x DEFAULT",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE li_x (LIKE li INCLUDING ALL)",
            "ALTER TABLE li ATTACH PARTITION li_x FOR VALUES IN ('a')",
        ),
    ),
    ((), ("CREATE TABLE ha_x PARTITION OF ha FOR VALUES WITH (MODULUS 2, REMAINDER 1)",)),
    ((), ("CREATE TABLE ha_x PARTITION OF ha FOR VALUES WITH (MODULUS 4, REMAINDER 1)",)),
    ((), ("CREATE TABLE ha_x PARTITION OF ha DEFAULT",)),
    (("DROP TABLE ha1",), ("CREATE TABLE ha_x PARTITION OF ha FOR VALUES WITH (MODULUS 3, REMAINDER 1)",)),
    (("DROP TABLE ha1",), ("CREATE TABLE ha_x PARTITION OF ha FOR VALUES WITH (MODULUS 4, REMAINDER 1)",)),
    (("DROP TABLE ha1",), ("CREATE TABLE ha_x PARTITION OF ha FOR VALUES WITH (MODULUS 4, REMAINDER 5)",)),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (50) TO (60)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev INCLUDING CONSTRAINTS)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (50) TO (60)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev INCLUDING CONSTRAINTS)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev INCLUDING CONSTRAINTS, more int)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (id bigint NOT NULL, k int NOT NULL, v text, "
            "w int CONSTRAINT w_pos CHECK (w > 0))",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (id int NOT NULL, k int NOT NULL, v text, "
            "w int CONSTRAINT w_pos CHECK (w > 0), user_id bigint)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (id bigint, k int NOT NULL, v text, "
            "w int CONSTRAINT w_pos CHECK (w > 0), user_id bigint)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    ((), ("ALTER TABLE ev ATTACH PARTITION ev1 FOR VALUES FROM (250) TO (260)",)),
    ((), ("ALTER TABLE ev ATTACH PARTITION users FOR VALUES FROM (250) TO (260)",)),
    ((), ("ALTER TABLE users ATTACH PARTITION orders FOR VALUES FROM (250) TO (260)",)),
    ((), ("CREATE TABLE x PARTITION OF users FOR VALUES FROM (250) TO (260)",)),
    ((), ("ALTER TABLE ev DETACH PARTITION li_a",)),
    ((), ("ALTER TABLE ev DETACH PARTITION users",)),
    ((), ("ALTER TABLE ev DETACH PARTITION ev1",)),
    ((), ("DROP INDEX ev1_v_idx",)),
    ((), ("DROP INDEX ev_v",)),
    ((), ("ALTER TABLE li_a DROP CONSTRAINT li_a_pkey",)),
    ((), ("ALTER TABLE li DROP CONSTRAINT li_pkey",)),
    ((), ("ALTER TABLE orders ALTER COLUMN id SET DEFAULT 1",)),
    ((), ("CREATE TABLE x (id bigint PRIMARY KEY, k int) PARTITION BY RANGE (k)",)),
    ((), ("CREATE TABLE x (id bigint, k int) PARTITION BY LIST (id, k)",)),
    ((), ("ALTER TABLE animal SET UNLOGGED",)),
    ((), ("ALTER TABLE ev ADD EXCLUDE USING btree (k WITH =, v WITH =)",)),
    (
        (),
        (
            "CREATE UNIQUE INDEX u ON ONLY ev (id, k)",
            "ALTER TABLE ev ADD CONSTRAINT u UNIQUE USING INDEX u",
        ),
    ),
    ((), ("ALTER TABLE ev ALTER COLUMN w SET STATISTICS 200",)),
    ((), ("ALTER TABLE animal ADD COLUMN i bigint GENERATED ALWAYS AS IDENTITY",)),
    ((), ("ALTER TABLE animal ADD COLUMN i bigserial",)),
    ((), ("ALTER TABLE animal ADD COLUMN i bigserial PRIMARY KEY",)),
    (
        (),
        (
            "CREATE TABLE x (id bigint GENERATED ALWAYS AS IDENTITY, k int) PARTITION BY RANGE (k)",
            "CREATE TABLE x1 PARTITION OF x DEFAULT",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev INCLUDING CONSTRAINTS, PRIMARY KEY (id))",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (id bigint GENERATED ALWAYS AS IDENTITY, k int NOT NULL, v text, "
            "w int CONSTRAINT w_pos CHECK (w > 0), user_id bigint)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev)",
            "ALTER TABLE x ADD CONSTRAINT w_pos CHECK (w > 5)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev)",
            "ALTER TABLE x ADD CONSTRAINT other CHECK (w > 0)",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE ev)",
            "ALTER TABLE x ADD CONSTRAINT w_pos CHECK (w > 0) NOT VALID",
            "ALTER TABLE ev ATTACH PARTITION x FOR VALUES FROM (250) TO (260)",
        ),
    ),
    (
        (),
        (
            "CREATE TABLE x (LIKE li INCLUDING ALL)",
            "ALTER TABLE li DETACH PARTITION li_d",
            "ALTER TABLE li ATTACH PARTITION x DEFAULT",
        ),
    ),
    (
        (),
        (
            "ALTER TABLE ONLY users ADD CONSTRAINT c CHECK (id > 0) NOT VALID",
            "ALTER TABLE ONLY users ALTER COLUMN name SET NOT NULL",
            "ALTER TABLE ONLY users ADD UNIQUE (name)",
        ),
    ),
    (("ALTER TABLE ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",), ("DROP TABLE ev2",)),
    (("ALTER TABLE ev ADD COLUMN at bigint REFERENCES users ON DELETE CASCADE",), ("DROP TABLE ev2",)),
    (
        (
            "ALTER TABLE ev ADD COLUMN at bigint REFERENCES users ON DELETE CASCADE",
            "CREATE TABLE ev4 PARTITION OF ev FOR VALUES FROM (400) TO (500)",
        ),
        ("DROP TABLE ev4 CASCADE",),
    ),
    (
        (
            "ALTER TABLE ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",
            "CREATE TABLE ev4 PARTITION OF ev FOR VALUES FROM (400) TO (500)",
        ),
        ("DROP TABLE ev4",),
    ),
    (
        (
            "ALTER TABLE ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",
            "CREATE TABLE ev4 (LIKE ev INCLUDING ALL)",
            "ALTER TABLE ev ATTACH PARTITION ev4 FOR VALUES FROM (400) TO (500)",
        ),
        ("DROP TABLE ev4",),
    ),
    ((), ("ALTER TABLE ev ALTER COLUMN v TYPE text",)),
    ((), ("ALTER TABLE ev ALTER COLUMN id TYPE bigint",)),
    ((), ("ALTER TABLE li ALTER COLUMN id TYPE bigint",)),
    (
        ("ALTER TABLE ev ALTER COLUMN v TYPE varchar(20)",),
        ("ALTER TABLE ev ALTER COLUMN v TYPE varchar(40)",),
    ),
    (
        (
            "ALTER TABLE ev ALTER COLUMN v TYPE varchar(20)",
            "ALTER TABLE ev ADD PRIMARY KEY (k, v)",
        ),
        ("ALTER TABLE ev ALTER COLUMN v TYPE varchar(40)",),
    ),
    ((), ("ALTER TABLE users ALTER COLUMN name TYPE varchar(100)",)),
    (("CREATE INDEX na ON users (name)",), ("ALTER TABLE users ALTER COLUMN name TYPE varchar(100)",)),
    (
        (
            "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER tr BEFORE INSERT ON animal FOR EACH ROW EXECUTE FUNCTION tf()",
        ),
        (
            "ALTER TRIGGER tr ON animal RENAME TO tr2",
            "DROP TRIGGER tr2 ON animal",
        ),
    ),
    (
        (
            "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER tr BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION tf()",
        ),
        (
            "ALTER TRIGGER tr ON ev RENAME TO tr2",
            "DROP TRIGGER tr2 ON ev",
        ),
    ),
    (
        (
            "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER tr BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION tf()",
        ),
        ("DROP TRIGGER tr ON ev1",),
    ),
    (
        (
            "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER tr BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION tf()",
        ),
        ("ALTER TRIGGER tr ON ev1 RENAME TO tr2",),
    ),
    (
        (
            "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER tr BEFORE INSERT ON ev FOR EACH STATEMENT EXECUTE FUNCTION tf()",
        ),
        ("ALTER TRIGGER tr ON ev RENAME TO tr2",),
    ),
    (
        (
            "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER tr BEFORE INSERT ON ev FOR EACH STATEMENT EXECUTE FUNCTION tf()",
        ),
        ("DROP TRIGGER tr ON ev",),
    ),
    ((), ("ALTER TABLE animal ALTER COLUMN name DROP NOT NULL",)),
    ((), ("ALTER TABLE ev ALTER COLUMN v DROP NOT NULL",)),
    ((), ("ALTER TABLE animal ALTER COLUMN legs DROP NOT NULL",)),
    (("CREATE TABLE copy (LIKE orders INCLUDING DEFAULTS)",), ("DROP TABLE orders CASCADE",)),
    (("CREATE TABLE copy (LIKE orders INCLUDING DEFAULTS)",), ("DROP TABLE orders",)),
    (("CREATE TABLE copy (LIKE orders INCLUDING DEFAULTS)",), ("ALTER TABLE orders DROP COLUMN id",)),
    (("CREATE TABLE copy (LIKE orders INCLUDING DEFAULTS)",), ("ALTER TABLE orders DROP COLUMN id CASCADE",)),
    (("CREATE INDEX plain ON users (id)",), ("DROP INDEX plain CASCADE",)),
    (
        (
            "CREATE UNIQUE INDEX part ON users (age) WHERE name IS NOT NULL",
            "ALTER TABLE users ADD CONSTRAINT ua UNIQUE (age)",
            "ALTER TABLE orders ADD CONSTRAINT oq FOREIGN KEY (qty) REFERENCES users (age)",
        ),
        ("DROP INDEX part CASCADE",),
    ),
    (
        (
            "CREATE UNIQUE INDEX part ON users (age)",
            "ALTER TABLE orders ADD CONSTRAINT oq FOREIGN KEY (qty) REFERENCES users (age)",
        ),
        ("DROP INDEX part",),
    ),
    (
        (
            "CREATE UNIQUE INDEX part ON users (age)",
            "ALTER TABLE orders ADD CONSTRAINT oq FOREIGN KEY (qty) REFERENCES users (age)",
        ),
        ("DROP INDEX part CASCADE",),
    ),
    (
        (
            "TRUNCATE li",
            "ALTER TABLE li ADD UNIQUE (k)",
            "CREATE TABLE src (id int NOT NULL, k text, y int) PARTITION BY RANGE (id)",
            "ALTER TABLE src ADD FOREIGN KEY (k) REFERENCES li (k)",
        ),
        ("CREATE TABLE src1 PARTITION OF src FOR VALUES FROM (1) TO (10)",),
    ),
    (
        (
            "TRUNCATE li",
            "ALTER TABLE li ADD UNIQUE (k)",
            "CREATE TABLE src (id int NOT NULL, k text, y int) PARTITION BY RANGE (id)",
            "ALTER TABLE src ADD FOREIGN KEY (k) REFERENCES li (k)",
            "CREATE TABLE src1 (LIKE src INCLUDING ALL)",
        ),
        ("ALTER TABLE src ATTACH PARTITION src1 FOR VALUES FROM (1) TO (10)",),
    ),
    (
        (
            "TRUNCATE li",
            "ALTER TABLE li ADD UNIQUE (k)",
            "CREATE TABLE src (id int NOT NULL, k text, y int) PARTITION BY RANGE (id)",
            "ALTER TABLE src ADD FOREIGN KEY (k) REFERENCES li (k)",
            "CREATE TABLE src1 PARTITION OF src FOR VALUES FROM (1) TO (10)",
        ),
        ("ALTER TABLE src DETACH PARTITION src1",),
    ),
    (
        (
            "TRUNCATE li",
            "ALTER TABLE li ADD UNIQUE (k)",
            "CREATE TABLE src (id int NOT NULL, k text, y int) PARTITION BY RANGE (id)",
            "ALTER TABLE src ADD FOREIGN KEY (k) REFERENCES li (k)",
            "CREATE TABLE src1 PARTITION OF src FOR VALUES FROM (1) TO (10)",
        ),
        ("DROP TABLE src1",),
    ),
    (
        ("ALTER TABLE ev ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",),
        (
            "ALTER TABLE ev DETACH PARTITION ev2",
            "DROP TABLE ev2",
        ),
    ),
    (
        (),
        (
            "ALTER TABLE users ADD COLUMN IF NOT EXISTS name text",
            "ALTER TABLE ev ADD COLUMN IF NOT EXISTS v text",
            "ALTER TABLE animal ADD COLUMN IF NOT EXISTS name text",
        ),
    ),
    (
        (
            "CREATE UNIQUE INDEX first ON users (age)",
            "ALTER TABLE users ADD CONSTRAINT ua UNIQUE (age)",
            "ALTER TABLE orders ADD CONSTRAINT oq FOREIGN KEY (qty) REFERENCES users (age)",
        ),
        ("ALTER TABLE users DROP CONSTRAINT ua CASCADE",),
    ),
    (
        (
            "CREATE UNIQUE INDEX first ON users (age)",
            "ALTER TABLE users ADD CONSTRAINT ua UNIQUE (age)",
            "ALTER TABLE orders ADD CONSTRAINT oq FOREIGN KEY (qty) REFERENCES users (age)",
        ),
        ("ALTER TABLE users DROP CONSTRAINT ua",),
    ),
    (
        (
            "ALTER TABLE users ADD CONSTRAINT ua UNIQUE (age)",
            "ALTER TABLE orders ADD CONSTRAINT oq FOREIGN KEY (qty) REFERENCES users (age)",
        ),
        ("ALTER TABLE users DROP CONSTRAINT ua",),
    ),
    (
        (
            "CREATE DOMAIN sh AS varchar(9)",
            "ALTER TABLE users ADD COLUMN d sh",
        ),
        ("ALTER TABLE users ALTER COLUMN d TYPE varchar(50)",),
    ),
    (
        (
            "CREATE DOMAIN sh AS varchar(9)",
            "ALTER TABLE users ADD COLUMN d sh",
        ),
        ("ALTER TABLE users ALTER COLUMN d TYPE varchar",),
    ),
    (
        (
            "CREATE DOMAIN sh AS varchar(9)",
            "ALTER TABLE users ADD COLUMN d sh",
        ),
        ("ALTER TABLE users ALTER COLUMN d TYPE text",),
    ),
    (("CREATE DOMAIN sh AS varchar(9)",), ("ALTER TABLE users ALTER COLUMN name TYPE sh",)),
    (("CREATE DOMAIN sh AS varchar(90)",), ("ALTER TABLE users ALTER COLUMN name TYPE sh",)),
    (
        (
            "CREATE DOMAIN sh AS varchar(90)",
            "CREATE DOMAIN sh2 AS varchar(190)",
            "ALTER TABLE users ADD COLUMN d sh",
        ),
        ("ALTER TABLE users ALTER COLUMN d TYPE sh2",),
    ),
    (
        (
            "CREATE DOMAIN sh AS numeric(9,2)",
            "ALTER TABLE users ADD COLUMN d sh",
        ),
        ("ALTER TABLE users ALTER COLUMN d TYPE numeric(12,2)",),
    ),
    (
        (
            "CREATE DOMAIN sh AS numeric(9,2)",
            "ALTER TABLE users ADD COLUMN d sh",
        ),
        ("ALTER TABLE users ALTER COLUMN d TYPE numeric",),
    ),
    (("CREATE DOMAIN sh AS numeric(9,2)",), ("ALTER TABLE orders ALTER COLUMN total TYPE sh",)),
    ((), ("ALTER TABLE ev ALTER COLUMN w DROP IDENTITY IF EXISTS",)),
    (
        (
            "CREATE DOMAIN sh AS varchar(9)",
            "ALTER TABLE users ADD COLUMN d sh",
        ),
        ("ALTER TABLE users ALTER COLUMN d TYPE varchar(9)",),
    ),
    (
        (
            "CREATE DOMAIN sh AS varchar(9)",
            "ALTER TABLE users ADD COLUMN d sh",
        ),
        ("ALTER TABLE users ALTER COLUMN d TYPE sh",),
    ),
]


@pytest.mark.parametrize(
    ("before", "statements"),
    [
        # A fourth of them in a quick run: each takes a database of its own.
        pytest.param(*case, id=" ".join(case[1]), marks=() if number % 4 == 0 else pytest.mark.long)
        for number, case in enumerate(CASES)
    ],
)
def test_the_linter_says_what_the_server_does(
    scratch_server: Server, before: tuple[str, ...], statements: tuple[str, ...]
) -> None:
    made = recording("before", *BASE, *before, transaction=None)
    asked = recording("asked", *statements)

    verification = verify_on(scratch_server, [made, asked], {"asked"}, DEFAULT, together=True)

    assert [difference.message for difference in verification.differences] == []
