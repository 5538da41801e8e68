"""rename-table on a real server: what the view bears, what it refuses, and the way back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.changes import Carried, Connection, table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.model import PhaseName
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.tables.rename_table import RenameTable
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

USERS = QualifiedName("users")
PHASES: tuple[PhaseName, ...] = ("expand", "switch", "contract")
RENAME = RenameTable(USERS, 'Löwen & "Co"')
PEOPLE = RenameTable(USERS, "people")

SCHEMA = """
    CREATE TABLE cities (name text PRIMARY KEY);
    CREATE TABLE users (
        id bigserial PRIMARY KEY,
        "User" text NOT NULL DEFAULT 'nobody',
        city text REFERENCES cities,
        made_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT users_name_key UNIQUE ("User")
    );
    CREATE TABLE pets (owner bigint REFERENCES users);
    CREATE VIEW cityless AS SELECT id FROM users WHERE city IS NULL;
    COMMENT ON TABLE users IS 'who they''re';
    GRANT SELECT ON users TO PUBLIC;
    GRANT INSERT, TRUNCATE ON users TO pg_monitor WITH GRANT OPTION;
    GRANT UPDATE ("User") ON users TO pg_monitor;
    INSERT INTO users ("User") SELECT n FROM generate_series(1, 20) n;
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def run(connection: Connection, query: str) -> None:
    with connection.cursor() as cursor:
        if query.startswith("COPY"):
            with cursor.copy(query.encode()) as copy:
                list(copy)
        else:
            cursor.execute(query.encode())


def one(connection: Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("end", [1, 2, 3])
def test_the_way_back_from_any_phase_restores_the_table(connection: Connection, end: int) -> None:
    carried = Carried(connection, RENAME)
    before = table(connection, "users")
    carried.up(*PHASES[:end])
    for name in reversed(PHASES[:end]):
        carried.down(carried.parts(name))
    assert replace(table(connection, "users"), bytes=None) == replace(before, bytes=None)
    assert one(connection, "SELECT count(*) FROM users") == 20


def test_the_table_is_what_it_was_under_its_new_name(connection: Connection) -> None:
    before = table(connection, "users")
    Carried(connection, PEOPLE).up(*PHASES)
    after = table(connection, "people")
    assert (after.columns, after.grants, after.comment) == (before.columns, before.grants, before.comment)
    assert LiveFacts(connection).relation(USERS) is None


@pytest.mark.parametrize(
    "query",
    [
        """INSERT INTO users (city) VALUES (NULL) RETURNING "User", id > 20, made_at <= now()""",
        """INSERT INTO users ("User") VALUES ('1') ON CONFLICT ("User") DO UPDATE SET made_at = now() RETURNING id""",
        """INSERT INTO users ("User") VALUES ('1') ON CONFLICT DO NOTHING""",
        """UPDATE users SET "User" = 'x' WHERE id = 1 RETURNING *""",
        "DELETE FROM users WHERE id = 2 RETURNING id",
        "SELECT * FROM users WHERE id = 3 FOR UPDATE SKIP LOCKED",
        "LOCK TABLE users IN EXCLUSIVE MODE",
        "COPY (SELECT * FROM users) TO STDOUT",
        "SELECT u.id FROM users u JOIN pets ON owner = u.id GROUP BY u.id",
        "EXPLAIN SELECT * FROM users",
    ],
)
def test_old_code_goes_on(connection: Connection, query: str) -> None:
    """What a client does on the table, it does on the view."""

    def outcome() -> object:
        with connection.transaction(force_rollback=True):
            if query.startswith("COPY"):
                with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
                    return b"".join(copy)
            cursor = connection.execute(query.encode())
            rows = cursor.fetchall() if cursor.description else []
            return [] if query.startswith("EXPLAIN") else (cursor.rowcount, len(rows))

    before = outcome()
    Carried(connection, PEOPLE).up("expand")
    assert outcome() == before


@pytest.mark.parametrize(
    "query",
    [
        "COPY users FROM STDIN",
        "COPY users TO STDOUT",
        "TRUNCATE users",
        """INSERT INTO users ("User") VALUES ('1') ON CONFLICT ON CONSTRAINT users_name_key DO NOTHING""",
        "SELECT ctid FROM users",
        "ALTER TABLE users ADD COLUMN c int",
        "CREATE TABLE more (u bigint REFERENCES users)",
    ],
)
def test_what_the_plan_says_the_view_refuses(connection: Connection, query: str) -> None:
    Carried(connection, PEOPLE).up("expand")
    with pytest.raises(psycopg.Error):
        run(connection, query)


def test_merge_is_named_where_the_server_refuses_it(connection: Connection) -> None:
    Carried(connection, PEOPLE).up("expand")
    merge = b"MERGE INTO users u USING cities c ON u.city = c.name WHEN MATCHED THEN DELETE"
    notes = " ".join(make_plan(RenameTable(QualifiedName("pets"), "animals"), LiveFacts(connection)).notes)
    if connection.info.server_version >= 170000:
        connection.execute(merge)
        assert "MERGE" not in notes
    else:
        with pytest.raises(psycopg.Error):
            connection.execute(merge)
        assert "MERGE" in notes


def test_prepared_statements_survive_every_phase_of_the_old_name(
    connection: Connection, database_url: str
) -> None:
    """In the session that prepared them, also those whose result has every column."""
    statements: list[tuple[str, tuple[object, ...]]] = [
        ("SELECT * FROM users WHERE id = %s", (1,)),
        ('UPDATE users SET "User" = "User" WHERE id = %s RETURNING *', (1,)),
        ('INSERT INTO users ("User") VALUES (%s) ON CONFLICT DO NOTHING', ("1",)),
        ("SELECT * FROM users WHERE id = %s FOR UPDATE", (1,)),
    ]
    carried = Carried(connection, PEOPLE)
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=0) as client:
        results = []
        for step in (None, "expand", "back"):
            if step == "expand":
                carried.up("expand")
            elif step == "back":
                carried.down(carried.parts("expand"))
            for _ in range(7):  # the server settles for a generic plan at the sixth
                results.append([client.execute(sql.encode(), values).rowcount for sql, values in statements])
        prepared = client.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared is not None
    assert prepared[0] == len(statements) + 1
    assert results == [[1, 1, 0, 1]] * 21


def test_a_client_that_waits_for_the_lock_goes_on_with_the_view(
    connection: Connection, database_url: str
) -> None:
    carried = Carried(connection, PEOPLE)
    found: list[object] = []

    def read() -> None:
        with psycopg.connect(database_url, autocommit=True) as client:
            found.append(client.execute("UPDATE users SET city = NULL").rowcount)

    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with connection.transaction():
        for statement in carried.parts("expand")[0].statements:
            connection.execute(statement.sql.encode())
        thread = threading.Thread(target=read)
        thread.start()
        while one(connection, waiting) == 0:
            pass
    thread.join(10)
    assert found == [20]


def test_expand_locks_no_other_table(connection: Connection) -> None:
    carried = Carried(connection, PEOPLE)
    with connection.transaction():
        for statement in carried.parts("expand")[0].statements:
            connection.execute(statement.sql.encode())
        locked = connection.execute(
            "SELECT c.relname, mode FROM pg_locks JOIN pg_class c ON c.oid = relation WHERE c.relkind IN ('r', 'i') "
            "AND c.relnamespace = 'public'::regnamespace AND mode <> 'AccessShareLock'"
        ).fetchall()
    assert locked == [("people", "AccessExclusiveLock")]


def test_contract_locks_the_view_alone(connection: Connection) -> None:
    carried = Carried(connection, PEOPLE)
    carried.up("expand")
    with connection.transaction():
        for statement in carried.parts("contract")[0].statements:
            connection.execute(statement.sql.encode())
        locked = one(
            connection,
            "SELECT count(*) FROM pg_locks WHERE relation = 'people'::regclass AND mode = 'AccessExclusiveLock'",
        )
    assert locked == 0


def test_privileges_are_those_of_the_table(connection: Connection) -> None:
    Carried(connection, PEOPLE).up("expand")
    view = LiveFacts(connection).view(USERS)
    assert view is not None
    assert [grant for grant in view.grants if grant[1] in ("PUBLIC", "pg_monitor")] == [
        ("INSERT", "pg_monitor", True),
        ("SELECT", "PUBLIC", False),
    ]
    assert one(connection, "SELECT has_column_privilege('pg_monitor', 'users', 'User', 'UPDATE')") is True
    assert view.comment == "who they're"


def test_row_security_holds_through_the_view(connection: Connection) -> None:
    if connection.info.server_version < 150000:
        pytest.skip("refused, as the next test tells")
    connection.execute("""
        ALTER TABLE users ENABLE ROW LEVEL SECURITY;
        CREATE POLICY seven ON users TO pg_monitor USING (id = 7);
    """)
    Carried(connection, PEOPLE).up("expand")
    with connection.transaction():
        connection.execute("SET LOCAL ROLE pg_monitor")
        assert one(connection, "SELECT count(*) FROM users") == 1


def test_row_security_is_refused_before_15(connection: Connection) -> None:
    connection.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    facts = LiveFacts(connection)
    facts.server_version = 140010
    with pytest.raises(Refused, match="row level security"):
        make_plan(PEOPLE, facts)


def test_the_gate_inside_contract_names_a_view_in_the_way(connection: Connection) -> None:
    carried = Carried(connection, PEOPLE)
    carried.up("expand")
    connection.execute("CREATE VIEW later AS SELECT id FROM users")
    with pytest.raises(psycopg.Error, match="no other view reads users") as raised:
        carried.up("contract")
    assert raised.value.sqlstate == "EV001"


def test_sequences_serve_both_names(connection: Connection) -> None:
    Carried(connection, PEOPLE).up("expand")
    ids = [
        one(connection, f"""INSERT INTO {name} ("User") VALUES ('{name}') RETURNING id""")
        for name in ("users", "people")
    ]
    assert ids == [21, 22]


def test_a_partitioned_table_may_be_renamed(connection: Connection) -> None:
    connection.execute("""
        CREATE TABLE events (day int) PARTITION BY LIST (day);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
    """)
    Carried(connection, RenameTable(QualifiedName("events"), "happenings")).up("expand")
    connection.execute("INSERT INTO events VALUES (1)")
    assert one(connection, "SELECT count(*) FROM events_1") == 1


REFUSED: dict[str, tuple[str, RenameTable, type[EvolveError], str]] = {
    "same": ("", RenameTable(USERS, "users"), Misuse, "already"),
    "taken by a table": ("", RenameTable(USERS, "cities"), Misuse, "table"),
    "taken by a view": ("", RenameTable(USERS, "cityless"), Misuse, "view"),
    "taken by an index": ("", RenameTable(USERS, "users_pkey"), Misuse, "index"),
    "taken by a sequence": ("", RenameTable(USERS, "users_id_seq"), Misuse, "sequence"),
    "taken by a type": ("CREATE TYPE mood AS ENUM ('a')", RenameTable(USERS, "mood"), Misuse, "type"),
    "a view": ("", RenameTable(QualifiedName("cityless"), "x"), Misuse, "is a view"),
}


@pytest.mark.parametrize(("arrange", "change", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_refused(
    connection: Connection, arrange: str, change: RenameTable, error: type[EvolveError], says: str
) -> None:
    if arrange:
        connection.execute(arrange.encode())
    with pytest.raises(error) as raised:
        Carried(connection, change)
    assert says in str(raised.value)
