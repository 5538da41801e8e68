"""Scores of keys and hints on indexes, from made-up statistics: one matter at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evolve.lint.facts import CannotReadFacts, Facts, IndexFacts, LaterFacts, RelationFacts, Writes
from evolve.partition.advice.keys import Key
from evolve.partition.advice.table import TableAdvice, advise_table
from evolve.partition.advice.workload import (
    Column,
    Index,
    NoWorkload,
    Recorded,
    Reference,
    Table,
    Workload,
    read,
    to_json,
)
from evolve.sql.names import QualifiedName

ORDERS, USERS = QualifiedName("orders"), QualifiedName("users")
ROWS = 1_000_000
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def column(name: str, type_: str = "bigint", distinct: float | None = -1.0, **more: object) -> Column:
    plain = Column(name, type_, True, distinct, 0.0, None, 0.0, 8, False, None)
    return replace(plain, **more)  # type: ignore[arg-type]


def index(name: str, *columns: str, **more: object) -> Index:
    plain = Index(name, "btree", columns, ("1/0/0",) * len(columns), (), False, False, False, True, None)
    return replace(plain, **more)  # type: ignore[arg-type]


PRIMARY = index("orders_pkey", "id", unique=True, primary=True, constraint=True)
TABLE = Table(
    ORDERS,
    None,
    (
        column("id", growing=True),
        column("at", "timestamp with time zone", span_days=700.0, correlation=0.99),
        column("tenant", "integer", 500.0),
        column("user_id", "bigint", 90_000.0),
        column("state", "text", 4.0),
        column("code", "text", -1.0, width=64),
        column("gone_at", "timestamp with time zone", 1000.0, null_share=0.98),
        column("kept_at", "timestamp with time zone", 1000.0, null_share=0.02),
        column("done", "boolean", 2.0, largest_share=0.97),
        column("tags", "text[]", None),
        column("body", "jsonb", None),
    ),
    (PRIMARY,),
    (),
)


def relation(name: QualifiedName, rows: int, indexes: tuple[Index, ...] = ()) -> RelationFacts:
    size = rows * 200
    own = tuple(IndexFacts(QualifiedName(each.name), 10_000, 0, True) for each in indexes)
    writes = Writes(rows, 0, 0, 0)
    return RelationFacts(name, "table", None, rows, 0, size, 0, 0, writes, 0, 0, None, None, (), own)


def advice(
    *statements: str | tuple[str, float, int],
    table: Table = TABLE,
    others: tuple[Table, ...] = (),
    least: int = 0,
    since: datetime = NOW - timedelta(days=30),
) -> TableAdvice:
    recorded = tuple(
        Recorded(each, 100, 10.0, 100) if isinstance(each, str) else Recorded(each[0], 100, each[1], each[2])
        for each in statements
    )
    relations = {ORDERS: relation(ORDERS, ROWS, table.indexes)} | {
        each.name: relation(each.name, ROWS) for each in others
    }
    facts = Facts(NOW, 18, False, since, None, False, relations)
    tables = {ORDERS: table} | {each.name: each for each in others}
    return advise_table(facts, Workload(tables, recorded or None), table, least)


def key(found: TableAdvice, method: str, name: str) -> Key:
    return next(each for each in found.partition.keys if (each.method, each.column) == (method, name))


def part(one: Key, name: str) -> int:
    return sum(each.points for each in one.parts if each.name == name)


BY_DAY = "SELECT * FROM orders WHERE at >= $1 AND at < $2"
BY_ID = "SELECT * FROM orders WHERE id = $1"


# -- keys -------------------------------------------------------------------------------------------------------------
def test_reads_that_a_key_prunes_count_by_their_time() -> None:
    found = advice((BY_DAY, 30.0, 1), (BY_ID, 10.0, 1))
    assert part(key(found, "range", "at"), "pruned reads") == round(75 * 30 / 40)
    assert part(key(found, "hash", "id"), "pruned reads") == round(60 * 10 / 40)


def test_a_range_open_at_one_end_counts_less() -> None:
    found = advice("SELECT * FROM orders WHERE at >= $1")
    assert part(key(found, "range", "at"), "pruned reads") == round(75 * 0.6)


def test_each_place_of_a_query_must_be_pruned() -> None:
    found = advice("SELECT * FROM orders WHERE at = $1 AND id IN (SELECT id FROM orders WHERE state = $2)")
    assert all((each.method, each.column) != ("range", "at") for each in found.partition.keys)


def test_range_deletes_speak_for_a_range() -> None:
    found = advice(
        BY_DAY, ("DELETE FROM orders WHERE at < $1", 0.0, 900), ("DELETE FROM orders WHERE id = $1", 0.0, 100)
    )
    assert part(key(found, "range", "at"), "range deletes") == round(25 * 0.9)


def test_updates_of_the_key_speak_against_it() -> None:
    by_state = "SELECT * FROM orders WHERE state = $1"
    found = advice(by_state, "UPDATE orders SET state = $1 WHERE state = $2")
    assert part(key(found, "list", "state"), "key updates") == -60


def test_a_frequent_value_makes_partitions_unequal() -> None:
    table = replace(TABLE, columns=(column("tenant", "integer", 500.0, largest_share=0.5),))
    found = advice("SELECT * FROM orders WHERE tenant = $1", table=table)
    assert part(key(found, "hash", "tenant"), "skew") == -22  # the largest is 8.5 times the average


def test_lost_keys_and_their_foreign_keys_cost() -> None:
    lines = Table(
        QualifiedName("lines"),
        None,
        (),
        (),
        (Reference("lines_order_fkey", ("order_id",), "public.orders", ("id",)),),
    )
    found = advice(BY_DAY, BY_ID, others=(lines,))
    assert part(key(found, "range", "at"), "unique keys") == -8
    assert part(key(found, "range", "at"), "foreign keys") == -8
    assert part(key(found, "hash", "id"), "unique keys") == 0
    assert part(key(found, "hash", "id"), "foreign keys") == 0


def test_a_random_number_is_no_range() -> None:
    found = advice("SELECT * FROM orders WHERE user_id = $1")
    assert {(each.method, each.column) for each in found.partition.keys} == {("hash", "user_id")}


def test_a_small_table_stays_in_one_piece() -> None:
    found = advice(BY_DAY, least=10**10)
    assert found.partition.best is None
    assert "small" in found.partition.why


def test_without_counted_statements_nothing_is_advised() -> None:
    found = advice()
    assert found.partition.best is None
    assert "nobody has counted" in found.partition.why


def test_the_command_cuts_by_the_span_of_the_rows() -> None:
    assert advice(BY_DAY).command == (
        'evolve partition convert orders --method range --key at --interval "1 week"'
    )


def test_joins_of_large_tables_by_other_columns_speak_against_a_shard_key() -> None:
    users = Table(USERS, None, (column("id"), column("name", "text")), (), ())
    by_user = "SELECT * FROM orders o JOIN users u ON u.id = o.user_id WHERE o.{} = $1"
    found = advice(by_user.format("tenant"), by_user.format("user_id"), others=(users,))
    scores = {each.column: {part.name: part.points for part in each.parts} for each in found.shard.keys}
    assert scores["tenant"]["cross-shard joins"] == -50
    assert scores["user_id"]["local joins"] == 20


# -- indexes ----------------------------------------------------------------------------------------------------------
def hints(
    *indexes: Index, queries: tuple[str, ...] = (BY_ID,), **more: object
) -> set[tuple[str, str | None]]:
    table = replace(TABLE, indexes=(PRIMARY, *indexes), **more)  # type: ignore[arg-type]
    return {(hint.code, hint.index) for hint in advice(*queries, table=table, since=NOW).indexes}


def test_a_left_prefix_is_not_needed() -> None:
    assert hints(index("a", "tenant"), index("b", "tenant", "at")) == {("left-prefix", "a")}


@pytest.mark.parametrize(
    "shorter",
    [
        index("a", "tenant", unique=True),
        index("a", "tenant", kinds=("1/0/3",)),
        index("a", "tenant", predicate="(state = 'open')"),
        index("a", "tenant", included=("user_id",)),
        index("a", "at"),
        index("a", "tenant", method="hash"),
    ],
    ids=["unique", "other order", "partial", "covering", "no prefix", "hash"],
)
def test_what_is_no_left_prefix(shorter: Index) -> None:
    assert not hints(shorter, index("b", "tenant", "at"))


def test_of_two_equal_indexes_one_goes() -> None:
    assert hints(index("a", "tenant"), index("b", "tenant")) == {("left-prefix", "b")}


def test_few_values_alone_are_no_index() -> None:
    assert hints(index("a", "state"), index("b", "state", "at", predicate="x")) == {("few-values", "a")}


def test_an_index_that_nobody_used_for_a_month() -> None:
    table = replace(TABLE, indexes=(PRIMARY, index("a", "tenant")))
    assert [(hint.code, hint.index) for hint in advice(BY_ID, table=table).indexes] == [("unused", "a")]


def test_a_foreign_key_wants_an_index() -> None:
    reference = Reference("orders_user_fkey", ("user_id", "tenant"), "public.users", ("id", "tenant"))
    assert hints(references=(reference,)) == {("foreign-key", None)}
    assert not hints(index("a", "tenant", "user_id", "at"), references=(reference,))


def test_a_wide_text_that_is_only_equalled_wants_a_hash() -> None:
    equal = "SELECT * FROM orders WHERE code = $1"
    assert hints(index("a", "code"), queries=(equal,)) == {("hash", "a")}
    assert not hints(index("a", "code"), queries=(equal, "SELECT * FROM orders WHERE code > $1"))
    assert not hints(index("a", "code"), queries=(f"{equal} ORDER BY code",))


@pytest.mark.parametrize("where", ["tags @> $1", "tags && $1", "$1 = ANY (tags)", "body @> $1", "body ? $1"])
def test_what_is_looked_into_wants_a_gin(where: str) -> None:
    assert hints(queries=(f"SELECT * FROM orders WHERE {where}",)) == {("gin", None)}


def test_a_gin_that_is_there_is_not_asked_for() -> None:
    assert not hints(index("a", "tags", method="gin"), queries=("SELECT * FROM orders WHERE tags @> $1",))


@pytest.mark.parametrize(
    ("where", "predicate"),
    [
        ("user_id = $1 AND kept_at IS NULL", "kept_at IS NULL"),
        ("user_id = $1 AND gone_at IS NOT NULL", "gone_at IS NOT NULL"),
        ("user_id = $1 AND NOT done", "NOT done"),
    ],
)
def test_rare_rows_want_a_partial_index(where: str, predicate: str) -> None:
    (hint,) = advice(f"SELECT * FROM orders WHERE {where}", since=NOW).indexes
    assert (hint.code, hint.fix) == (
        "partial",
        f"CREATE INDEX CONCURRENTLY ix_orders_user_id ON orders (user_id) WHERE {predicate}",
    )


def test_rows_that_most_are_want_none() -> None:
    assert not hints(queries=("SELECT * FROM orders WHERE user_id = $1 AND gone_at IS NULL",))


def test_a_query_that_could_be_answered_by_the_index_alone() -> None:
    table = replace(TABLE, indexes=(PRIMARY, index("a", "tenant", "at")))
    (hint,) = advice("SELECT user_id FROM orders WHERE tenant = $1", table=table, since=NOW).indexes
    assert hint.fix == "CREATE INDEX CONCURRENTLY ix_orders_tenant ON orders (tenant) INCLUDE (user_id)"


# -- the file ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def export(tmp_path: Path) -> Path:
    facts = Facts(NOW, 18, False, NOW, None, False, {ORDERS: relation(ORDERS, ROWS)})
    reference = Reference("orders_user_fkey", ("user_id",), "public.users", ("id",))
    table = replace(TABLE, references=(reference,))
    file = tmp_path / "facts.json"
    file.write_text(to_json(facts, Workload({ORDERS: table}, (Recorded(BY_ID, 1, 0.5, 1),), ("a note",))))
    return file


def test_what_is_written_is_read(export: Path) -> None:
    facts, found = read(export)
    assert to_json(facts, found) == export.read_text()


def test_facts_without_a_workload_are_refused(export: Path) -> None:
    document = json.loads(export.read_text())
    del document["workload"]
    export.write_text(json.dumps(document))
    with pytest.raises(NoWorkload, match="statements and columns"):
        read(export)


def test_a_workload_of_another_version_is_refused(export: Path) -> None:
    document = json.loads(export.read_text())
    document["workload"]["schema"] = 2
    export.write_text(json.dumps(document))
    with pytest.raises(LaterFacts, match="format 2"):
        read(export)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("statements",), [{"text": "SELECT 1"}]),
        (("statements", 0, "calls"), "many"),
        (("statements", 0, "rows"), True),
        (("tables",), None),
        (("tables", 0, "name"), "a.b.c"),
        (("tables", 0, "columns", 0, "distinct"), "few"),
        (("tables", 0, "indexes", 0, "columns"), "id"),
        (("notes",), 5),
    ],
)
def test_a_workload_with_something_wrong_is_refused(
    export: Path, where: tuple[str | int, ...], value: object
) -> None:
    document = json.loads(export.read_text())
    place = document["workload"]
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    export.write_text(json.dumps(document))
    with pytest.raises(CannotReadFacts, match="workload"):
        read(export)
