"""The sync of a foreign key column and the junction table that takes its place, on a real server."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest

from evolve.plan import junction_sync, sync
from evolve.plan.junction_sync import Junction
from evolve.sql.names import QualifiedName
from evolve.sql.statements import Statement

pytestmark = pytest.mark.server

Connection = psycopg.Connection[tuple[object, ...]]

TABLES = """
    CREATE TABLE tags (id int PRIMARY KEY);
    CREATE TABLE posts (id int PRIMARY KEY, tag_id int REFERENCES tags, other text);
    CREATE TABLE post_tags (post_id int REFERENCES posts ON DELETE CASCADE ON UPDATE CASCADE,
        tag_id int REFERENCES tags, PRIMARY KEY (post_id, tag_id));
    INSERT INTO tags SELECT generate_series(1, 9);
    INSERT INTO posts VALUES (1, 1), (2, 2), (3, NULL), (4, 1);
"""
LINK = Junction(
    QualifiedName("posts"),
    ("id",),
    ("tag_id",),
    QualifiedName("post_tags"),
    ("post_id",),
    ("tag_id",),
    QualifiedName("sync_it", "evolve"),
    "zz_evolve_it",
)


@dataclass
class Posts:
    connection: Connection

    def run(self, text: str) -> None:
        self.connection.execute(text.encode())

    def one(self, text: str) -> object:
        row = self.connection.execute(text.encode()).fetchone()
        assert row is not None
        return row[0]

    def backfill(self) -> None:
        touch = junction_sync.touch(LINK)
        self.run(
            f"UPDATE posts SET {touch.assignments[0][0]} = {touch.assignments[0][1]} WHERE {touch.where}"
        )

    @property
    def wrong(self) -> object:
        return self.one(f"SELECT count(*) FROM posts WHERE {junction_sync.wrong(LINK)}")

    def state(self, post: int) -> object:
        """The column, then the junction's rows."""
        return self.one(
            f"SELECT (SELECT coalesce(tag_id::text, '-') FROM posts WHERE id = {post}) || ':' ||"
            " coalesce((SELECT string_agg(tag_id::text, ',' ORDER BY tag_id)"
            f" FROM post_tags WHERE post_id = {post}), '')"
        )


def run(connection: Connection, statements: tuple[Statement, ...]) -> None:
    for statement in statements:
        connection.execute(statement.sql.encode())


@pytest.fixture
def unfilled(database_url: str) -> Iterator[Posts]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        run(connection, (sync.create_schema(),))
        run(connection, junction_sync.arm(LINK, "junction"))
        run(connection, junction_sync.arm(LINK, "child"))
        yield Posts(connection)


@pytest.fixture
def posts(unfilled: Posts) -> Posts:
    unfilled.backfill()
    return unfilled


CASES: dict[str, tuple[str, int, str]] = {
    "backfilled": ("SELECT", 1, "1:1"),
    "backfilled null": ("SELECT", 3, "-:"),
    "old update": ("UPDATE posts SET tag_id = 5 WHERE id = 1", 1, "5:5"),
    "old update to null": ("UPDATE posts SET tag_id = NULL WHERE id = 1", 1, "-:"),
    "old update from null": ("UPDATE posts SET tag_id = 5 WHERE id = 3", 3, "5:5"),
    "old update of something else": ("UPDATE posts SET other = 'x' WHERE id = 1", 1, "1:1"),
    "old update of all": ("UPDATE posts SET tag_id = 6", 3, "6:6"),
    "old insert": ("INSERT INTO posts VALUES (5, 5)", 5, "5:5"),
    "new insert": (
        "BEGIN; INSERT INTO posts VALUES (5); INSERT INTO post_tags VALUES (5, 5); COMMIT",
        5,
        "5:5",
    ),
    "second parent": ("INSERT INTO post_tags VALUES (2, 1)", 2, "2:1,2"),
    "old update with two": (
        "INSERT INTO post_tags VALUES (2, 1); UPDATE posts SET tag_id = 7 WHERE id = 2",
        2,
        "7:1,7",
    ),
    "old update to null with two": (
        "INSERT INTO post_tags VALUES (2, 1); UPDATE posts SET tag_id = NULL WHERE id = 2",
        2,
        "1:1",
    ),
    "the one shown deleted": (
        "INSERT INTO post_tags VALUES (2, 1), (2, 5); DELETE FROM post_tags WHERE post_id = 2 AND tag_id = 2",
        2,
        "1:1,5",
    ),
    "another deleted": (
        "INSERT INTO post_tags VALUES (2, 1); DELETE FROM post_tags WHERE tag_id = 1",
        2,
        "2:2",
    ),
    "all deleted": ("INSERT INTO post_tags VALUES (2, 1); DELETE FROM post_tags WHERE post_id = 2", 2, "-:"),
    "replaced": (
        "BEGIN; DELETE FROM post_tags WHERE post_id = 2; INSERT INTO post_tags VALUES (2, 8); COMMIT",
        2,
        "8:8",
    ),
    "replaced at once": (
        "WITH gone AS (DELETE FROM post_tags WHERE post_id = 2) INSERT INTO post_tags VALUES (2, 8)",
        2,
        "8:8",
    ),
    "junction update": ("UPDATE post_tags SET tag_id = 8 WHERE post_id = 2", 2, "8:8"),
    "junction upsert": ("INSERT INTO post_tags VALUES (2, 2) ON CONFLICT DO NOTHING", 2, "2:2"),
    "row given to another child": ("UPDATE post_tags SET post_id = 3 WHERE post_id = 2", 3, "2:2"),
    "key": ("UPDATE posts SET id = 6 WHERE id = 2", 6, "2:2"),
    "key without cascade": (
        "SET session_replication_role = replica; UPDATE posts SET id = 6 WHERE id = 2",
        6,
        "2:2",
    ),
    "old update in a session without triggers": (
        "SET session_replication_role = replica; UPDATE posts SET tag_id = 5 WHERE id = 2",
        2,
        "5:5",
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_column_shows_one_of_the_rows(posts: Posts, case: str) -> None:
    statement, post, expected = CASES[case]
    posts.run(statement)
    assert (posts.state(post), posts.wrong) == (expected, 0)


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_a_child_takes_its_rows_along(posts: Posts, role: str) -> None:
    posts.run(f"SET session_replication_role = {role}; DELETE FROM posts WHERE id = 2")
    assert posts.one("SELECT count(*) FROM post_tags WHERE post_id = 2") == 0


def test_children_with_several_parents_are_counted(posts: Posts) -> None:
    posts.run("INSERT INTO post_tags VALUES (2, 1), (3, 1)")
    query = f"SELECT array_agg(id) FROM posts WHERE {junction_sync.more_than_one(LINK)}"
    assert posts.one(query) == [2]


def test_a_second_parent_of_a_child_not_yet_filled_is_kept_beside_the_first(unfilled: Posts) -> None:
    unfilled.run("INSERT INTO post_tags VALUES (2, 7)")
    unfilled.backfill()
    assert unfilled.state(2) == "2:2,7"


def test_disarmed_nothing_is_left(posts: Posts) -> None:
    run(posts.connection, junction_sync.disarm(LINK, "child"))
    run(posts.connection, junction_sync.disarm(LINK, "junction"))
    run(posts.connection, junction_sync.drop_functions(LINK))
    assert posts.one("SELECT count(*) FROM pg_proc WHERE pronamespace = 'evolve'::regnamespace") == 0


LOCK = "SELECT FROM posts WHERE id = {k} FOR NO KEY UPDATE; "
OLD = [
    "UPDATE posts SET tag_id = {t} WHERE id = {k}",
    "UPDATE posts SET tag_id = NULL WHERE id = {k}",
    "UPDATE posts SET other = 'x' WHERE id = {k}",
    "INSERT INTO posts VALUES ({n}, {t})",
]
NEW = [
    "INSERT INTO post_tags VALUES ({k}, {t}) ON CONFLICT DO NOTHING",
    "INSERT INTO posts VALUES ({n}); INSERT INTO post_tags VALUES ({n}, {t})",
    LOCK + "DELETE FROM post_tags WHERE post_id = {k} AND tag_id = {t}",
    LOCK + "DELETE FROM post_tags WHERE post_id = {k}",
]


def test_old_and_new_code_at_once(posts: Posts, database_url: str) -> None:
    errors: list[str] = []
    ending = time.monotonic() + 2.5

    def work(number: int, jobs: list[str]) -> None:
        chance, done = random.Random(number), 0
        with psycopg.connect(database_url) as connection:
            while time.monotonic() < ending:
                done += 1
                write: Callable[..., str] = chance.choice(jobs).format
                try:
                    names = {
                        "k": chance.randint(1, 4),
                        "t": chance.randint(1, 9),
                        "n": number * 100_000 + done,
                    }
                    connection.execute(write(**names).encode())
                    connection.commit()
                except psycopg.Error as error:
                    connection.rollback()
                    errors.append(str(error))

    threads = [threading.Thread(target=work, args=(n, OLD if n % 2 else NEW)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (errors, posts.wrong) == ([], 0)
