"""What cannot be converted is refused before anything is touched, with every obstacle and its way out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.conversion import MONTHS, PER_PARTITION, planned
from support.orders import NOW, execute, make_orders, relations, scalar
from support.servers import MakeDatabase, MakeTemplate

from evolve.app import convert_table
from evolve.app.convert_table import BadOptions
from evolve.app.plugins import NoSuchMethod
from evolve.errors import Refused
from evolve.partition.obstacles import CannotConvert
from evolve.partition.plan import NoRecipe, Wish
from evolve.partition.values import UnreadableValue
from evolve.plugin_api import (
    BadBounds,
    Bound,
    NoPartitionFor,
    NotAdopted,
    Options,
    Partitioner,
    Profile,
    RangeBound,
    TableInfo,
    TooManyPartitions,
)
from evolve.postgres.inventory import NoSuchTable
from evolve.sql.names import QualifiedName

if TYPE_CHECKING:
    from evolve.partition.obstacles import UniqueAnswer

pytestmark = pytest.mark.server


@pytest.fixture
def url(make_template: MakeTemplate, make_database: MakeDatabase) -> str:
    return make_database(make_template("a few orders", lambda url: make_orders(url, 100)))


def refused(
    url: str, options: Mapping[str, object] = MONTHS, unique: Mapping[str, UniqueAnswer] = PER_PARTITION
) -> CannotConvert:
    before = relations(url)
    with pytest.raises(CannotConvert) as refusal:
        planned(url, options=options, unique=unique)
    assert relations(url) == before
    assert scalar(url, "SELECT to_regnamespace('evolve') IS NULL") is True
    assert all(obstacle.fix for obstacle in refusal.value.obstacles)
    return refusal.value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE orders DROP CONSTRAINT orders_pkey", "no primary key"),
        ("ALTER TABLE orders ALTER created_at DROP NOT NULL", '"created_at" may be null'),
        ("CREATE TABLE c () INHERITS (orders)", "inheritance ties to public.c"),
        ("CREATE TABLE p (note text); ALTER TABLE orders INHERIT p", "inheritance ties to public.p"),
        ("ALTER TABLE orders SET UNLOGGED", "unlogged"),
        (
            "ALTER TABLE orders ADD CONSTRAINT apart EXCLUDE USING btree (note WITH =)",
            'the exclusion constraint "apart"',
        ),
        (
            "CREATE TABLE items (order_id bigint CONSTRAINT items_order REFERENCES orders)",
            'the foreign key "items_order" of public.items points at it',
        ),
        (
            "ALTER TABLE orders ADD parent bigint CONSTRAINT orders_parent REFERENCES orders",
            'the foreign key "orders_parent" of public.orders points at it',
        ),
        ("ALTER TABLE orders ADD CONSTRAINT c CHECK (amount >= 0) NOT VALID", 'the CHECK "c" is not valid'),
        ("ALTER TABLE orders ADD CONSTRAINT c CHECK (amount >= 0) NO INHERIT", 'the CHECK "c" is NO INHERIT'),
        (
            "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (tenant_id) REFERENCES customers NOT VALID",
            'the foreign key "f" is not valid',
        ),
        ("CREATE UNIQUE INDEX other ON orders (note)", 'the unique key "other" does not hold created_at'),
        (
            "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (id) DEFERRABLE",
            "is deferrable or includes",
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT u UNIQUE (note) DEFERRABLE",
            'the unique constraint "u" is deferrable',
        ),
        ("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders", "materialized view public.m depends on it"),
        ("CREATE FUNCTION f() RETURNS SETOF orders LANGUAGE sql AS 'SELECT * FROM orders'", "depends on it"),
        (
            "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM orders; END",
            "function public.f() depends on it",
        ),
        (
            "CREATE RULE r AS ON DELETE TO orders DO ALSO NOTIFY gone",
            "rule r on table public.orders depends on it",
        ),
        (
            "CREATE VIEW v AS SELECT id, note FROM orders GROUP BY id",
            "the view public.v groups by the primary key",
        ),
        ("CREATE STATISTICS s ON tenant_id, customer_id FROM orders", "the extended statistics public.s"),
        ("CREATE PUBLICATION p FOR TABLE orders", "the publication p would send changes under the names"),
        ("CREATE PUBLICATION p FOR ALL TABLES", "the publication p holds all tables"),
        (
            "ALTER TABLE orders REPLICA IDENTITY USING INDEX orders_ext_ref",
            "its replica identity is an index",
        ),
        (
            "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER t AFTER UPDATE ON orders REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION t()",
            'the row trigger "t" reads a transition table',
        ),
        ("CREATE TABLE orders_p2026_07 (id int)", 'a relation "orders_p2026_07" already'),
        ("CREATE TABLE orders_evolve_new (id int)", 'a relation "orders_evolve_new" already'),
    ],
)
def test_refused_before_anything_is_touched(url: str, change: str, said: str) -> None:
    execute(url, change)
    assert said in refused(url).what


def test_an_invalid_index_is_refused(url: str) -> None:
    execute(url, "UPDATE orders SET note = 'same'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(url, "CREATE UNIQUE INDEX CONCURRENTLY broken ON orders (note)")
    assert (
        'the index "broken" is invalid'
        in refused(url, unique={**PER_PARTITION, "broken": "per-partition"}).what
    )


def test_everything_in_the_way_is_told_at_once(url: str) -> None:
    execute(
        url,
        "CREATE TABLE items (order_id bigint REFERENCES orders); ALTER TABLE orders ALTER created_at DROP NOT NULL",
    )
    assert len(refused(url, unique={}).obstacles) == 3


def test_an_answer_for_no_unique_key_is_refused(url: str) -> None:
    refusal = refused(url, unique={**PER_PARTITION, "nope": "widen"})
    assert '"nope", which is no unique key' in refusal.what


def test_a_unique_expression_cannot_be_widened(url: str) -> None:
    execute(url, "CREATE UNIQUE INDEX lowered ON orders (lower(note))")
    assert "cannot be widened" in refused(url, unique={**PER_PARTITION, "lowered": "widen"}).what


def test_a_generated_key_is_refused(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE orders (id bigint PRIMARY KEY, at timestamp NOT NULL,"
        " day date GENERATED ALWAYS AS (at::date) STORED NOT NULL)",
    )
    assert "is a generated column" in refused(database_url, {"key": "day", "interval": "day"}, {}).what


def test_a_partitioned_table_is_refused(database_url: str) -> None:
    execute(database_url, "CREATE TABLE orders (created_at timestamptz) PARTITION BY RANGE (created_at)")
    execute(
        database_url,
        "CREATE TABLE first PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    )
    said = refused(database_url).what
    assert "partitioned already" in said
    assert "inheritance" not in said


def test_a_partition_is_refused(database_url: str) -> None:
    execute(
        database_url,
        "CREATE TABLE parent (id bigint, created_at timestamptz, PRIMARY KEY (id, created_at))"
        " PARTITION BY RANGE (created_at); CREATE TABLE orders PARTITION OF parent DEFAULT",
    )
    assert "a partition of another table" in refused(database_url, unique={}).what


def test_a_view_is_refused(url: str) -> None:
    execute(url, "CREATE VIEW shown AS SELECT * FROM orders")
    with pytest.raises(CannotConvert, match="not an ordinary table"):
        planned(url, table=QualifiedName("shown"))


def test_a_missing_table_names_one_like_it(url: str) -> None:
    with pytest.raises(NoSuchTable) as refusal:
        planned(url, table=QualifiedName("order_s"))
    assert refusal.value.fix == "did you mean public.orders?"


def test_wrong_options_are_told_by_field(url: str) -> None:
    with pytest.raises(BadOptions, match='interval: "1 moon" is not a span'):
        planned(url, options={"key": "created_at", "interval": "1 moon"})


def test_an_unknown_method_names_one_like_it(url: str) -> None:
    from evolve.app.convert_table import plan_conversion

    with pytest.raises(NoSuchMethod) as refusal:
        plan_conversion(url, Wish(QualifiedName("orders"), "rang", MONTHS), NOW)
    assert refusal.value.fix == 'did you mean "range"?'


def test_infinity_is_told(url: str) -> None:
    execute(url, "UPDATE orders SET created_at = 'infinity' WHERE id = 3")
    with pytest.raises(UnreadableValue, match="infinity"):
        planned(url)


def test_a_stray_row_that_would_make_too_many_partitions_is_told(url: str) -> None:
    execute(url, "UPDATE orders SET created_at = '0200-01-01' WHERE id = 3")
    with pytest.raises(TooManyPartitions):
        planned(url)


def test_attach_is_refused_where_no_bound_is_left(url: str) -> None:
    with pytest.raises(NoRecipe):
        planned(url, "attach", {"key": "id", "interval": 2**62})


def test_too_little_disk_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_table, "free_bytes", lambda connection: 10_000)
    assert "0.0 GB are free" in refused(url).what
    assert planned(url, "attach").bytes_needed == 0


def test_names_that_meet_after_63_bytes(database_url: str) -> None:
    long = "a" * 55
    execute(
        database_url,
        f"CREATE TABLE orders (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, x int, y int);"
        f"CREATE INDEX {long}_1 ON orders (x); CREATE INDEX {long}_2 ON orders (y)",
    )
    conversion = planned(database_url, unique={})
    assert conversion.recipe == "copy"  # cut names keep a digest of the whole, so the two stay apart


class Broken(Partitioner):
    """A plugin's method that does not keep the contract.

    Attributes:
        bounds: what it wants.
        first: what it would have the whole table become.
    """

    kind: ClassVar[str] = "broken"
    method: ClassVar[Literal["range", "list", "hash"]] = "range"
    bounds: ClassVar[tuple[Bound, ...]] = ()
    first: ClassVar[Bound | None] = None

    @classmethod
    def parse(cls, options: Options, table: TableInfo) -> Self:
        return cls()

    @property
    def key(self) -> tuple[str, ...]:
        return ("id",)

    def wanted(self, now: datetime, profile: Profile) -> tuple[Bound, ...]:
        return self.bounds

    def name(self, table: str, bound: Bound) -> str:
        return f"{table}_{self.bounds.index(bound) if bound in self.bounds else 'first'}"

    def adopt(self, profile: Profile, now: datetime) -> Bound | NotAdopted:
        return self.first if self.first is not None else NotAdopted("it says so")


@pytest.mark.parametrize(
    ("bounds", "first", "error", "said"),
    [
        ((RangeBound(1, 60), RangeBound(50, 200)), None, BadBounds, "partitions that overlap"),
        ((RangeBound(1, 60), RangeBound(60, 100)), None, NoPartitionFor, '"id" is 100'),
        ((RangeBound(1, 60), RangeBound(60, 200)), RangeBound(1, 150), BadBounds, "partitions that overlap"),
        ((RangeBound(100, 200),), RangeBound(1, 100), NoPartitionFor, '"id" is 100'),
    ],
)
def test_a_plugin_whose_bounds_do_not_tile_the_rows_is_refused(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    bounds: tuple[Bound, ...],
    first: Bound | None,
    error: type[Refused],
    said: str,
) -> None:
    monkeypatch.setattr(Broken, "bounds", bounds)
    monkeypatch.setattr(Broken, "first", first)
    monkeypatch.setattr(convert_table, "method_named", lambda name: Broken)
    with pytest.raises(error, match=said):
        planned(url, "auto", {})
    assert scalar(url, "SELECT to_regnamespace('evolve') IS NULL") is True


def test_a_role_that_may_not_is_refused(url: str) -> None:
    execute(
        url,
        "DO $$ BEGIN CREATE ROLE orders_stranger LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        "CREATE VIEW shown AS SELECT id FROM orders",
    )
    stranger = make_conninfo(url, user="orders_stranger", password="x")  # noqa: S106 - on a scratch server
    with pytest.raises(CannotConvert) as refusal:
        planned(stranger)
    said = refusal.value.what
    assert "it belongs to postgres, and orders_stranger may not act for that role" in said
    assert "the view public.shown belongs to postgres" in said
    assert "orders_stranger may not refer to public.customers" in said
    assert "GRANT REFERENCES ON public.customers TO orders_stranger" in said


def test_forced_row_security_would_hide_rows(url: str) -> None:
    execute(
        url,
        "DO $$ BEGIN CREATE ROLE orders_stranger LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        "GRANT CREATE ON SCHEMA public TO orders_stranger; GRANT REFERENCES ON customers TO orders_stranger;"
        "ALTER TABLE orders OWNER TO orders_stranger;"
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    )
    stranger = make_conninfo(url, user="orders_stranger", password="x")  # noqa: S106 - on a scratch server
    with pytest.raises(CannotConvert) as refusal:
        planned(stranger)
    [obstacle] = refusal.value.obstacles
    assert "row security is forced" in obstacle.what


def test_a_temporary_table_is_refused(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TEMP TABLE passing (id bigint PRIMARY KEY, created_at timestamptz NOT NULL)"
        )
        row = connection.execute(
            "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'passing'"
        )
        [schema] = row.fetchone() or ("",)
        with pytest.raises(CannotConvert, match="it is temporary"):
            planned(url, unique={}, table=QualifiedName("passing", str(schema)))


def test_a_foreign_table_is_refused(url: str) -> None:
    execute(
        url,
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE FOREIGN TABLE far (id bigint NOT NULL, created_at timestamptz NOT NULL) SERVER s",
    )
    with pytest.raises(CannotConvert, match="not an ordinary table"):
        planned(url, unique={}, table=QualifiedName("far"))


def test_a_table_of_an_extension_is_refused(url: str) -> None:
    execute(url, "ALTER EXTENSION plpgsql ADD TABLE orders")
    assert "it belongs to the extension plpgsql" in refused(url).what


def test_names_of_63_bytes_are_cut_and_stay_apart(database_url: str) -> None:
    table, index = "t" * 63, "t" * 62 + "i"
    execute(
        database_url,
        f"CREATE TABLE {table} (id bigint PRIMARY KEY, x int); CREATE INDEX {index} ON {table} (x);"
        f"INSERT INTO {table} SELECT g, g FROM generate_series(1, 10) g",
    )
    made = convert_table.plan_conversion(
        database_url, Wish(QualifiedName(table), "hash", {"key": "id", "modulus": 2}), NOW
    )
    names = [partition.name for partition in made.partitions]
    assert len({name.encode()[:63] for name in names}) == 2
    execute(database_url, f"CREATE TABLE {names[0]} (id int)")
    with pytest.raises(CannotConvert, match=names[0]):
        convert_table.plan_conversion(
            database_url, Wish(QualifiedName(table), "hash", {"key": "id", "modulus": 2}), NOW
        )
