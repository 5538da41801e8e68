"""many-to-many on a real server: the junction that it makes, what it refuses, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from support.changes import Carried, Connection, table
from support.way_back import phases, restores_the_table

from evolve.errors import EvolveError, Misuse, Refused
from evolve.plan.model import PhaseName, TriggerArmed
from evolve.plan.recipes import make_plan
from evolve.plan.recipes.tables.many_to_many import RECIPE, ManyToMany
from evolve.postgres.evidence import observe
from evolve.postgres.plan_facts import LiveFacts
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

ORDERS, LINKS = QualifiedName("orders"), QualifiedName("orders_coupons")
SCHEMA = """
    CREATE TABLE coupons (id int PRIMARY KEY);
    CREATE TABLE orders (id bigint PRIMARY KEY, coupon_id int REFERENCES coupons, note text);
    CREATE INDEX orders_coupon_idx ON orders (coupon_id) WHERE note IS NULL;
    COMMENT ON COLUMN orders.coupon_id IS 'the one';
    GRANT SELECT, INSERT ON orders TO PUBLIC;
    INSERT INTO coupons SELECT generate_series(1, 9);
    INSERT INTO orders SELECT n, CASE WHEN n % 3 > 0 THEN n % 9 + 1 END FROM generate_series(1, 30) n;
"""
CHANGE = ManyToMany(ORDERS, "coupon_id", LINKS)
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
    assert phases(connection, CHANGE) == (
        "expand",
        "backfill",
        "validate",
        "switch",
        "contract",
        "purge",
    )


def test_what_is_made(connection: Connection) -> None:
    Carried(connection, CHANGE).up("expand")
    made = table(connection, "orders_coupons")
    assert [(column.name, column.type, column.not_null) for column in made.columns] == [
        ("order_id", "bigint", True),
        ("coupon_id", "integer", True),
    ]
    assert {constraint.definition for constraint in made.constraints} == {
        "PRIMARY KEY (order_id, coupon_id)",
        "FOREIGN KEY (order_id) REFERENCES orders(id) ON UPDATE CASCADE ON DELETE CASCADE",
        "FOREIGN KEY (coupon_id) REFERENCES coupons(id)",
    }
    assert {index.columns for index in made.indexes} == {("order_id", "coupon_id"), ("coupon_id",)}
    assert made.grants == (("INSERT", "PUBLIC", False), ("SELECT", "PUBLIC", False))


NOT_NULL = "DELETE FROM orders WHERE coupon_id IS NULL; ALTER TABLE orders ALTER coupon_id SET NOT NULL"


@pytest.mark.parametrize("arrange", ["", NOT_NULL], ids=["nullable", "not null"])
def test_the_way_back_before_purge_restores_the_schema(connection: Connection, arrange: str) -> None:
    if arrange:
        connection.execute(arrange.encode())
    assert restores_the_table(connection, CHANGE)
    assert one(connection, "SELECT to_regclass('orders_coupons')") is None


def test_rows_come_back_from_purge(connection: Connection) -> None:
    rows = "SELECT array_agg((id, coupon_id) ORDER BY id)::text FROM orders"
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
    assert [column.name for column in table(connection, "orders").columns] == ["id", "note"]


def test_the_backfill_brings_every_parent(connection: Connection) -> None:
    Carried(connection, CHANGE).up("expand", "backfill")
    missing = """
        SELECT count(*) FROM (SELECT id, coupon_id FROM orders WHERE coupon_id IS NOT NULL
            EXCEPT SELECT order_id, coupon_id FROM orders_coupons) AS missing
    """
    assert (one(connection, missing), one(connection, "SELECT count(*) FROM orders_coupons")) == (0, 20)


def test_every_gate_on_a_trigger_is_open_after_expand(connection: Connection) -> None:
    carried = Carried(connection, CHANGE)
    carried.up("expand")
    switch = carried.plan.phase("switch")
    assert switch is not None
    armed = [gate for gate in switch.gates if isinstance(gate, TriggerArmed)]
    assert [observe(connection, CHANGE.id, gate).open for gate in armed] == [True] * 3


def test_the_switch_waits_while_old_code_misses_a_parent(connection: Connection) -> None:
    carried = Carried(connection, CHANGE)
    carried.up("expand", "backfill")
    switch = carried.plan.phase("switch")
    assert switch is not None
    before = [observe(connection, CHANGE.id, gate).open for gate in switch.gates]
    connection.execute("INSERT INTO orders_coupons VALUES (1, 9)")
    after = [observe(connection, CHANGE.id, gate).open for gate in switch.gates]
    assert (before, after) == ([True] * 5, [True] * 4 + [False])


def test_in_quarantine_the_column_goes_on_showing_one_parent(connection: Connection) -> None:
    carried = Carried(connection, CHANGE)
    carried.up("expand", "backfill", "validate", "contract")
    connection.execute(
        "INSERT INTO orders VALUES (99); INSERT INTO orders_coupons VALUES (99, 5), (99, 4), (1, 9)"
    )
    connection.execute("DELETE FROM orders_coupons WHERE order_id = 1 AND coupon_id = 2")
    connection.execute("DELETE FROM orders_coupons WHERE coupon_id = 3; DELETE FROM coupons WHERE id = 3")
    carried.down(carried.parts("contract"))
    found = connection.execute("SELECT coupon_id FROM orders WHERE id IN (1, 2, 99) ORDER BY id").fetchall()
    assert found == [(9,), (None,), (5,)]


def test_contract_locks_no_more_than_it_says(connection: Connection) -> None:
    carried = Carried(connection, CHANGE)
    carried.up("expand", "backfill", "validate")
    (part,) = carried.parts("contract")
    with connection.transaction(force_rollback=True):
        for statement in part.statements:
            connection.execute(statement.sql.encode())
        assert locks(connection) == {
            "orders": "AccessExclusiveLock",
            "orders_coupons": "ShareRowExclusiveLock",
        }


def test_each_part_of_expand_locks_one_table(connection: Connection) -> None:
    carried = Carried(connection, CHANGE)
    seen = []
    for part in carried.parts("expand"):
        with connection.transaction():
            for statement in part.statements:
                connection.execute(statement.sql.encode())
            seen.append({name: mode for name, mode in locks(connection).items() if name != "orders_coupons"})
    strong = "ShareRowExclusiveLock"
    assert seen == [{"orders": strong}, {"coupons": strong}, {"orders": strong}]


def locks(connection: Connection) -> dict[str, str]:
    """Table → the strongest lock on it that this transaction holds and that anybody waits for."""
    order = "ARRAY['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']"
    rows = connection.execute(
        f"SELECT DISTINCT ON (relation) relation::regclass::text, mode FROM pg_locks "
        f"WHERE pid = pg_backend_pid() AND mode = ANY({order}) AND relation IN "
        "('orders'::regclass, 'coupons'::regclass, to_regclass('orders_coupons')) "
        f"ORDER BY relation, array_position({order}, mode) DESC".encode()
    ).fetchall()
    return {str(name): str(mode) for name, mode in rows}


def test_a_parent_that_goes_leaves_its_rows_without_it(connection: Connection) -> None:
    connection.execute(
        "ALTER TABLE orders DROP CONSTRAINT orders_coupon_id_fkey, ADD FOREIGN KEY (coupon_id) REFERENCES coupons "
        "ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED"
    )
    Carried(connection, CHANGE).up("expand", "backfill")
    (key,) = [c for c in table(connection, "orders_coupons").constraints if "coupons(id)" in c.definition]
    assert key.definition.endswith("ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED")
    connection.execute("INSERT INTO orders_coupons VALUES (1, 9); DELETE FROM coupons WHERE id = 2")
    assert one(connection, "SELECT coupon_id FROM orders WHERE id = 1") == 9


def test_a_table_may_point_at_itself(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE nodes (id int PRIMARY KEY, up int REFERENCES nodes); INSERT INTO nodes VALUES (1, NULL), (2, 1)"
    )
    assert restores_the_table(connection, ManyToMany(QualifiedName("nodes"), "up", QualifiedName("ups")))


def test_hostile_names(connection: Connection) -> None:
    connection.execute(
        """CREATE SCHEMA "My App"; CREATE TABLE "My App"."select" ("ki""nd" int, b int, PRIMARY KEY ("ki""nd", b));
        CREATE TABLE "My App"."Größe" ("user" int PRIMARY KEY); INSERT INTO "My App"."Größe" VALUES (1);
        ALTER TABLE "My App"."select" ADD "to" int REFERENCES "My App"."Größe";
        INSERT INTO "My App"."select" VALUES (1, 1, 1), (1, 2, NULL)"""
    )
    change = ManyToMany(
        QualifiedName("select", "My App"), "to", QualifiedName('be"gin $1', "My App"), ("new", "old")
    )
    assert restores_the_table(connection, change)
    Carried(connection, change).up(*ALL)
    assert one(connection, 'SELECT ("new", "old", "to")::text FROM "My App"."be""gin $1"') == "(1,1,1)"


def test_names_of_63_bytes(connection: Connection) -> None:
    long = "c" * 63
    connection.execute(f"ALTER TABLE orders RENAME coupon_id TO {long}".encode())
    assert restores_the_table(connection, ManyToMany(ORDERS, long, QualifiedName("j" * 63)))


def test_row_security_is_not_got_round(connection: Connection) -> None:
    connection.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
    carried = Carried(connection, CHANGE)
    carried.up("expand")
    assert table(connection, "orders_coupons").row_security
    assert "policies" in " ".join(carried.plan.notes)


def test_the_plan_tells_subscribers(connection: Connection) -> None:
    connection.execute("CREATE PUBLICATION p FOR TABLE orders")
    assert "published by p" in " ".join(make_plan(CHANGE, LiveFacts(connection)).notes)


def test_the_recipe_reads_what_is_typed() -> None:
    typed = {
        "column": "x",
        "table": ORDERS,
        "junction": LINKS,
        "child_columns": ("a", "b"),
        "versions": False,
    }
    assert [p.flag for p in RECIPE.parameters if p.option] == ["--child-column", "--versions"]
    assert set(typed) == {"table", *(parameter.name for parameter in RECIPE.parameters)}


OTHER = (
    "ALTER TABLE orders DROP CONSTRAINT orders_coupon_id_fkey, ADD FOREIGN KEY (coupon_id) REFERENCES coupons"
)
REFUSED: dict[str, tuple[str, ManyToMany, type[EvolveError], str]] = {
    "unknown table": ("", ManyToMany(QualifiedName("x"), "a", LINKS), Misuse, "no table"),
    "unknown column": ("", ManyToMany(ORDERS, "a", LINKS), Misuse, "no column"),
    "no foreign key": ("", ManyToMany(ORDERS, "note", LINKS), Refused, "no foreign key"),
    "taken": ("", ManyToMany(ORDERS, "coupon_id", QualifiedName("coupons")), Misuse, "name of a table"),
    "index taken": ("CREATE TABLE ix_orders_coupons_coupon_id ()", CHANGE, Misuse, "name of a table"),
    "key taken": ("CREATE TABLE orders_coupons_pkey ()", CHANGE, Misuse, "name of a table"),
    "same names": (
        "",
        ManyToMany(ORDERS, "coupon_id", LINKS, ("coupon_id",)),
        Misuse,
        "two columns of one name",
    ),
    "too many": (
        "",
        ManyToMany(ORDERS, "coupon_id", LINKS, ("a", "b")),
        Misuse,
        "2 columns cannot refer to 1",
    ),
    "cascade": (f"{OTHER} ON DELETE CASCADE", CHANGE, Refused, "ON DELETE CASCADE"),
    "set default": (f"{OTHER} ON DELETE SET DEFAULT", CHANGE, Refused, "ON DELETE SET DEFAULT"),
    "not valid": (f"{OTHER} NOT VALID", CHANGE, Refused, "not validated"),
    "two keys": (
        "ALTER TABLE orders ADD FOREIGN KEY (coupon_id) REFERENCES coupons",
        CHANGE,
        Refused,
        "two foreign keys",
    ),
    "several": (
        """ALTER TABLE coupons ADD UNIQUE (id, id2); ALTER TABLE orders DROP CONSTRAINT orders_coupon_id_fkey,
        ADD id2 int, ADD FOREIGN KEY (coupon_id, id2) REFERENCES coupons (id, id2)""".replace(
            "ALTER TABLE coupons ADD", "ALTER TABLE coupons ADD id2 int, ADD"
        ),
        CHANGE,
        Refused,
        "one of several",
    ),
    "check": ("ALTER TABLE orders ADD CHECK (coupon_id > 0)", CHANGE, Refused, "check constraint"),
    "unique": ("ALTER TABLE orders ADD UNIQUE (coupon_id, id)", CHANGE, Refused, "unique constraint"),
    "unique index": ("CREATE UNIQUE INDEX u ON orders (coupon_id, id)", CHANGE, Refused, "unique index"),
    "default": ("ALTER TABLE orders ALTER coupon_id SET DEFAULT 1", CHANGE, Refused, "its default 1"),
    "view": ("CREATE VIEW v AS SELECT coupon_id FROM orders", CHANGE, Refused, "view v"),
    "no key": ("ALTER TABLE orders DROP CONSTRAINT orders_pkey", CHANGE, Refused, "no primary key"),
    "inheritance": ("CREATE TABLE more () INHERITS (orders)", CHANGE, Refused, "inheritance"),
    "forced": (
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        CHANGE,
        Refused,
        "forces row level security",
    ),
    "later trigger": (
        """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER zzz BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION f()""",
        CHANGE,
        Refused,
        'trigger "zzz"',
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
