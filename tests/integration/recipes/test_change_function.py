"""change-function on a real server: in its place, beside, refused; and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.changes import Carried, Connection

from evolve.errors import Misuse
from evolve.plan.model import PhaseName
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.programs.change_function import (
    BadFunction,
    ChangeFunction,
    Computed,
    NeedsName,
    WhichOne,
)
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

SHOWN = QualifiedName("Shown", "app")
SCHEMA = """
    CREATE SCHEMA app;
    CREATE TABLE users (id bigint PRIMARY KEY, name text);
    INSERT INTO users VALUES (1, 'ada');
    CREATE FUNCTION app."Shown"(t text, n integer DEFAULT 2) RETURNS text
        LANGUAGE sql STABLE STRICT SECURITY DEFINER AS $$ SELECT repeat(t, n) $$;
    REVOKE ALL ON FUNCTION app."Shown" FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION app."Shown" TO pg_monitor WITH GRANT OPTION;
    COMMENT ON FUNCTION app."Shown" IS 'it''s shown';
    CREATE VIEW seen AS SELECT app."Shown"(name) FROM users;
"""
BODY = ChangeFunction(
    SHOWN,
    """
    -- 100% new
    create or replace function app."Shown" (t text, n integer DEFAULT 2) RETURNS text
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog
    AS $$ BEGIN RETURN t || n; END $$;
    """,
)
MORE = ChangeFunction(
    SHOWN,
    """CREATE FUNCTION app."Shown"(t text, n integer, sign text) RETURNS text LANGUAGE sql STABLE
    SET search_path = pg_catalog AS 'SELECT repeat(t || sign, n)'""",
    forward="""app."Shown"(t, n, '!')""",
)
RESULT = ChangeFunction(
    SHOWN,
    """CREATE FUNCTION app."shown 2"(t text) RETURNS SETOF integer LANGUAGE sql AS 'SELECT 1'""",
    to="shown 2",
)
BESIDE: tuple[PhaseName, ...] = ("expand", "switch", "contract", "purge")
WAYS: list[tuple[ChangeFunction, tuple[PhaseName, ...]]] = [
    (BODY, ("expand",)),
    (MORE, BESIDE),
    (RESULT, BESIDE),
]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def functions(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute("""
        SELECT pg_get_functiondef(p.oid), proacl::text, pg_get_userbyid(proowner)::text, obj_description(p.oid)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname IN ('app', 'public') ORDER BY 1
    """).fetchall()


@pytest.mark.parametrize(("change", "expected"), WAYS)
def test_the_way(connection: Connection, change: ChangeFunction, expected: tuple[PhaseName, ...]) -> None:
    assert tuple(phase.name for phase in Carried(connection, change).plan.phases) == expected


@pytest.mark.parametrize(
    ("change", "done"), [(change, names[: end + 1]) for change, names in WAYS for end in range(len(names))]
)
def test_the_way_back_restores_every_function(
    connection: Connection, change: ChangeFunction, done: tuple[PhaseName, ...]
) -> None:
    if "purge" in done:
        connection.execute("DROP VIEW seen")
    before = functions(connection)
    carried = Carried(connection, change)
    carried.up(*done)

    for name in reversed(done):
        carried.down(carried.parts(name))

    assert functions(connection) == before


def test_a_body_in_its_place(connection: Connection) -> None:
    Carried(connection, BODY).up("expand")

    assert connection.execute("SELECT * FROM seen").fetchall() == [("ada2",)]


def test_the_old_one_gives_what_the_new_one_gives(connection: Connection) -> None:
    Carried(connection, MORE).up("expand")

    assert connection.execute("SELECT * FROM seen").fetchall() == [("ada!ada!",)]


def test_privileges_owner_and_comment_are_carried_over(connection: Connection) -> None:
    before = functions(connection)[0][1:]

    Carried(connection, MORE).up("expand")

    assert {row[1:] for row in functions(connection)} == {before}


def test_purge_waits_for_what_depends_on_the_old_one(connection: Connection) -> None:
    carried = Carried(connection, MORE)
    carried.up("expand", "switch", "contract")

    with pytest.raises(psycopg.Error, match="nothing in the database depends on"):
        carried.up("purge")
    connection.execute("DROP VIEW seen")
    carried.up("purge")

    assert len(functions(connection)) == 1


def test_no_phase_locks_a_table(connection: Connection) -> None:
    connection.execute("DROP VIEW seen")
    with connection.transaction(force_rollback=True):
        Carried(connection, MORE).up(*BESIDE)
        held = connection.execute(
            "SELECT mode FROM pg_locks WHERE relation = 'users'::regclass AND pid = pg_backend_pid()"
        ).fetchall()

    assert held == []


# -- refusals -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "signature",
    [
        "(t text, n integer DEFAULT 2) RETURNS integer",
        "(word text, n integer DEFAULT 2) RETURNS text",
        "(t text, n integer) RETURNS text",
        "(t text DEFAULT 'x', n integer DEFAULT 2) RETURNS text",
        "(t text, n integer, more text DEFAULT '') RETURNS text",
        "(t varchar) RETURNS text",
        "(t text, n bigint) RETURNS text",
        "(VARIADIC t text[]) RETURNS text",
    ],
)
def test_what_needs_a_name_of_its_own(connection: Connection, signature: str) -> None:
    change = ChangeFunction(
        SHOWN, f"""CREATE FUNCTION app."Shown"{signature} LANGUAGE sql AS 'SELECT NULL'"""
    )
    if "integer DEFAULT 2) RETURNS integer" in signature:
        change = replace(change, definition=change.definition.replace("NULL", "1"))

    with pytest.raises(NeedsName):
        make_plan(change, LiveFacts(connection))


def test_an_argument_with_a_default_does_make_calls_ambiguous(connection: Connection) -> None:
    connection.execute("""
        CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION f(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql AS 'SELECT 2';
    """)

    with pytest.raises(psycopg.errors.AmbiguousFunction):
        connection.execute("SELECT f(1)")


FOLDED = QualifiedName("folded")
UPPER = "CREATE FUNCTION folded(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(t)'"
USERS = {
    "index": "CREATE INDEX users_folded ON users (folded(name))",
    "generated": "ALTER TABLE users ADD COLUMN f text GENERATED ALWAYS AS (folded(name)) STORED",
}


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
@pytest.mark.parametrize(
    ("definition", "same", "refused"),
    [
        (UPPER, False, True),
        (UPPER, True, False),
        (UPPER.replace("IMMUTABLE", "STABLE"), True, True),
        (UPPER.replace("IMMUTABLE", ""), True, True),
    ],
)
def test_what_holds_results(
    connection: Connection, user: str, definition: str, same: bool, refused: bool
) -> None:
    connection.execute(
        "CREATE FUNCTION folded(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)'"
    )
    connection.execute(user.encode())
    change = ChangeFunction(FOLDED, definition, same_results=same)

    if refused:
        with pytest.raises(Computed):
            make_plan(change, LiveFacts(connection))
    else:
        make_plan(change, LiveFacts(connection))


def test_a_plain_default_holds_nothing(connection: Connection) -> None:
    connection.execute("""
        CREATE FUNCTION folded(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
        ALTER TABLE users ALTER COLUMN name SET DEFAULT folded('X');
    """)

    plan = make_plan(ChangeFunction(FOLDED, UPPER), LiveFacts(connection))

    assert any("default value for column name" in note for note in plan.notes)


@pytest.mark.parametrize(
    "definition",
    [
        "SELECT 1",
        "DROP FUNCTION folded",
        "CREATE PROCEDURE folded() LANGUAGE sql AS ''",
        "CREATE FUNCTION other(t text) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION app.\"Shown\"() RETURNS text LANGUAGE sql AS 'SELECT ''1'''; DROP TABLE users",
        'CREATE FUNCTION app."Shown"(t text',
        "CREATE FUNCTION app.\"Shown\"(t text) RETURNS text LANGUAGE sql AS 'SELECT nope'",
        "CREATE FUNCTION app.\"Shown\"(t nope) RETURNS text LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_what_is_no_definition_of_it(connection: Connection, definition: str) -> None:
    with pytest.raises(Misuse):
        make_plan(ChangeFunction(SHOWN, definition), LiveFacts(connection))


def test_what_is_no_definition_is_seen_before_the_server_is_asked(connection: Connection) -> None:
    with pytest.raises(BadFunction):
        make_plan(
            ChangeFunction(SHOWN, 'CREATE FUNCTION app."Shown"() RETURNS int RETURN 1; SELECT 1'),
            LiveFacts(connection),
        )


def test_one_of_several(connection: Connection) -> None:
    connection.execute(
        """CREATE FUNCTION app."Shown"(a int, b int, c int) RETURNS int LANGUAGE sql AS 'SELECT 1'"""
    )
    facts = LiveFacts(connection)

    with pytest.raises(WhichOne):
        make_plan(RESULT, facts)
    assert make_plan(replace(RESULT, old="text, integer"), facts).phase("purge") is not None


def test_asking_leaves_nothing(connection: Connection) -> None:
    make_plan(MORE, LiveFacts(connection))

    assert connection.execute("SELECT count(*) FROM pg_proc WHERE proname = 'evolve_trial'").fetchone() == (
        0,
    )
