"""extract-table on a real server: the table that it makes, what it refuses, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores_the_table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.model import PhaseName, TriggerArmed
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.tables.extract_table import ExtractTable
from evolve.postgres.evidence import observe
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

USERS, PROFILES = QualifiedName("users"), QualifiedName("user_profiles")
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name text, bio text COLLATE "C" NOT NULL CHECK (length(bio) < 99),
        avatar text DEFAULT 'none', nick text UNIQUE, CHECK (avatar <> nick));
    CREATE INDEX users_bio_idx ON users (bio, avatar);
    COMMENT ON COLUMN users.bio IS 'who''s who';
    GRANT SELECT, INSERT ON users TO PUBLIC;
    GRANT UPDATE (bio, name) ON users TO PUBLIC;
    INSERT INTO users (id, name, bio) SELECT n, n, 'bio ' || n FROM generate_series(1, 30) n;
"""
CHANGE = ExtractTable(USERS, PROFILES, ("bio", "avatar", "nick"))
ALL: tuple[PhaseName, ...] = ("expand", "backfill", "validate", "contract", "purge")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def one(connection: Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_phases(connection: Connection) -> None:
    found = phases(connection, CHANGE)
    assert found == ("expand", "backfill", "validate", "switch", "contract", "purge")


def test_what_is_made(connection: Connection) -> None:
    Carried(connection, CHANGE).up("expand", "backfill", "validate", "contract")
    made = table(connection, "user_profiles")
    assert [(c.name, c.type, c.not_null, c.default, c.collation, c.comment) for c in made.columns] == [
        ("user_id", "bigint", True, None, None, None),
        ("bio", "text", True, None, 'pg_catalog."C"', "who's who"),
        ("avatar", "text", False, "'none'::text", None, None),
        ("nick", "text", False, None, None, None),
    ]
    assert {(c.name, c.definition) for c in made.constraints} == {
        ("user_profiles_pkey", "PRIMARY KEY (user_id)"),
        (
            "user_profiles_user_id_fkey",
            "FOREIGN KEY (user_id) REFERENCES users(id) ON UPDATE CASCADE ON DELETE CASCADE",
        ),
        ("user_profiles_bio_check", "CHECK ((length(bio) < 99))"),
        ("user_profiles_check", "CHECK ((avatar <> nick))"),
        ("user_profiles_nick_key", "UNIQUE (nick)"),
    }
    assert made.grants == (("INSERT", "PUBLIC", False), ("SELECT", "PUBLIC", False))
    assert [c.name for c in made.columns if c.grants] == ["bio"]


def test_the_way_back_restores_the_schema(connection: Connection) -> None:
    assert restores_the_table(connection, CHANGE)
    assert one(connection, "SELECT to_regclass('user_profiles')") is None


def test_rows_come_back_from_purge(connection: Connection) -> None:
    rows = "SELECT array_agg((id, name, bio, avatar, nick) ORDER BY id)::text FROM users"
    before = one(connection, rows)
    carried = Carried(connection, CHANGE)
    carried.up(*ALL)
    for name in reversed(ALL):
        carried.down(carried.parts(name))
    assert one(connection, rows) == before


def test_purge_leaves_nothing(connection: Connection) -> None:
    Carried(connection, CHANGE).up(*ALL)
    assert one(connection, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'evolve'::regnamespace") == 0
    assert one(connection, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 0
    assert [column.name for column in table(connection, "users").columns] == ["id", "name"]


def test_every_gate_before_the_switch_is_open(connection: Connection) -> None:
    carried = Carried(connection, CHANGE)
    carried.up("expand", "backfill")
    switch = carried.plan.phase("switch")
    assert switch is not None
    assert sum(isinstance(gate, TriggerArmed) for gate in switch.gates) == 6
    assert {observe(connection, CHANGE.id, gate).open for gate in switch.gates} == {True}


def test_each_version_reads_what_the_other_writes(connection: Connection) -> None:
    Carried(connection, CHANGE).up("expand", "backfill")
    connection.execute("INSERT INTO users (id, bio) VALUES (98, 'old')")
    connection.execute(
        "BEGIN; INSERT INTO users (id) VALUES (99); INSERT INTO user_profiles (user_id, bio) VALUES (99, 'new'); COMMIT"
    )
    found = connection.execute(
        "SELECT id, u.bio, p.bio, u.avatar, p.avatar FROM users u JOIN user_profiles p ON user_id = id "
        "WHERE id > 90 ORDER BY id"
    ).fetchall()
    assert found == [(98, "old", "old", "none", "none"), (99, "new", "new", "none", "none")]


def test_in_quarantine_the_columns_are_kept_in_step(connection: Connection) -> None:
    carried = Carried(connection, CHANGE)
    carried.up("expand", "backfill", "validate", "contract")
    connection.execute("INSERT INTO users (id) VALUES (99)")
    connection.execute("INSERT INTO user_profiles (user_id, bio) VALUES (99, 'new')")
    connection.execute("UPDATE user_profiles SET bio = 'changed' WHERE user_id = 1")
    carried.down(carried.parts("contract"))
    found = connection.execute("SELECT id, bio, avatar FROM users WHERE id IN (1, 99) ORDER BY id").fetchall()
    assert found == [(1, "changed", "none"), (99, "new", "none")]


def test_contract_locks_no_more_than_it_says(connection: Connection) -> None:
    carried = Carried(connection, CHANGE)
    carried.up("expand", "backfill", "validate")
    seen = []
    for part in carried.parts("contract")[:2]:
        with connection.transaction():
            for statement in part.statements:
                connection.execute(statement.sql.encode())
            seen.append(locks(connection))
    assert seen == [
        {"user_profiles": "AccessExclusiveLock"},
        {"users": "AccessExclusiveLock", "user_profiles": "ShareRowExclusiveLock"},
    ]


def locks(connection: Connection) -> dict[str, str]:
    """Table → the strongest lock on it that this transaction holds and that a writer waits for."""
    order = "ARRAY['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']"
    rows = connection.execute(
        f"SELECT DISTINCT ON (relation) relation::regclass::text, mode FROM pg_locks "
        f"WHERE pid = pg_backend_pid() AND mode = ANY({order}) AND relation IN "
        "('users'::regclass, 'user_profiles'::regclass) "
        f"ORDER BY relation, array_position({order}, mode) DESC".encode()
    ).fetchall()
    return {str(name): str(mode) for name, mode in rows}


def test_hostile_names(connection: Connection) -> None:
    connection.execute(
        """CREATE SCHEMA "My App"; CREATE TABLE "My App"."select" ("ki""nd" int, b int, "to" text,
        "wei ß" int DEFAULT 3, PRIMARY KEY ("ki""nd", b));
        INSERT INTO "My App"."select" VALUES (1, 1, 'x'), (1, 2, NULL)"""
    )
    change = ExtractTable(
        QualifiedName("select", "My App"),
        QualifiedName('be"gin $1', "My App"),
        ("to", "wei ß"),
        ("new", "old"),
    )
    assert restores_the_table(connection, change)
    Carried(connection, change).up(*ALL)
    assert (
        one(connection, 'SELECT ("new", "old", "to", "wei ß")::text FROM "My App"."be""gin $1"')
        == "(1,1,x,3)"
    )


def test_names_of_63_bytes(connection: Connection) -> None:
    long = "c" * 63
    connection.execute(f"ALTER TABLE users RENAME bio TO {long}".encode())
    assert restores_the_table(connection, ExtractTable(USERS, QualifiedName("t" * 63), (long,)))


REFUSED: dict[str, tuple[str, ExtractTable, type[EvolveError], str]] = {
    "unknown column": ("", ExtractTable(USERS, PROFILES, ("nope",)), Misuse, "no column"),
    "twice": ("", ExtractTable(USERS, PROFILES, ("bio", "bio")), Misuse, "twice"),
    "key among them": ("", ExtractTable(USERS, PROFILES, ("bio",), ("bio",)), Misuse, "twice"),
    "too many": ("", ExtractTable(USERS, PROFILES, ("bio",), ("a", "b")), Misuse, "2 columns"),
    "taken": ("", ExtractTable(USERS, USERS, ("bio",)), Misuse, "name of a table"),
    "key taken": ("CREATE TABLE user_profiles_pkey ()", CHANGE, Misuse, "name of a table"),
    "primary key": ("", ExtractTable(USERS, PROFILES, ("id",)), Refused, "primary key"),
    "check with others": ("", ExtractTable(USERS, PROFILES, ("avatar",)), Refused, "columns that stay"),
    "check of a value": (
        "ALTER TABLE users ADD CHECK (bio IS NOT NULL)",
        CHANGE,
        Refused,
        "asks for a value",
    ),
    "unique index": ("CREATE UNIQUE INDEX u ON users (lower(bio))", CHANGE, Refused, "unique index"),
    "foreign key": (
        "ALTER TABLE users ADD FOREIGN KEY (nick) REFERENCES users (nick)",
        CHANGE,
        Refused,
        "foreign key",
    ),
    "volatile default": (
        "ALTER TABLE users ALTER bio SET DEFAULT gen_random_uuid()::text",
        CHANGE,
        Refused,
        "its default",
    ),
    "view": ("CREATE VIEW v AS SELECT bio FROM users", CHANGE, Refused, "view v"),
    "no key": ("ALTER TABLE users DROP CONSTRAINT users_pkey", CHANGE, Refused, "no primary key"),
    "inheritance": ("CREATE TABLE more () INHERITS (users)", CHANGE, Refused, "inheritance"),
    "forced": (
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        CHANGE,
        Refused,
        "forces row level security",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_done_is_refused(connection: Connection, case: str) -> None:
    arrange, change, cause, words = REFUSED[case]
    if arrange:
        connection.execute(arrange.encode())
    with pytest.raises(cause) as refused:
        make_plan(change, LiveFacts(connection))
    assert words in refused.value.what
    assert refused.value.fix
