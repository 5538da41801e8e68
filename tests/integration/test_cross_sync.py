"""The sync between two tables on a real server: every way of writing either, also from many sessions at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import psycopg
import pytest
from support.backfill import fill

from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.plan import cross_sync, sync
from evolve.plan.cross_sync import Direction, End, Link, Rows
from evolve.plan.sync import Side
from evolve.sql.names import QualifiedName, quote
from evolve.sql.statements import Statement

pytestmark = pytest.mark.server

MakeDatabase = Callable[..., str]
Connection = psycopg.Connection[tuple[object, ...]]

FUNCTION = QualifiedName("sync_it", "evolve")
TRIGGER = "zz_evolve_it"


def run(connection: Connection, statements: tuple[Statement, ...]) -> None:
    with connection.transaction():
        for statement in statements:
            connection.execute(statement.sql.encode())


def arm(connection: Connection, link: Link) -> None:
    run(connection, (sync.create_schema(),))
    run(connection, cross_sync.arm(link, "target"))
    run(connection, cross_sync.arm(link, "source"))


def backfill(connection: Connection, link: Link) -> int:
    """As one statement."""
    touch = cross_sync.touch(link)
    changes = ", ".join(f"{quote(column)} = {value}" for column, value in touch.assignments)
    return connection.execute(
        f"UPDATE {link.source.table} SET {changes} WHERE {touch.where}".encode()
    ).rowcount


def wrong(connection: Connection, link: Link) -> int:
    query = f"SELECT count(*) FROM {link.source.table} WHERE {cross_sync.wrong(link)}"
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(str(row[0]))


NICK = Side("nick", "text", exact=True)

# A user's nick moves to his profiles: the target's rows are children of the source's.
DOWN = Link(
    End(QualifiedName("users"), ("id",), ("id",), (NICK,)),
    End(QualifiedName("profiles"), ("user_id",), ("id",), (NICK,)),
    "target",
    FUNCTION,
    TRIGGER,
)
DOWN_TABLES = """
    CREATE TABLE users (id int PRIMARY KEY, nick text, other text);
    CREATE TABLE profiles (id int PRIMARY KEY, user_id int REFERENCES users ON UPDATE CASCADE ON DELETE SET NULL,
        nick text, other text);
    CREATE INDEX ON profiles (user_id);
    INSERT INTO users VALUES (1, 'ann'), (2, 'bob'), (3, NULL);
    INSERT INTO profiles VALUES (10, 1), (11, 1), (20, 2), (30, 3), (99, NULL);
"""

# An order's mail address moves to its customer: the source's rows are children of the target's.
MAIL = Side("mail", "text", exact=True)
UP = Link(
    End(QualifiedName("orders"), ("customer_id",), ("id",), (MAIL,)),
    End(QualifiedName("customers"), ("id",), ("id",), (MAIL,)),
    "source",
    FUNCTION,
    TRIGGER,
)
UP_TABLES = """
    CREATE TABLE customers (id int PRIMARY KEY, mail text);
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers ON UPDATE CASCADE ON DELETE SET NULL,
        mail text, other text);
    CREATE INDEX ON orders (customer_id);
    INSERT INTO customers VALUES (1), (2), (3);
    INSERT INTO orders VALUES (10, 1, 'ann'), (11, 1, 'ann'), (20, 2, 'bob'), (99, NULL, 'zoe');
"""


@dataclass
class Pair:
    """Two tables in mid-change."""

    connection: Connection
    link: Link

    def run(self, text: str) -> None:
        self.connection.execute(text.encode())

    def values(self, text: str) -> list[object]:
        return [row[0] for row in self.connection.execute(text.encode())]

    @property
    def wrong(self) -> int:
        return wrong(self.connection, self.link)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


Make = Callable[..., Pair]


@pytest.fixture
def pair(connection: Connection) -> Make:
    """Tables and link; armed, and filled unless told not to."""

    def make(tables: str, link: Link, *, fill: bool = True) -> Pair:
        connection.execute(tables.encode())
        arm(connection, link)
        if fill:
            backfill(connection, link)
        return Pair(connection, link)

    return make


# -- move, down to the children -----------------------------------------------------------------------------
PROFILE_NICKS = "SELECT nick FROM profiles WHERE user_id = 1 ORDER BY id"
USER_NICK = "SELECT nick FROM users WHERE id = 1"

DOWN_CASES = {
    "source update": ("UPDATE users SET nick = 'new' WHERE id = 1", ["new"] * 3),
    "source update to null": ("UPDATE users SET nick = NULL WHERE id = 1", [None] * 3),
    "target update": ("UPDATE profiles SET nick = 'new' WHERE id = 10", ["new"] * 3),
    "target update to null": ("UPDATE profiles SET nick = NULL WHERE id = 10", [None] * 3),
    "target update of all": ("UPDATE profiles SET nick = 'new'", ["new"] * 3),
    "source update of all": ("UPDATE users SET nick = id::text", ["1"] * 3),
    "target update to different values": (
        "UPDATE profiles SET nick = CASE id WHEN 10 THEN 'x' WHEN 11 THEN 'x' ELSE id::text END",
        ["x"] * 3,
    ),
    "update of something else": (
        "UPDATE users SET other = 'x'; UPDATE profiles SET other = 'x'",
        ["ann"] * 3,
    ),
    "target insert without a value": ("INSERT INTO profiles (id, user_id) VALUES (12, 1)", ["ann"] * 4),
    "target insert with a value": (
        "INSERT INTO profiles (id, user_id, nick) VALUES (12, 1, 'new')",
        ["new"] * 4,
    ),
    "target moved here": ("UPDATE profiles SET user_id = 1 WHERE id = 20", ["ann"] * 4),
    "target moved here with a value": (
        "UPDATE profiles SET user_id = 1, nick = 'new' WHERE id = 20",
        ["new"] * 4,
    ),
    "target that had no key": ("UPDATE profiles SET user_id = 1 WHERE id = 99", ["ann"] * 4),
    "target moved away": ("UPDATE profiles SET user_id = 2 WHERE id = 10", ["ann"] * 2),
    "target deleted": ("DELETE FROM profiles WHERE id = 10", ["ann"] * 2),
    "source key moved": (
        "UPDATE users SET id = 7 WHERE id = 1; UPDATE users SET id = 1 WHERE id = 7",
        ["ann"] * 3,
    ),
    "source upsert": (
        "INSERT INTO users VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET nick = EXCLUDED.nick",
        ["new"] * 3,
    ),
    "target upsert": (
        "INSERT INTO profiles VALUES (10, 1, 'new') ON CONFLICT (id) DO UPDATE SET nick = EXCLUDED.nick",
        ["new"] * 3,
    ),
}


@pytest.mark.parametrize("case", list(DOWN_CASES))
def test_moved_down(pair: Make, case: str) -> None:
    statement, expected = DOWN_CASES[case]
    it = pair(DOWN_TABLES, DOWN)
    it.run(statement)
    assert (it.values(USER_NICK) + it.values(PROFILE_NICKS), it.wrong) == (expected, 0)


UP_CASES = {
    "source update": ("UPDATE orders SET mail = 'new' WHERE id = 10", ["new"] * 3),
    "source update to null": ("UPDATE orders SET mail = NULL WHERE id = 10", [None] * 3),
    "source update to different values": (
        "UPDATE orders SET mail = CASE id WHEN 10 THEN 'x' ELSE 'x' END",
        ["x"] * 3,
    ),
    "target update": ("UPDATE customers SET mail = 'new' WHERE id = 1", ["new"] * 3),
    "target update to null": ("UPDATE customers SET mail = NULL WHERE id = 1", [None] * 3),
    "source insert with a value": ("INSERT INTO orders VALUES (12, 1, 'new')", ["new"] * 4),
    "source insert without a value": ("INSERT INTO orders VALUES (12, 1)", ["ann"] * 4),
    "source moved here": ("UPDATE orders SET customer_id = 1 WHERE id = 20", ["ann"] * 4),
    "source moved here with a value": (
        "UPDATE orders SET customer_id = 1, mail = 'new' WHERE id = 20",
        ["new"] * 4,
    ),
    "source that had no key": ("UPDATE orders SET customer_id = 1 WHERE id = 99", ["ann"] * 4),
    "source deleted": ("DELETE FROM orders WHERE id = 10", ["ann"] * 2),
    "target key moved": (
        "UPDATE customers SET id = 7 WHERE id = 1; UPDATE customers SET id = 1 WHERE id = 7",
        ["ann"] * 3,
    ),
}


@pytest.mark.parametrize("case", list(UP_CASES))
def test_moved_up(pair: Make, case: str) -> None:
    statement, expected = UP_CASES[case]
    it = pair(UP_TABLES, UP)
    it.run(statement)
    found = it.values("SELECT mail FROM customers WHERE id = 1") + it.values(
        "SELECT mail FROM orders WHERE customer_id = 1 ORDER BY id"
    )
    assert (found, it.wrong) == (expected, 0)


def test_children_written_to_different_values_at_once_agree_in_the_end(pair: Make) -> None:
    it = pair(UP_TABLES, UP)
    it.run("UPDATE orders SET mail = id::text")
    first, second = it.values("SELECT mail FROM orders WHERE customer_id = 1")
    assert first == second == it.values("SELECT mail FROM customers WHERE id = 1")[0]


# -- denormalise --------------------------------------------------------------------------------------------
COPY_CASES = {
    "source update": ("UPDATE users SET nick = 'new' WHERE id = 1", ["new"] * 3),
    "source update to null": ("UPDATE users SET nick = NULL WHERE id = 1", [None] * 3),
    "what others write to the copy": ("UPDATE profiles SET nick = 'no' WHERE id = 10", ["ann"] * 3),
    "insert with another value": ("INSERT INTO profiles VALUES (12, 1, 'no')", ["ann"] * 4),
    "target moved here": ("UPDATE profiles SET user_id = 1, nick = 'no' WHERE id = 20", ["ann"] * 4),
    "source key moved": (
        "UPDATE users SET id = 7 WHERE id = 1; UPDATE users SET id = 1 WHERE id = 7",
        ["ann"] * 3,
    ),
}


@pytest.mark.parametrize("case", list(COPY_CASES))
def test_copied_down(pair: Make, case: str) -> None:
    statement, expected = COPY_CASES[case]
    it = pair(DOWN_TABLES, replace(DOWN, direction="to target"))
    it.run(statement)
    assert (it.values(USER_NICK) + it.values(PROFILE_NICKS), it.wrong) == (expected, 0)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM users WHERE id = 1", "UPDATE profiles SET user_id = NULL WHERE user_id = 1"]
)
def test_a_copy_without_a_source_is_null(pair: Make, statement: str) -> None:
    it = pair(DOWN_TABLES, replace(DOWN, direction="to target"))
    it.run(statement)
    assert it.values("SELECT nick FROM profiles WHERE id IN (10, 11)") == [None, None]


def test_a_copy_of_a_child_is_null_once_the_last_child_is_gone(pair: Make) -> None:
    it = pair(UP_TABLES, replace(UP, direction="to target"))
    it.run("UPDATE orders SET customer_id = 3 WHERE id = 20")
    assert it.values("SELECT mail FROM customers ORDER BY id") == ["ann", None, "bob"]


@pytest.mark.parametrize(("tables", "link"), [(DOWN_TABLES, DOWN), (UP_TABLES, UP)], ids=["down", "up"])
def test_turned_round_it_copies_to_the_source(pair: Make, tables: str, link: Link) -> None:
    it = pair(tables, link)
    run(it.connection, cross_sync.flip(link, "to source"))
    source, target, column = link.source, link.target, link.source.values[0].column
    it.run(f"UPDATE {source.table} SET {column} = 'no' WHERE {source.key[0]} = 1")
    it.run(f"UPDATE {target.table} SET {column} = 'new' WHERE {target.key[0]} = 2")
    values = it.values(f"SELECT {column} FROM {source.table} WHERE {source.key[0]} IN (1, 2)")
    assert (set(values), it.wrong) == ({"ann", "new"}, 0)


# -- extract ------------------------------------------------------------------------------------------------
CITY = (Side("city", "text", exact=True), Side("zip", "integer", exact=True, default="0"))
EXTRACT = Link(
    End(QualifiedName("users"), ("id",), ("id",), CITY),
    End(QualifiedName("addresses"), ("user_id",), ("user_id",), (CITY[0], replace(CITY[1], column="code"))),
    "target",
    FUNCTION,
    TRIGGER,
    rows="every",
)
EXTRACT_TABLES = """
    CREATE TABLE users (id int PRIMARY KEY, city text, zip int DEFAULT 0, other text);
    CREATE TABLE addresses (user_id int PRIMARY KEY REFERENCES users ON UPDATE CASCADE ON DELETE CASCADE,
        city text, code int DEFAULT 0);
    INSERT INTO users VALUES (1, 'a', 1), (2, NULL, 0);
"""
BOTH = """
    SELECT ROW(u.id, u.city, u.zip, a.user_id, a.city, a.code)::text
      FROM users u FULL JOIN addresses a ON a.user_id = u.id ORDER BY u.id
"""

EXTRACT_CASES: dict[str, tuple[str, dict[Rows, list[str]]]] = {
    "nothing": (
        "SELECT",
        {"every": ["(1,a,1,1,a,1)", "(2,,0,2,,0)"], "optional": ["(1,a,1,1,a,1)", "(2,,0,,,)"]},
    ),
    "source update": (
        "UPDATE users SET city = 'b' WHERE id = 2",
        {"every": ["(1,a,1,1,a,1)", "(2,b,0,2,b,0)"], "optional": ["(1,a,1,1,a,1)", "(2,b,0,2,b,0)"]},
    ),
    "source update to nothing": (
        "UPDATE users SET city = NULL, zip = 0 WHERE id = 1",
        {"every": ["(1,,0,1,,0)", "(2,,0,2,,0)"], "optional": ["(1,,0,1,,0)", "(2,,0,,,)"]},
    ),
    "target update": (
        "UPDATE addresses SET code = 5 WHERE user_id = 1",
        {"every": ["(1,a,5,1,a,5)", "(2,,0,2,,0)"], "optional": ["(1,a,5,1,a,5)", "(2,,0,,,)"]},
    ),
    "old insert": (
        "INSERT INTO users VALUES (3, 'c', 3)",
        {
            "every": ["(1,a,1,1,a,1)", "(2,,0,2,,0)", "(3,c,3,3,c,3)"],
            "optional": ["(1,a,1,1,a,1)", "(2,,0,,,)", "(3,c,3,3,c,3)"],
        },
    ),
    "new insert": (
        "BEGIN; INSERT INTO users (id) VALUES (3); INSERT INTO addresses VALUES (3, 'c', 3); COMMIT",
        {
            "every": ["(1,a,1,1,a,1)", "(2,,0,2,,0)", "(3,c,3,3,c,3)"],
            "optional": ["(1,a,1,1,a,1)", "(2,,0,,,)", "(3,c,3,3,c,3)"],
        },
    ),
    "insert of no value": (
        "INSERT INTO users (id) VALUES (3)",
        {
            "every": ["(1,a,1,1,a,1)", "(2,,0,2,,0)", "(3,,0,3,,0)"],
            "optional": ["(1,a,1,1,a,1)", "(2,,0,,,)", "(3,,0,,,)"],
        },
    ),
    "source delete": (
        "DELETE FROM users WHERE id = 1",
        {"every": ["(2,,0,2,,0)"], "optional": ["(2,,0,,,)"]},
    ),
    "source delete without cascade": (
        "SET session_replication_role = replica; DELETE FROM users WHERE id = 1",
        {"every": ["(2,,0,2,,0)"], "optional": ["(2,,0,,,)"]},
    ),
    "source key": (
        "UPDATE users SET id = 9 WHERE id = 1",
        {"every": ["(2,,0,2,,0)", "(9,a,1,9,a,1)"], "optional": ["(2,,0,,,)", "(9,a,1,9,a,1)"]},
    ),
    "source key without cascade": (
        "SET session_replication_role = replica; UPDATE users SET id = 9 WHERE id = 1",
        {"every": ["(2,,0,2,,0)", "(9,a,1,9,a,1)"], "optional": ["(2,,0,,,)", "(9,a,1,9,a,1)"]},
    ),
    "target delete": (
        "DELETE FROM addresses WHERE user_id = 1",
        {"optional": ["(1,,0,,,)", "(2,,0,,,)"]},
    ),
}


@pytest.mark.parametrize("rows", ["every", "optional"])
@pytest.mark.parametrize("case", list(EXTRACT_CASES))
def test_extracted(pair: Make, case: str, rows: Rows) -> None:
    statement, expected = EXTRACT_CASES[case]
    it = pair(EXTRACT_TABLES, replace(EXTRACT, rows=rows))
    if rows not in expected:
        with pytest.raises(psycopg.errors.RestrictViolation, match="goes only with its row"):
            it.run(statement)
        return
    it.run(statement)
    assert (it.values(BOTH), it.wrong) == (expected[rows], 0)


def test_an_optional_row_takes_its_values_to_another_source_row(pair: Make) -> None:
    it = pair(EXTRACT_TABLES, replace(EXTRACT, rows="optional"))
    it.run("UPDATE addresses SET user_id = 2 WHERE user_id = 1")
    assert (it.values(BOTH), it.wrong) == (["(1,,0,,,)", "(2,a,1,2,a,1)"], 0)


# -- many at once -------------------------------------------------------------------------------------------
# What one transaction does, and a query which must then say true; {k} and {j} are keys, {n} a number never used before.
Job = tuple[str, str]


def crowd(url: str, jobs: list[list[Job]], *, seconds: float = 2.5, keys: int = 4) -> dict[str, int]:
    """One session for each list of jobs, each doing random ones until the time is over: error -> how often."""
    ending = time.monotonic() + seconds
    errors: dict[str, int] = {}
    done = [0] * len(jobs)

    def work(number: int, mine: list[Job]) -> None:
        chance = random.Random(number)
        with psycopg.connect(url) as connection:
            while time.monotonic() < ending or done[number] <= 20:
                done[number] += 1
                names = {
                    "k": chance.randint(1, keys),
                    "j": chance.randint(1, keys),
                    "n": number * 1_000_000 + done[number] + 10_000,
                }
                write, check = chance.choice(mine)
                try:
                    connection.execute(write.format(**names).encode())
                    row = connection.execute(check.format(**names).encode()).fetchone()
                    if row is not None and row[0] is False:
                        errors[f"unseen: {write}"] = errors.get(f"unseen: {write}", 0) + 1
                    connection.commit()
                except psycopg.Error as error:
                    connection.rollback()
                    name = f"{type(error).__name__}: {str(error).splitlines()[0]} in {write}"
                    if isinstance(error, psycopg.errors.DeadlockDetected):
                        name = f"deadlock: {error.diag.message_detail} {error.diag.context} {write}"
                    errors[name] = errors.get(name, 0) + 1

    threads = [threading.Thread(target=work, args=(n, mine)) for n, mine in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert min(done) > 20, done
    return errors


SAME_DOWN = """
    SELECT bool_and(p.nick IS NOT DISTINCT FROM u.nick) FROM users u JOIN profiles p ON p.user_id = u.id WHERE
"""
OLD_DOWN: list[Job] = [
    ("UPDATE users SET nick = 'old {n}' WHERE id = {k}", SAME_DOWN + "u.id = {k}"),
    ("UPDATE users SET nick = NULL WHERE id = {k}", SAME_DOWN + "u.id = {k}"),
    ("UPDATE users SET other = '{n}' WHERE id = {k}", SAME_DOWN + "u.id = {k}"),
    ("INSERT INTO users VALUES ({n}, 'old {n}')", SAME_DOWN + "u.id = {n}"),
    ("UPDATE users SET other = 'touch' WHERE id = (SELECT max(id) FROM users)", "SELECT true"),
]
LATEST = "(SELECT id FROM users ORDER BY id DESC LIMIT 1 FOR KEY SHARE) AS latest"
# Each locks the source row first, and so takes the locks of both in one order.
LOCK_DOWN = "SELECT FROM users WHERE id = {k} FOR NO KEY UPDATE; "
NEW_DOWN: list[Job] = [
    (LOCK_DOWN + "UPDATE profiles SET nick = 'new {n}' WHERE id = {k} * 10", SAME_DOWN + "p.id = {k} * 10"),
    (LOCK_DOWN + "UPDATE profiles SET nick = NULL WHERE id = {k} * 10", SAME_DOWN + "p.id = {k} * 10"),
    ("UPDATE profiles SET other = '{n}' WHERE id = {k} * 10", "SELECT true"),
    ("INSERT INTO profiles (id, user_id) VALUES ({n}, {k})", "SELECT true"),
    ("INSERT INTO profiles VALUES ({n}, {k}, 'new {n}')", SAME_DOWN + "p.id = {n}"),
    (
        "DELETE FROM profiles WHERE id = (SELECT id FROM profiles WHERE id > 1000 LIMIT 1 FOR UPDATE SKIP LOCKED)",
        "SELECT true",
    ),
]
# One session does these, and each row moves once: moves that cross each other, or come back, can deadlock. A move to
# another source row locks both source rows first; without it one that follows on another's heels can as well.
ROW_TO_MOVE = "(SELECT id FROM profiles WHERE id > 1000 AND other IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED)"
CHOSEN = "NULLIF(current_setting('test.chosen'), '')::bigint"
LOCK_MOVE = f"""
    SELECT set_config('test.chosen', (
        SELECT min(id)::text FROM profiles WHERE id > 1000 AND other IS NULL AND user_id IS NOT NULL), true);
    SELECT FROM users WHERE id IN ({{j}}, (SELECT user_id FROM profiles WHERE id = {CHOSEN})) ORDER BY id
       FOR NO KEY UPDATE;
"""
MOVE_DOWN: list[Job] = [
    (LOCK_MOVE + "UPDATE profiles SET user_id = {j}, other = 'moved' WHERE id = " + CHOSEN, "SELECT true"),
    ("UPDATE profiles SET user_id = NULL, other = 'moved' WHERE id = " + ROW_TO_MOVE, "SELECT true"),
    ("INSERT INTO profiles (id, user_id) SELECT {n}, id FROM " + LATEST, "SELECT true"),
    ("INSERT INTO users VALUES ({n}, '{n}'); UPDATE users SET id = -id WHERE id = {n}", "SELECT true"),
    ("DELETE FROM users WHERE id < 0", "SELECT true"),
]


def crowded(it: Pair, url: str, jobs: list[list[Job]]) -> tuple[dict[str, int], int]:
    """Errors met while the jobs and backfills run, and the rows that are wrong in the end."""
    errors = crowd(url, jobs)
    return errors, it.wrong


@pytest.mark.parametrize("direction", ["both", "to target"])
def test_old_and_new_code_at_once(pair: Make, database_url: str, direction: Direction) -> None:
    it = pair(DOWN_TABLES, replace(DOWN, direction=direction))
    it.run("""
        INSERT INTO users VALUES (4, 'dan');
        INSERT INTO profiles (id, user_id) VALUES (40, 4), (21, 2), (31, 3), (41, 4)
    """)
    new = NEW_DOWN if direction == "both" else [job for job in NEW_DOWN if "new" not in job[0]]
    assert crowded(it, database_url, [OLD_DOWN] * 3 + [new] * 2 + [MOVE_DOWN]) == ({}, 0)


def test_old_and_new_code_at_once_on_rows_not_yet_filled(pair: Make, database_url: str) -> None:
    it = pair(DOWN_TABLES, DOWN, fill=False)
    it.run("INSERT INTO users SELECT g, 'user ' || g FROM generate_series(100, 900) g")
    it.run("INSERT INTO profiles (id, user_id) SELECT id * 10, id FROM users WHERE id >= 100")
    it.run("UPDATE profiles SET nick = NULL")
    jobs = [
        [
            (write.replace("{k}", "({k} * 97 % 800 + 100)"), check.replace("{k}", "({k} * 97 % 800 + 100)"))
            for write, check in side
        ]
        for side in (OLD_DOWN[:3], NEW_DOWN[:3])
    ]
    errors = crowd(database_url, jobs * 3, keys=800)
    backfill(it.connection, it.link)
    assert (errors, it.wrong) == ({}, 0)


SAME_UP = """
    SELECT bool_and(o.mail IS NOT DISTINCT FROM c.mail)
      FROM customers c JOIN orders o ON o.customer_id = c.id WHERE
"""
# Here it is the target that is to be locked second, and the parent: new code locks the orders first.
LOCK_UP = "SELECT FROM orders WHERE customer_id = {k} ORDER BY id FOR NO KEY UPDATE; "
OLD_UP: list[Job] = [
    ("UPDATE orders SET mail = 'old {n}' WHERE id = {k} * 10", SAME_UP + "o.id = {k} * 10"),
    ("UPDATE orders SET mail = NULL WHERE id = {k} * 10", SAME_UP + "o.id = {k} * 10"),
    ("UPDATE orders SET other = '{n}' WHERE id = {k} * 10", "SELECT true"),
]
NEW_UP: list[Job] = [
    (LOCK_UP + "UPDATE customers SET mail = 'new {n}' WHERE id = {k}", SAME_UP + "c.id = {k}"),
    (LOCK_UP + "UPDATE customers SET mail = NULL WHERE id = {k}", SAME_UP + "c.id = {k}"),
]


def test_old_and_new_code_at_once_where_the_target_is_the_parent(pair: Make, database_url: str) -> None:
    it = pair(UP_TABLES, UP)
    it.run(
        "DELETE FROM orders WHERE id = 11; INSERT INTO customers VALUES (4); INSERT INTO orders VALUES (30, 3), (40, 4)"
    )
    assert crowded(it, database_url, [OLD_UP] * 3 + [NEW_UP] * 3) == ({}, 0)


def test_siblings_come_and_go_while_the_parent_is_written(pair: Make, database_url: str) -> None:
    it = pair(UP_TABLES, UP)
    it.run("INSERT INTO customers VALUES (4)")
    come: list[Job] = [
        ("INSERT INTO orders (id, customer_id) VALUES ({n}, {k})", SAME_UP + "o.id = {n}"),
        (
            "DELETE FROM orders WHERE id = (SELECT min(id) FROM orders WHERE customer_id = {k} AND id > 1000)",
            "SELECT true",
        ),
    ]
    write: list[Job] = [("UPDATE customers SET mail = '{n}' WHERE id = {k}", SAME_UP + "c.id = {k}")]
    errors = crowd(database_url, [come, come, come, write])
    assert (errors, it.wrong) == ({}, 0)


SAME_OUT = """
    SELECT bool_and((u.city, u.zip) IS NOT DISTINCT FROM (a.city, a.code))
      FROM users u JOIN addresses a ON a.user_id = u.id WHERE u.id =
"""
OLD_OUT: list[Job] = [
    ("UPDATE users SET city = 'old {n}' WHERE id = {k}", SAME_OUT + "{k}"),
    ("UPDATE users SET zip = {n} WHERE id = {k}", SAME_OUT + "{k}"),
    ("UPDATE users SET zip = 0, city = NULL WHERE id = {k}", SAME_OUT + "{k}"),
    ("UPDATE users SET other = '{n}' WHERE id = {k}", SAME_OUT + "{k}"),
    ("INSERT INTO users VALUES ({n}, 'old {n}')", SAME_OUT + "{n}"),
    ("INSERT INTO users (id) VALUES ({n})", "SELECT true"),
    (
        "DELETE FROM users WHERE id = (SELECT id FROM users WHERE id > 1000 LIMIT 1 FOR UPDATE SKIP LOCKED)",
        "SELECT true",
    ),
]
NEW_OUT: list[Job] = [
    (LOCK_DOWN + "UPDATE addresses SET city = 'new {n}' WHERE user_id = {k}", SAME_OUT + "{k}"),
    (LOCK_DOWN + "UPDATE addresses SET code = {n} WHERE user_id = {k}", SAME_OUT + "{k}"),
    (
        "INSERT INTO users (id) VALUES ({n}); INSERT INTO addresses VALUES ({n}, 'new {n}', 7)",
        SAME_OUT + "{n}",
    ),
    (
        "INSERT INTO addresses VALUES ({k}, 'new', {n}) ON CONFLICT (user_id) DO UPDATE SET code = EXCLUDED.code",
        SAME_OUT + "{k}",
    ),
]
LEAVE_OUT: list[Job] = [(LOCK_DOWN + "DELETE FROM addresses WHERE user_id = {k}", "SELECT true")]


@pytest.mark.parametrize("rows", ["every", "optional"])
def test_old_and_new_code_at_once_where_the_sync_makes_the_rows(
    pair: Make, database_url: str, rows: Rows
) -> None:
    it = pair(EXTRACT_TABLES, replace(EXTRACT, rows=rows))
    it.run("INSERT INTO users (id) VALUES (3), (4)")
    new = NEW_OUT if rows == "every" else NEW_OUT + LEAVE_OUT
    assert crowded(it, database_url, [OLD_OUT] * 3 + [new] * 3) == ({}, 0)


# -- the backfill -------------------------------------------------------------------------------------------
class Waiting:
    """A statement of another session that waits for a lock."""

    def __init__(self, url: str, statement: str, watcher: Connection) -> None:
        self.errors: list[psycopg.Error] = []

        def work() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                self.pid = connection.info.backend_pid
                ready.set()
                try:
                    connection.execute(statement.encode())
                except psycopg.Error as error:
                    self.errors.append(error)

        ready = threading.Event()
        self.thread = threading.Thread(target=work)
        self.thread.start()
        assert ready.wait(30)
        for _ in range(2000):
            row = watcher.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", (self.pid,)).fetchone()
            if row == (True,):
                return
            time.sleep(0.01)
        raise AssertionError("it does not wait")

    def end(self) -> list[psycopg.Error]:
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.errors


FROM_TARGET = (
    "UPDATE profiles SET nick = (SELECT nick FROM users WHERE users.id = profiles.user_id) WHERE id = 10"
)


@pytest.mark.parametrize(("how", "expected"), [("touch", "new"), ("from the target", "ann")])
def test_only_a_touch_of_the_source_loses_no_update(
    pair: Make, database_url: str, how: str, expected: str
) -> None:
    """The other backfill, shown as the reason why, puts the old value back at both ends."""
    it = pair(DOWN_TABLES, DOWN, fill=False)
    touch = cross_sync.touch(DOWN)
    statement = f"UPDATE users SET nick = nick WHERE {touch.where}" if how == "touch" else FROM_TARGET
    with psycopg.connect(database_url) as writer:
        writer.execute("UPDATE users SET nick = 'new' WHERE id = 1")
        waiting = Waiting(database_url, statement, it.connection)
        writer.commit()
    assert (waiting.end(), it.values(USER_NICK + " UNION SELECT nick FROM profiles WHERE id = 10")) == (
        [],
        [expected],
    )


@pytest.mark.parametrize("mode", [JournalMode.OFF, JournalMode.ON])
@pytest.mark.parametrize("rows", ["found", "every", "optional"])
def test_the_engine_fills_while_both_ends_are_written(
    pair: Make, database_url: str, rows: Rows, mode: JournalMode
) -> None:
    tables, link = (DOWN_TABLES, DOWN) if rows == "found" else (EXTRACT_TABLES, replace(EXTRACT, rows=rows))
    it = pair(tables, link, fill=False)
    for role in ("source", "target"):
        run(it.connection, cross_sync.disarm(link, role))
    column = link.source.values[0].column
    it.run(f"INSERT INTO users (id, {column}) SELECT g, 'v' || g FROM generate_series(5, 3000) g")
    if rows == "found":
        it.run("INSERT INTO profiles (id, user_id) SELECT id * 10, id FROM users WHERE id > 4")
    it.run("INSERT INTO users (id) VALUES (4)")
    arm(it.connection, link)
    touch = cross_sync.touch(link)
    spec = Spec("touch", link.source.table, touch.assignments, touch.where, mismatch=touch.mismatch)
    before = it.wrong
    errors: dict[str, int] = {}
    old, new = (OLD_DOWN[:4], NEW_DOWN[:1]) if rows == "found" else (OLD_OUT[:5], NEW_OUT[:2])
    writers = threading.Thread(
        target=lambda: errors.update(crowd(database_url, [old, new], seconds=2, keys=1000))
    )
    writers.start()
    outcome = fill(database_url, spec, undo_journal_mode=mode)
    writers.join()
    assert before > 2000
    assert (errors, it.wrong, outcome.state) == ({}, 0, State.DONE)


def test_a_batch_reads_the_other_table_by_its_index(pair: Make) -> None:
    it = pair(EXTRACT_TABLES, EXTRACT)
    it.run("INSERT INTO users SELECT g, 'v' || g FROM generate_series(5, 20000) g; ANALYZE users, addresses")
    plan = "\n".join(
        map(
            str,
            it.values(
                "EXPLAIN UPDATE users SET city = city WHERE id > 500 AND id <= 4500 AND "
                f"({cross_sync.touch(EXTRACT).where})"
            ),
        )
    )
    assert "Seq Scan" not in plan, plan


# -- locks --------------------------------------------------------------------------------------------------
def test_opposite_ends_in_one_instant_deadlock(pair: Make, database_url: str) -> None:
    """What the notes warn of."""
    it = pair(DOWN_TABLES, DOWN)
    with psycopg.connect(database_url) as new:
        new.execute("SELECT FROM profiles WHERE id = 10 FOR NO KEY UPDATE")
        old = Waiting(database_url, "UPDATE users SET nick = 'old' WHERE id = 1", it.connection)
        errors: list[psycopg.Error] = []
        try:
            new.execute("UPDATE profiles SET nick = 'new' WHERE id = 10")
            new.commit()
        except psycopg.Error as error:
            errors.append(error)
            new.rollback()
    errors += old.end()
    assert [type(error) for error in errors] == [psycopg.errors.DeadlockDetected]
    assert it.wrong == 0


def test_source_first_they_do_not(pair: Make, database_url: str) -> None:
    it = pair(DOWN_TABLES, DOWN)
    with psycopg.connect(database_url) as new:
        new.execute("SELECT FROM users WHERE id = 1 FOR NO KEY UPDATE")
        old = Waiting(database_url, "UPDATE users SET nick = 'old' WHERE id = 1", it.connection)
        new.execute("UPDATE profiles SET nick = 'new' WHERE id = 10")
        new.commit()
    assert (old.end(), it.values(USER_NICK), it.wrong) == ([], ["old"], 0)


def test_an_insert_waits_for_the_writer_of_its_parent(pair: Make, database_url: str) -> None:
    it = pair(DOWN_TABLES, DOWN)
    with psycopg.connect(database_url) as old:
        old.execute("UPDATE users SET nick = 'new' WHERE id = 1")
        insert = Waiting(database_url, "INSERT INTO profiles (id, user_id) VALUES (12, 1)", it.connection)
        old.commit()
    assert (insert.end(), it.values(PROFILE_NICKS), it.wrong) == ([], ["new"] * 3, 0)


# -- names, types and sessions ------------------------------------------------------------------------------
LONG = "x" * 62
NAMES = {
    "mixed case": ("User", "Pro file", "Nick"),
    "reserved words": ("user", "order", "select"),
    "words of PL/pgSQL": ("loop", "begin", "if"),
    "its own words": ("o", "partner", "written"),
    "more of its own": ("partner", "new", "push_0"),
    "quotes": ("it's", 'a"b', "c'd"),
    "percent": ("100%s", "a :b", "c\\d"),
    "unicode": ("Straße", "größe", "höhe"),
    "63 bytes": (f"s{LONG}", f"t{LONG}", f"c{LONG}"),
}


@pytest.mark.parametrize("rows", ["found", "every", "optional"])
@pytest.mark.parametrize("names", list(NAMES))
def test_names_of_all_kinds(connection: Connection, names: str, rows: Rows) -> None:
    first, second, column = NAMES[names]
    source, target = QualifiedName(first), QualifiedName(second, "app")
    value = Side(column, "numeric", exact=False)
    end = End(source, (column + "k" if names != "63 bytes" else "k",), ("k",), (value,))
    key = quote(end.key[0])
    end = replace(end, row=end.key)
    link = Link(
        end,
        replace(end, table=target),
        "target",
        QualifiedName("sync_" + LONG[:50], "evolve"),
        TRIGGER,
        rows=rows,
    )
    connection.execute("CREATE SCHEMA app")
    connection.execute(f"CREATE TABLE {source} ({key} int PRIMARY KEY, {quote(column)} numeric)".encode())
    connection.execute(
        f"CREATE TABLE {target} ({key} int PRIMARY KEY REFERENCES {source} {cross_sync.ON_PARENT},"
        f" {quote(column)} numeric)".encode()
    )
    arm(connection, link)
    it = Pair(connection, link)
    it.run(f"INSERT INTO {source} VALUES (1, 1.0)")
    if rows == "found":
        it.run(f"INSERT INTO {target} VALUES (1)")
    it.run(f"UPDATE {target} SET {quote(column)} = 1.00")
    backfill(connection, link)
    found = it.values(f"SELECT {quote(column)}::text FROM {source}")
    connection.execute(f"SELECT 1 FROM {source} WHERE {cross_sync.homeless(link)}".encode())
    assert (found, it.wrong) == (["1.00"], 0)


@pytest.mark.parametrize("path", ["pg_temp", "", "v2, public"])
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_no_setting_of_the_session_changes_the_direction(pair: Make, path: str, role: str) -> None:
    it = pair(DOWN_TABLES, DOWN)
    it.connection.execute("SELECT set_config('search_path', %s, false)", (path,))
    it.run(f"SET session_replication_role = {role}")
    it.run(
        "UPDATE public.users SET nick = 'new' WHERE id = 1; UPDATE public.profiles SET nick = 'two' WHERE id = 20"
    )
    it.run("RESET search_path")
    assert (it.values("SELECT nick FROM users WHERE id < 3 ORDER BY id"), it.wrong) == (["new", "two"], 0)


def test_a_role_with_rights_on_one_table_only_can_write(pair: Make) -> None:
    it = pair(DOWN_TABLES, DOWN)
    it.run("DROP ROLE IF EXISTS cross_writer; CREATE ROLE cross_writer")
    it.run("GRANT SELECT, UPDATE ON users TO cross_writer")
    it.run("SET ROLE cross_writer; UPDATE users SET nick = 'new' WHERE id = 1; RESET ROLE")
    it.run("DROP OWNED BY cross_writer; DROP ROLE cross_writer")
    assert it.wrong == 0


def test_nobody_else_may_use_the_functions(pair: Make) -> None:
    it = pair(DOWN_TABLES, DOWN)
    assert it.values(
        "SELECT DISTINCT proacl::text LIKE '%=X%,%' OR proacl IS NULL FROM pg_proc"
        " WHERE pronamespace = 'evolve'::regnamespace"
    ) == [False]


def test_a_deferred_foreign_key_lets_the_child_come_first(pair: Make) -> None:
    it = pair(
        DOWN_TABLES.replace("ON DELETE SET NULL", "ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED"), DOWN
    )
    it.run("BEGIN; INSERT INTO profiles VALUES (50, 5, 'new'); INSERT INTO users (id) VALUES (5); COMMIT")
    assert (it.values("SELECT nick FROM users WHERE id = 5"), it.wrong) == (["new"], 0)


def test_both_rows_come_from_two_transactions_under_a_deferred_foreign_key(
    pair: Make, database_url: str
) -> None:
    it = pair(
        DOWN_TABLES.replace("ON DELETE SET NULL", "ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED"), DOWN
    )
    with psycopg.connect(database_url) as old, psycopg.connect(database_url) as new:
        new.execute("INSERT INTO profiles (id, user_id) VALUES (50, 5)")
        old.execute("INSERT INTO users VALUES (5, 'old')")
        old.commit()
        new.commit()
    assert (it.values("SELECT nick FROM profiles WHERE id = 50"), it.wrong) == (["old"], 0)


def test_it_gives_what_the_tables_own_triggers_made_of_the_row(pair: Make) -> None:
    it = pair(DOWN_TABLES, DOWN)
    it.run("""
        CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN UPDATE users SET nick = 'tidied' WHERE id = NEW.id AND nick = 'raw'; RETURN NULL; END $$;
        CREATE TRIGGER tidy AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION tidy();
    """)
    it.run("UPDATE users SET nick = 'raw' WHERE id = 1")
    assert (it.values(PROFILE_NICKS), it.wrong) == (["tidied"] * 2, 0)


def test_disarmed_nothing_is_left(pair: Make) -> None:
    it = pair(DOWN_TABLES, DOWN)
    run(it.connection, cross_sync.disarm(DOWN, "source"))
    run(it.connection, cross_sync.disarm(DOWN, "target"))
    run(it.connection, cross_sync.drop_functions(DOWN))
    assert it.values("SELECT proname FROM pg_proc WHERE pronamespace = 'evolve'::regnamespace") == []


def test_values_that_would_overwrite_each_other_are_counted(pair: Make) -> None:
    it = pair(UP_TABLES, UP)
    run(it.connection, cross_sync.disarm(UP, "source"))
    it.run("UPDATE orders SET mail = id::text WHERE id < 20")
    assert it.values(f"SELECT id FROM orders WHERE {cross_sync.disagreeing(UP)} ORDER BY id") == [10, 11]


def test_values_without_a_target_row_are_counted(pair: Make) -> None:
    it = pair(DOWN_TABLES, DOWN)
    it.run("INSERT INTO users VALUES (7, 'g'), (8, NULL)")
    assert it.values(f"SELECT id FROM users WHERE {cross_sync.homeless(DOWN)}") == [7]
