"""change-materialized-view on a real server: built beside, put in its place, carried over, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from support.changes import Carried, Connection

from evolve.plan.facts import NameTaken
from evolve.plan.model import PhaseName
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.programs.change_materialized_view import ChangeMaterializedView, IndexWithoutColumn
from evolve.plan.recipes.programs.change_view import ChangeView
from evolve.plan.views import HangsOnView, WrongKind
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

TOTALS = QualifiedName("Totals", "shop")
SCHEMA = """
    CREATE SCHEMA shop;
    CREATE TABLE shop.orders (id bigint PRIMARY KEY, customer bigint, amount numeric(10,2));
    INSERT INTO shop.orders SELECT n, n % 5, n FROM generate_series(1, 50) n;
    CREATE MATERIALIZED VIEW shop."Totals" WITH (fillfactor = 90) AS
        SELECT customer, sum(amount) AS total FROM shop.orders GROUP BY customer;
    CREATE UNIQUE INDEX totals_key ON shop."Totals" (customer) INCLUDE (total);
    CREATE INDEX "by total" ON shop."Totals" ((total + 1) DESC) WHERE total > 3;
    COMMENT ON MATERIALIZED VIEW shop."Totals" IS 'who''s who';
    COMMENT ON COLUMN shop."Totals".total IS 'in euro';
    GRANT SELECT ON shop."Totals" TO pg_monitor;
    CREATE VIEW shop.rich AS SELECT customer FROM shop."Totals" WHERE total > 100;
    GRANT SELECT ON shop.rich TO PUBLIC;
"""
MORE = ChangeMaterializedView(
    TOTALS, "SELECT count(*) AS orders, customer, sum(amount) AS total FROM shop.orders GROUP BY customer"
)
RETYPED = ChangeMaterializedView(
    TOTALS, "SELECT customer, sum(amount)::float AS total FROM shop.orders GROUP BY customer"
)
ASIDE = replace(MORE, to="totals of 2030")
WAYS: list[tuple[ChangeMaterializedView, tuple[PhaseName, ...]]] = [
    (MORE, ("expand", "purge")),
    (RETYPED, ("expand", "switch", "contract", "purge")),
    (ASIDE, ("expand", "switch", "contract", "purge")),
]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection


def views(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute("""
        SELECT c.oid::regclass::text, c.relkind::text, pg_get_viewdef(c.oid), c.reloptions, c.relacl::text,
            obj_description(c.oid), pg_get_userbyid(c.relowner)::text,
            ARRAY(SELECT attname || ' ' || coalesce(col_description(c.oid, attnum), '') FROM pg_attribute
                WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum),
            ARRAY(SELECT indexdef FROM pg_indexes WHERE schemaname = n.nspname AND tablename = relname ORDER BY 1)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE relkind IN ('v', 'm') AND nspname = 'shop' ORDER BY 1
    """).fetchall()


@pytest.mark.parametrize(("change", "expected"), WAYS)
def test_the_way(
    connection: Connection, change: ChangeMaterializedView, expected: tuple[PhaseName, ...]
) -> None:
    assert tuple(phase.name for phase in Carried(connection, change).plan.phases) == expected


@pytest.mark.parametrize(
    ("change", "done"), [(change, names[: end + 1]) for change, names in WAYS for end in range(len(names))]
)
def test_the_way_back_restores_every_view_and_index(
    connection: Connection, change: ChangeMaterializedView, done: tuple[PhaseName, ...]
) -> None:
    if change is not MORE:
        connection.execute("DROP VIEW shop.rich")
    before = views(connection)
    carried = Carried(connection, change)
    carried.up(*done)

    for name in reversed(done):
        carried.down(carried.parts(name))

    assert views(connection) == before


def test_what_the_new_one_has(connection: Connection) -> None:
    before = {str(name): row for name, *row in views(connection)}
    carried = Carried(connection, MORE)

    carried.up("expand", "purge")

    after = {str(name): row for name, *row in views(connection)}
    assert set(after) == set(before)
    assert after["shop.rich"] == before["shop.rich"]
    # Kind, options, privileges, comment, owner and indexes; the query and its columns are others.
    for place in (0, 2, 3, 4, 5, 7):
        assert after['shop."Totals"'][place] == before['shop."Totals"'][place]


def test_the_new_one_can_be_refreshed_while_it_is_read(connection: Connection) -> None:
    Carried(connection, MORE).up("expand")
    connection.execute("INSERT INTO shop.orders VALUES (100, 77, 5000)")

    connection.execute('REFRESH MATERIALIZED VIEW CONCURRENTLY shop."Totals"')

    assert (77,) in connection.execute("SELECT customer FROM shop.rich").fetchall()


def test_building_lets_others_read_and_write(connection: Connection) -> None:
    carried = Carried(connection, MORE)
    with connection.transaction(force_rollback=True):
        for statement in carried.parts("expand")[0].statements:
            connection.execute(statement.sql.encode())
        held = connection.execute(
            "SELECT DISTINCT relation::regclass::text, mode FROM pg_locks WHERE pid = pg_backend_pid() "
            "AND relation IN ('shop.orders'::regclass, 'shop.\"Totals\"'::regclass)"
        ).fetchall()

    assert held == [("shop.orders", "AccessShareLock")]


def test_an_index_without_its_column(connection: Connection) -> None:
    change = ChangeMaterializedView(TOTALS, "SELECT customer FROM shop.orders")

    with pytest.raises(IndexWithoutColumn):
        make_plan(change, LiveFacts(connection))


def test_a_materialized_reader_is_refused_in_its_place_and_kept_beside(connection: Connection) -> None:
    connection.execute('CREATE MATERIALIZED VIEW shop.again AS SELECT * FROM shop."Totals"')

    with pytest.raises(HangsOnView):
        make_plan(MORE, LiveFacts(connection))
    assert make_plan(ASIDE, LiveFacts(connection)).phase("switch") is not None


@pytest.mark.parametrize(
    "taken", ['CREATE TABLE shop."Totals_v2" (id int)', 'CREATE SEQUENCE shop."Totals_v2_idx_2"']
)
def test_names_that_are_taken(connection: Connection, taken: str) -> None:
    connection.execute(taken.encode())

    with pytest.raises(NameTaken):
        make_plan(MORE, LiveFacts(connection))


def test_each_kind_has_its_recipe(connection: Connection) -> None:
    facts = LiveFacts(connection)

    with pytest.raises(WrongKind):
        make_plan(ChangeMaterializedView(QualifiedName("rich", "shop"), "SELECT 1 AS x"), facts)
    with pytest.raises(WrongKind):
        make_plan(ChangeView(TOTALS, "SELECT 1 AS x"), facts)
