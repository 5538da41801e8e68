"""change-view on a real server: the way that is taken, what is carried over, the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection

from evolve.errors import Misuse
from evolve.plan.facts import NameTaken
from evolve.plan.model import PhaseName
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.programs.change_view import ChangeView
from evolve.plan.views import BadQuery, HangsOnView
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

NAMES = QualifiedName("names")
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name varchar(20), city text, active boolean DEFAULT true);
    INSERT INTO users (id, name, city) VALUES (1, 'ada', 'Bonn'), (2, 'bob', 'Rome');
    CREATE VIEW names WITH (security_barrier=true) AS SELECT id, name FROM users WHERE active;
    ALTER VIEW names ALTER COLUMN name SET DEFAULT 'nobody';
    COMMENT ON VIEW names IS 'who they''re';
    COMMENT ON COLUMN names.name IS 'the first';
    GRANT SELECT ON names TO pg_monitor WITH GRANT OPTION;
    GRANT UPDATE (name) ON names TO PUBLIC;
    CREATE VIEW loud AS SELECT upper(name) AS name FROM names;
    CREATE VIEW louder AS SELECT l.name || '!' AS name, n.id FROM loud l JOIN names n ON upper(n.name) = l.name;
    GRANT SELECT ON louder TO pg_monitor;
"""
APPENDED = ChangeView(NAMES, "SELECT id, name, city FROM users WHERE active -- 100%")
SAME = ChangeView(NAMES, "SELECT id, name FROM users;")
MOVED = ChangeView(NAMES, "SELECT name, city, id FROM users")
LOST = ChangeView(NAMES, "SELECT id, upper(name) AS shown FROM users")
RETYPED = ChangeView(NAMES, "SELECT id, name::text AS name FROM users")
ASIDE = ChangeView(NAMES, "SELECT id, name FROM users", to='Names "2"')
BESIDE: tuple[PhaseName, ...] = ("expand", "switch", "contract", "purge")
WAYS: list[tuple[ChangeView, tuple[PhaseName, ...]]] = [
    (APPENDED, ("expand",)),
    (SAME, ("expand",)),
    (MOVED, ("expand",)),
    (LOST, BESIDE),
    (RETYPED, BESIDE),
    (ASIDE, BESIDE),
]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def views(connection: Connection) -> list[tuple[object, ...]]:
    """Everything that is known of each view."""
    return connection.execute("""
        SELECT c.oid::regclass::text, pg_get_viewdef(c.oid), c.reloptions, c.relacl::text, obj_description(c.oid),
            pg_get_userbyid(c.relowner)::text,
            ARRAY(SELECT attname || ' ' || coalesce(pg_get_expr(adbin, adrelid), '') || coalesce(attacl::text, '')
                || coalesce(col_description(c.oid, attnum), '')
                FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE relkind = 'v' AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
    """).fetchall()


@pytest.mark.parametrize(("change", "expected"), WAYS)
def test_the_way(connection: Connection, change: ChangeView, expected: tuple[PhaseName, ...]) -> None:
    assert tuple(phase.name for phase in Carried(connection, change).plan.phases) == expected


@pytest.mark.parametrize(
    ("change", "done"), [(change, names[: end + 1]) for change, names in WAYS for end in range(len(names))]
)
def test_the_way_back_restores_every_view(
    connection: Connection, change: ChangeView, done: tuple[PhaseName, ...]
) -> None:
    connection.execute("DROP VIEW louder, loud" if "purge" in done else "")
    before = views(connection)
    carried = Carried(connection, change)
    carried.up(*done)

    for name in reversed(done):
        carried.down(carried.parts(name))

    assert views(connection) == before


def test_who_reads_the_old_view_is_named_in_the_plan(connection: Connection) -> None:
    (note,) = Carried(connection, LOST).plan.notes
    assert "loud, louder read the old one, also in quarantine, and purge is shut as long" in note


@pytest.mark.parametrize("change", [APPENDED, MOVED])
def test_readers_keep_what_they_have(connection: Connection, change: ChangeView) -> None:
    Carried(connection, change).up("expand")

    found = connection.execute("""
        SELECT has_table_privilege('pg_monitor', 'names', 'SELECT WITH GRANT OPTION'),
            has_column_privilege('pg_monitor', 'names', 'name', 'UPDATE'),
            has_table_privilege('pg_monitor', 'louder', 'SELECT'),
            (SELECT reloptions FROM pg_class WHERE relname = 'names'),
            (SELECT count(*) FROM louder)
    """).fetchone()

    assert found == (True, True, True, ["security_barrier=true"], 2)


def test_both_can_be_read_until_contract(connection: Connection) -> None:
    carried = Carried(connection, LOST)

    carried.up("expand")

    assert connection.execute("SELECT shown FROM names_v2 ORDER BY id").fetchall() == [("ADA",), ("BOB",)]
    assert connection.execute("SELECT name FROM names ORDER BY id").fetchall() == [("ada",), ("bob",)]


def test_purge_waits_for_what_reads_the_old_view(connection: Connection) -> None:
    carried = Carried(connection, LOST)
    carried.up("expand", "switch", "contract")

    with pytest.raises(psycopg.Error, match="no view or function reads what was names"):
        carried.up("purge")
    connection.execute("DROP VIEW louder, loud")
    carried.up("purge")

    assert [str(name) for name, *_ in views(connection)] == ["names_v2"]


def test_the_next_version_of_a_version(connection: Connection) -> None:
    connection.execute("CREATE VIEW names_v2 AS SELECT id FROM users")

    plan = make_plan(ChangeView(QualifiedName("names_v2"), "SELECT name FROM users"), LiveFacts(connection))

    assert "names_v3" in plan.notes[0]


def test_a_column_that_cannot_go_again_stays_empty(connection: Connection) -> None:
    connection.execute("DROP VIEW louder; CREATE MATERIALIZED VIEW kept AS SELECT * FROM names")
    carried = Carried(connection, APPENDED)
    carried.up("expand")

    carried.down(carried.parts("expand"))

    assert connection.execute("SELECT city FROM names").fetchall() == [(None,), (None,)]
    assert "city" not in str(carried.plan.phases[0].undo_loses)


@pytest.mark.parametrize(
    "more",
    [
        "CREATE MATERIALIZED VIEW kept AS SELECT * FROM names",
        "CREATE RULE r AS ON INSERT TO names DO INSTEAD NOTHING",
        "CREATE TABLE t (n names)",
        "CREATE FUNCTION f(names) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE RULE r AS ON INSERT TO loud DO INSTEAD NOTHING",
    ],
)
def test_what_would_be_lost_is_refused(connection: Connection, more: str) -> None:
    connection.execute(more.encode())

    with pytest.raises(HangsOnView):
        make_plan(MOVED, LiveFacts(connection))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1; DROP TABLE users",
        "DROP TABLE users",
        "INSERT INTO users VALUES (1)",
        "SELECT id, name FROM names",
        "SELECT nope FROM users",
        "SELECT id FROM users WITH CHECK OPTION",
        "SELECT",
    ],
)
def test_what_is_no_query_for_it(connection: Connection, query: str) -> None:
    with pytest.raises(Misuse):
        make_plan(ChangeView(NAMES, query), LiveFacts(connection))


def test_a_statement_smuggled_in_is_seen_before_the_server_is_asked(connection: Connection) -> None:
    with pytest.raises(BadQuery):
        make_plan(ChangeView(NAMES, "SELECT 1 AS id); DROP TABLE users; --"), LiveFacts(connection))


def test_a_name_that_is_taken(connection: Connection) -> None:
    with pytest.raises(NameTaken):
        make_plan(ChangeView(NAMES, "SELECT 1 AS one", to="loud"), LiveFacts(connection))


def test_asking_leaves_nothing(connection: Connection) -> None:
    make_plan(LOST, LiveFacts(connection))

    assert connection.execute("SELECT count(*) FROM pg_class WHERE relname = 'evolve_trial'").fetchone() == (
        0,
    )


def test_replacing_locks_the_view_alone(connection: Connection) -> None:
    statement = Carried(connection, APPENDED).plan.phases[0].statements[0]
    with connection.transaction():
        connection.execute(statement.sql.encode())
        held = connection.execute(
            "SELECT DISTINCT relation::regclass::text, mode FROM pg_locks WHERE pid = pg_backend_pid() "
            "AND relation IN ('names'::regclass, 'users'::regclass) ORDER BY 1, 2"
        ).fetchall()

    assert ("names", "AccessExclusiveLock") in held
    assert {mode for name, mode in held if name == "users"} == {"AccessShareLock"}
