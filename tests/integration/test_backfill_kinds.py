"""Joined updates, copies and deletes: what they do, what concurrent writers see, and what is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from support.backfill import Quiet, command_line, fill

from evolve.app.backfill_work import Outcome, Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode, KeepsNoJournal
from evolve.backfill.works import UPDATE, Conflict, Delete, InsertSelect, JoinedUpdate, Work
from evolve.errors import EvolveError
from evolve.postgres.backfill_target import MayNot
from evolve.postgres.plan_check import PlanIgnoresKey
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

USERS = QualifiedName("users")
ADDRESSES = QualifiedName("addresses")
ARCHIVE = QualifiedName("archive")
TABLES = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, city text);
    CREATE TABLE addresses (id bigint PRIMARY KEY, user_id bigint NOT NULL UNIQUE, kind text, city text NOT NULL);
    CREATE TABLE archive (id bigint NOT NULL, name text);
    INSERT INTO users SELECT g, 'n' || g FROM generate_series(1, 1000) g;
    INSERT INTO addresses SELECT g + 5, g, 'home', 'c' || g FROM generate_series(1, 900) g;
"""
JOIN = JoinedUpdate(ADDRESSES, "a", "a.user_id = users.id")


@pytest.fixture
def database(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TABLES)
    return database_url


def joined(work: JoinedUpdate = JOIN, expression: str = "a.city", where: str | None = None) -> Spec:
    return Spec("cities", USERS, (("city", expression),), where, work=work)


def copied(work: InsertSelect | None = None, where: str | None = None) -> Spec:
    return Spec(
        "copies", USERS, (("id", "id"), ("name", "upper(name)")), where, work=work or InsertSelect(ARCHIVE)
    )


def undo(url: str, name: str) -> Outcome:
    quiet = Quiet()
    return undo_backfill(url, name, pace=Pace(largest=100), stop=quiet, watch=quiet)


def value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]


def test_a_joined_row_gives_its_value(database: str) -> None:
    outcome = fill(database, joined())
    assert (outcome.rows, outcome.verdict and outcome.verdict.misses) == (900, 0)
    assert value(database, "SELECT count(*) FROM users WHERE city = 'c' || id") == 900


@pytest.mark.parametrize("work", [JOIN, JoinedUpdate(ADDRESSES, "a", JOIN.on, lock=True)])
def test_a_joined_update_is_taken_back(database: str, work: JoinedUpdate) -> None:
    fill(database, joined(work, "'x' || a.city", "a.kind = 'home' AND users.id <= 500"))
    assert undo(database, "cities").rows == 500
    assert value(database, "SELECT count(city) FROM users") == 0


def test_a_partner_that_is_wrong_is_a_miss(database: str) -> None:
    fill(database, joined())
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE addresses SET city = 'moved' WHERE user_id = 7")
    outcome = fill(database, joined(), restart=True, verify=False)
    assert (outcome.rows, value(database, "SELECT city FROM users WHERE id = 7")) == (900, "moved")


@contextmanager
def held(url: str, statements: str) -> Iterator[Callable[[int], None]]:
    """Something to do before the first batch: `statements`, whose commit comes while that batch waits for it."""
    threads: list[threading.Thread] = []

    def commit(connection: psycopg.Connection) -> None:
        waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        ends = time.monotonic() + 20
        with closing(connection), psycopg.connect(url, autocommit=True) as watcher:
            while watcher.execute(waiting, (connection.info.backend_pid,)).fetchone() != (True,):
                if time.monotonic() > ends:
                    break
                time.sleep(0.01)
            connection.commit()

    def begin(batch: int) -> None:
        if batch == 0:
            connection = psycopg.connect(url)
            connection.execute(statements.encode())
            threads.append(threading.Thread(target=commit, args=(connection,)))
            threads[-1].start()

    yield begin
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("mode", "lock", "city"),
    [(JournalMode.OFF, False, "c7"), (JournalMode.OFF, True, "moved"), (JournalMode.ON, True, "moved")],
)
def test_a_partner_that_changes_meanwhile_is_waited_for_under_a_lock(
    database: str, mode: JournalMode, lock: bool, city: str
) -> None:
    work = JoinedUpdate(ADDRESSES, "a", JOIN.on, lock)
    with held(
        database,
        "UPDATE addresses SET city = 'moved' WHERE user_id = 7; UPDATE users SET city = 'moved' WHERE id = 7",
    ) as begin:
        outcome = fill(database, joined(work), Quiet(between=begin), undo_journal_mode=mode)
    assert value(database, "SELECT city FROM users WHERE id = 7") == city
    assert outcome.verdict is not None
    assert outcome.verdict.misses == (city == "c7")


def test_each_row_is_copied_once_through_stops_and_lost_connections(database: str) -> None:
    def cut(batch: int) -> None:
        if batch in (2, 5):
            with psycopg.connect(database) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'evolve backfill%' AND datname = current_database()"
                )

    outcome = fill(database, copied(), Quiet(between=cut))
    assert (outcome.state, outcome.rows) == (State.DONE, 1000)
    assert outcome.verdict is not None
    assert outcome.verdict.clean
    assert value(database, "SELECT count(DISTINCT id) FROM archive WHERE name = 'N' || id") == 1000
    assert value(database, "SELECT count(*) FROM archive") == 1000


def test_workers_share_a_copy(database: str) -> None:
    assert fill(database, copied(where="id % 2 = 0"), pace=Pace(largest=50, workers=3)).rows == 500
    assert value(database, "SELECT count(*) FROM archive") == 500


def test_what_is_there_already_stays_where_that_is_said(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE archive ADD PRIMARY KEY (id)")
        connection.execute("INSERT INTO archive VALUES (7, 'old')")
    outcome = fill(database, copied(InsertSelect(ARCHIVE, Conflict.NOTHING)))
    assert (outcome.rows, outcome.good) == (999, True)
    assert value(database, "SELECT name FROM archive WHERE id = 7") == "old"


@pytest.mark.parametrize(("lock", "ghosts"), [(True, 0), (False, 1)])
def test_a_row_that_is_deleted_meanwhile_is_not_copied_under_a_lock(
    database: str, lock: bool, ghosts: int
) -> None:
    # What holds up the copy without a lock is another row of the archive.
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE archive ADD PRIMARY KEY (id)")
    work = InsertSelect(ARCHIVE, Conflict.NOTHING, lock)
    with held(database, "DELETE FROM users WHERE id = 7; INSERT INTO archive VALUES (5, 'n5')") as begin:
        fill(database, copied(work), Quiet(between=begin))
    assert value(database, "SELECT count(*) FROM archive WHERE id = 7") == ghosts


def test_a_copy_that_is_there_already_is_set_aside(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE archive ADD PRIMARY KEY (id)")
        connection.execute("INSERT INTO archive VALUES (777, 'old')")
    outcome = fill(database, copied())
    assert (outcome.rows, outcome.rejects) == (999, 1)


def test_a_row_that_is_held_by_a_foreign_key_is_set_aside(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM addresses WHERE user_id <> 777")
        connection.execute("ALTER TABLE addresses ADD FOREIGN KEY (user_id) REFERENCES users")
    outcome = fill(database, Spec("purge", USERS, where="id > 500", work=Delete()))
    assert (outcome.rows, outcome.rejects) == (499, 1)


def test_a_copy_survives_kills(database: str) -> None:
    copy = ("users", "--into", "archive", "--columns", "id,name", "--name", "copy")
    with command_line(database) as cli:
        process = cli.start("run", *copy, "--max-batch", "10", "--max-rows-per-second", "500")
        for _ in range(3):
            copies = value(database, "SELECT count(*) FROM archive")
            until = time.monotonic() + 20
            while value(database, "SELECT count(*) FROM archive") == copies:
                assert time.monotonic() < until
                time.sleep(0.01)
            process.kill()
            process.wait()
            process = cli.start("resume", "copy", "--max-batch", "10", "--max-rows-per-second", "500")
        assert process.wait(timeout=30) == 0
    assert value(database, "SELECT count(*) FROM archive") == 1000
    assert value(database, "SELECT count(DISTINCT id) FROM archive") == 1000


def test_rows_without_a_key_are_deleted_and_joined_by_their_places(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE users DROP CONSTRAINT users_pkey")
    purge = Spec("purge", USERS, where="id > 900", key=("ctid",), work=Delete())
    assert (fill(database, purge).rows, value(database, "SELECT count(*) FROM users")) == (100, 900)
    cities = Spec("cities", USERS, (("city", "a.city"),), "users.city IS NULL", ("ctid",), work=JOIN)
    assert fill(database, cities).good
    assert value(database, "SELECT count(*) FROM users WHERE city = 'c' || id") == 900


def test_rows_are_deleted(database: str) -> None:
    outcome = fill(database, Spec("purge", USERS, where="id % 10 = 0", work=Delete()))
    assert (outcome.rows, outcome.good) == (100, True)
    assert value(database, "SELECT count(*) FROM users WHERE id % 10 = 0") == 0


@pytest.mark.parametrize(
    "spec", [copied(), Spec("purge", USERS, where="id > 900", work=Delete())], ids=["copy", "delete"]
)
def test_there_is_no_undo_where_rows_come_or_go(database: str, spec: Spec) -> None:
    with pytest.raises(KeepsNoJournal):
        fill(database, spec, undo_journal_mode=JournalMode.ON)
    fill(database, spec)
    with pytest.raises(KeepsNoJournal):
        undo(database, spec.name)


@pytest.mark.parametrize("work", [JOIN, InsertSelect(ARCHIVE), Delete()], ids=["join", "copy", "delete"])
def test_partitions_are_gone_through_by_their_table(database: str, work: Work) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "ALTER TABLE users RENAME TO old_users; CREATE TABLE users (LIKE old_users) PARTITION BY RANGE (id);"
            " ALTER TABLE users ADD PRIMARY KEY (id);"
            " CREATE TABLE low PARTITION OF users FOR VALUES FROM (0) TO (500);"
            " CREATE TABLE high PARTITION OF users DEFAULT; INSERT INTO users SELECT * FROM old_users"
        )
    values = {JoinedUpdate: (("city", "a.city"),), InsertSelect: (("id", "users.id"),), Delete: ()}[
        type(work)
    ]
    where = "users.id > 450 AND users.id <= 550"
    assert fill(database, Spec("parts", USERS, values, where, work=work)).rows == 100


EXTRA = """
    CREATE VIEW seen AS SELECT * FROM users;
    CREATE TABLE many (user_id bigint NOT NULL, city text);
    CREATE TABLE made (id bigint, twice bigint GENERATED ALWAYS AS (id * 2) STORED,
                       serial bigint GENERATED ALWAYS AS IDENTITY);
    CREATE TABLE no_key (id bigint);
    CREATE TABLE parts (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE part PARTITION OF parts DEFAULT;
"""
MADE = QualifiedName("made")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            joined(JoinedUpdate(QualifiedName("many"), "m", "m.user_id = users.id"), "m.city"),
            "several partners",
        ),
        (joined(JoinedUpdate(ADDRESSES, "a", "a.user_id > users.id")), "several partners"),
        (joined(JoinedUpdate(QualifiedName("nothing_here"), "a", "true")), 'no table "nothing_here"'),
        (joined(JoinedUpdate(ADDRESSES, "users", "true")), 'is called "users"'),
        (joined(JoinedUpdate(ADDRESSES, "a", "a.nothing = users.id")), "--join predicate"),
        (joined(expression="a.nothing"), "the expression for city"),
        (joined(where="city IS NULL"), "ambiguous"),
        (joined(expression="a.user_id + now()"), "operator does not exist"),
        (copied(InsertSelect(QualifiedName("nothing_here"))), 'no table "nothing_here"'),
        (copied(InsertSelect(QualifiedName("seen"))), "is a view"),
        (copied(InsertSelect(USERS)), "rows of the same table"),
        (
            Spec("x", QualifiedName("parts"), (("id", "id"),), work=InsertSelect(QualifiedName("part"))),
            "same table",
        ),
        (Spec("x", USERS, (("twice", "id"),), work=InsertSelect(MADE)), "PostgreSQL generates it"),
        (Spec("x", USERS, (("serial", "id"),), work=InsertSelect(MADE)), "GENERATED ALWAYS AS IDENTITY"),
        (Spec("x", USERS, (("nothing", "id"),), work=InsertSelect(MADE)), 'no column "nothing"'),
        (Spec("x", USERS, (("id", "name"),), work=InsertSelect(ARCHIVE)), "is of type bigint"),
        (Spec("x", USERS, (("name", "name"),), work=InsertSelect(ARCHIVE)), "violates not-null"),
        (
            Spec(
                "x", QualifiedName("no_key"), (("id", "id"),), "true", ("ctid",), work=InsertSelect(ARCHIVE)
            ),
            "by ctid for this kind of work",
        ),
        (Spec("x", USERS, work=InsertSelect(ARCHIVE)), "gives no column a value"),
        (Spec("x", USERS, work=UPDATE), "gives no column a value"),
        (Spec("x", USERS, work=Delete()), "deletes every row"),
        (Spec("x", USERS, where="id = 1) OR (true", work=Delete()), "not one expression"),
        (Spec("x", QualifiedName("seen"), where="true", work=Delete()), "is a view"),
    ],
)
def test_refused_before_anything_is_written(database: str, spec: Spec, says: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(EXTRA)
        with pytest.raises(EvolveError) as refused:
            fill(database, spec)
        assert says in str(refused.value)
        assert connection.execute("SELECT to_regnamespace('evolve')").fetchone() == (None,)


def test_a_plan_that_reads_the_joined_table_whole_is_refused(database: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE addresses ALTER kind SET STORAGE PLAIN")
        connection.execute(
            "INSERT INTO addresses SELECT g, g, repeat('x', 2000), 'c' FROM generate_series(10000, 14500) g"
        )
        for way in ("indexscan", "indexonlyscan", "bitmapscan"):
            connection.execute(f'ALTER DATABASE "{name}" SET enable_{way} = off'.encode())
    with pytest.raises(PlanIgnoresKey, match='read "addresses" by a sequential scan, not by an index'):
        fill(database, joined())


def test_a_column_that_a_trigger_overwrites_is_refused(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN NEW.city := upper(NEW.city); RETURN NEW; END$$;"
            " CREATE TRIGGER shouts BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION shout()"
        )
    with pytest.raises(EvolveError) as refused:
        fill(database, Spec("x", USERS, (("city", "'Köln'"), ("name", "name"))))
    assert '"users.city" does not keep what it is given' in str(refused.value)
    assert "shouts" in str(refused.value)
    fill(database, Spec("x", USERS, (("name", "name || random()"), ("city", "'KIEL'"))))
    assert value(database, "SELECT count(*) FROM users WHERE city = 'KIEL' AND name ~ '[.]'") == 1000


@pytest.mark.parametrize(
    ("spec", "grants", "missing"),
    [
        (joined(), "GRANT SELECT, UPDATE ON users TO", 'GRANT SELECT ON addresses TO "'),
        (
            joined(JoinedUpdate(ADDRESSES, "a", JOIN.on, lock=True)),
            "GRANT SELECT, UPDATE ON users TO {0}; GRANT SELECT ON addresses TO",
            'GRANT UPDATE ON addresses TO "',
        ),
        (copied(), "GRANT SELECT, UPDATE ON users TO", 'GRANT INSERT ON archive TO "'),
        (copied(), "GRANT SELECT ON users TO {0}; GRANT INSERT ON archive TO", 'GRANT UPDATE ON users TO "'),
        (
            Spec("purge", USERS, where="id > 900", work=Delete()),
            "GRANT SELECT, UPDATE ON users TO",
            'GRANT DELETE ON users TO "',
        ),
    ],
)
def test_a_right_that_is_missing_is_told(database: str, spec: Spec, grants: str, missing: str) -> None:
    role = "porter_" + str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])[-8:]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'porter'".encode())
        try:
            connection.execute(f"{grants.format(role)} {role}".encode())
            url = psycopg.conninfo.make_conninfo(database, user=role, password="porter")  # noqa: S106
            with pytest.raises(MayNot, match=missing):
                fill(url, spec)
        finally:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_the_command_line_says_what_it_does(database: str) -> None:
    with command_line(database) as cli:
        join = ("users.city", "--set", "a.city", "--from", "addresses a", "--join", "a.user_id = users.id")
        tried = cli.run("run", *join, "--dry-run")
        assert 'FROM "public"."addresses" AS "a"' in tried
        cli.run("run", *join, "--no-verify")
        shown = cli.status("users.city")
        assert shown["work"] == {
            "kind": "join",
            "source": {"name": "addresses", "schema": "public"},
            "alias": "a",
            "on": "a.user_id = users.id",
        }
        changed = cli.fail("run", *join, "--lock-source", expect=1)
        assert "lock: False → True" in changed
        assert "a.city from addresses a on a.user_id = users.id" in cli.run("status", "users.city")
        printed = cli.run("run", "users", "--delete", "--where", "id > 990", "--format", "json")
        gone = json.loads(printed.splitlines()[-1])
        assert (gone["name"], gone["rows"]) == ("users-delete", 10)
