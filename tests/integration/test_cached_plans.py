"""Which prepared statements break is what a server and a driver that prepares say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.changes import Carried, Connection

from evolve.plan.cached_plans import ERROR, Break, breaks, with_notes
from evolve.plan.change import Change
from evolve.plan.kept_facts import Remembering
from evolve.plan.model import Part, Phase, PhaseName, Plan
from evolve.plan.recipes.columns.rename_column import RenameColumn
from evolve.plan.recipes.programs.change_materialized_view import ChangeMaterializedView
from evolve.plan.recipes.programs.change_view import ChangeView
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName
from evolve.sql.statements import Statement

pytestmark = pytest.mark.server

USERS = QualifiedName("users")
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, name varchar(20), age integer);
    INSERT INTO users VALUES (1, 'ada', 5);
    CREATE VIEW names AS SELECT id, name FROM users;
    CREATE MATERIALIZED VIEW ages AS SELECT id, age FROM users;
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def plan_of(*statements: str) -> Plan:
    part = Part("", tuple(Statement(text, None, "") for text in statements))
    change = RenameColumn(USERS, "name", "full_name")
    return Plan("made", change, (Phase("expand", "", (part,)),))


def predicted(connection: Connection, *statements: str) -> tuple[bool, bool]:
    """Whether `SELECT *` and `SELECT id, age` of users break."""
    facts = Remembering(LiveFacts(connection))
    facts.table(USERS)
    found = breaks(plan_of(*statements), facts)
    assert all(each.relation == USERS for each in found)
    return bool(found), any("age" in each.retyped for each in found)


def fails(client: Connection, query: str) -> bool:
    try:
        client.execute(query.encode(), prepare=True)
    except psycopg.errors.FeatureNotSupported as error:
        return ERROR in str(error)
    return False


STATEMENTS = {
    "add": ["ALTER TABLE users ADD COLUMN city text"],
    "drop": ["ALTER TABLE users DROP COLUMN name CASCADE"],
    "rename": ["ALTER TABLE users RENAME COLUMN name TO full_name"],
    "retype": [
        "DROP MATERIALIZED VIEW ages",
        "ALTER TABLE users ALTER COLUMN age TYPE bigint",
    ],
    "widen another": [
        "DROP VIEW names",
        "ALTER TABLE users ALTER COLUMN name TYPE varchar(40)",
    ],
    "trade names, other type": [
        "ALTER TABLE users ADD COLUMN age_new bigint",
        "ALTER TABLE users RENAME COLUMN age TO age_old",
        "ALTER TABLE users RENAME COLUMN age_new TO age",
    ],
    "trade names, same type": [
        "ALTER TABLE users ADD COLUMN age_new int4",
        "ALTER TABLE users RENAME COLUMN age TO age_old",
        "ALTER TABLE users RENAME COLUMN age_new TO age",
    ],
    "another table takes the name": [
        "CREATE TABLE users_new (id bigint PRIMARY KEY, name varchar(20), age numeric)",
        "ALTER TABLE users RENAME TO users_old",
        "ALTER TABLE users_new RENAME TO users",
    ],
    "a view takes the name": [
        "ALTER TABLE users RENAME TO people",
        "CREATE VIEW users AS SELECT id, name, age FROM people",
    ],
    "a view with more takes the name": [
        "ALTER TABLE users RENAME TO people",
        "CREATE VIEW users AS SELECT id, name, age, name AS full_name FROM people",
    ],
    "what changes no column": [
        "ALTER TABLE users ALTER COLUMN age SET DEFAULT 3",
        "ALTER TABLE users ALTER COLUMN age SET NOT NULL",
        "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID",
        "CREATE INDEX ON users (age)",
        "GRANT SELECT ON users TO PUBLIC",
        "CREATE TABLE others (id bigint PRIMARY KEY)",
    ],
}


@pytest.mark.parametrize("statements", STATEMENTS.values(), ids=STATEMENTS)
@pytest.mark.parametrize("autocommit", [True, False], ids=["autocommit", "transaction"])
def test_what_breaks_is_predicted(
    connection: Connection, database_url: str, statements: list[str], autocommit: bool
) -> None:
    expected = predicted(connection, *statements)
    found = []
    with (
        psycopg.connect(database_url, autocommit=autocommit) as star,
        psycopg.connect(database_url, autocommit=autocommit) as named,
    ):
        clients = {"SELECT * FROM users": star, "SELECT id, age FROM users": named}
        for query, client in clients.items():
            client.execute(query.encode(), prepare=True)
            client.commit()
        with connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())
        for query, client in clients.items():
            found.append(fails(client, query))
            client.rollback()
            # A rollback makes the driver forget it; in autocommit mode it goes on sending what it has prepared.
            assert fails(client, query) is (found[-1] and autocommit)
            client.rollback()

    assert tuple(found) == expected


def test_returning_is_as_bad_as_selecting(connection: Connection, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as client:
        client.execute("UPDATE users SET age = 6 RETURNING *", prepare=True)
        client.execute("UPDATE users SET age = 7 RETURNING id", prepare=True)
        connection.execute("ALTER TABLE users ADD COLUMN city text")

        assert fails(client, "UPDATE users SET age = 6 RETURNING *")
        assert not fails(client, "UPDATE users SET age = 7 RETURNING id")


RECIPES: list[tuple[Change, set[tuple[PhaseName, str, tuple[str, ...]]]]] = [
    (
        RenameColumn(USERS, "age", "years"),
        {("expand", "users", ()), ("contract", "users", ()), ("purge", "users", ())},
    ),
    (ChangeView(QualifiedName("names"), "SELECT id, name, age FROM users"), {("expand", "names", ())}),
    (ChangeView(QualifiedName("names"), "SELECT id, name FROM users WHERE id > 0"), set()),
    (ChangeView(QualifiedName("names"), "SELECT name, id FROM users"), {("expand", "names", ())}),
    (ChangeView(QualifiedName("names"), "SELECT id FROM users"), set()),
    (
        ChangeMaterializedView(QualifiedName("ages"), "SELECT id, age, name FROM users"),
        {("expand", "ages", ())},
    ),
    (ChangeMaterializedView(QualifiedName("ages"), "SELECT id, age FROM users WHERE id > 0"), set()),
]


@pytest.mark.parametrize(("change", "expected"), RECIPES)
def test_recipes(
    connection: Connection, change: Change, expected: set[tuple[PhaseName, str, tuple[str, ...]]]
) -> None:
    connection.execute(
        "DROP VIEW names; DROP MATERIALIZED VIEW ages" if isinstance(change, RenameColumn) else ""
    )
    facts = Remembering(LiveFacts(connection))
    carried = Carried(connection, change)
    facts.relation(USERS)
    if isinstance(change, RenameColumn):
        facts.table(USERS)
    else:
        facts.view(change.table)

    found = breaks(carried.plan, facts)

    assert {(each.phase, each.relation.plain, each.retyped) for each in found} == expected
    assert any(ERROR in note for note in carried.plan.notes) is bool(expected)


# -- notes --------------------------------------------------------------------------------------------------
def test_notes_say_which_and_when(connection: Connection) -> None:
    facts = Remembering(LiveFacts(connection))
    facts.table(USERS)

    plan = with_notes(plan_of(*STATEMENTS["trade names, other type"]), facts)

    assert len(plan.notes) == 1
    assert "gives back users.age, an ORM's too" in plan.notes[0]
    assert "after expand" in plan.notes[0]


def test_a_recipe_that_tells_by_itself_is_not_told_again(connection: Connection) -> None:
    told = f'Clients that prepared SELECT * fail with "{ERROR}".'
    plan = replace(plan_of(*STATEMENTS["add"]), notes=(told,))

    assert with_notes(plan, Remembering(LiveFacts(connection))).notes == (told,)


def test_a_break_names_no_column_where_only_the_star_breaks(connection: Connection) -> None:
    facts = Remembering(LiveFacts(connection))
    facts.table(USERS)

    assert breaks(plan_of(*STATEMENTS["add"]), facts) == (Break("expand", USERS),)
