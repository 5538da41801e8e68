"""Indexes: what is found about them, and what looks like a hazard and is none."""

from __future__ import annotations

import pytest
from support.recordings import judge, names, recording

from evolve.lint.model import Severity
from evolve.lint.rules.indexes import RULES

DEFAULT = tuple(rule for rule in RULES if not rule.opt_in)


def found(*statements: str, version: int = 15) -> list[str]:
    return names(judge(recording("r", *statements), rules=DEFAULT, version=version))


def asked(rule: str, *statements: str, version: int = 15) -> list[str]:
    """What a rule that is opt-in finds in one revision."""
    chosen = tuple(each for each in RULES if each.name == rule)
    return names(judge(recording("r", *statements), rules=chosen, version=version))


BUILD = "autocommit: CREATE INDEX CONCURRENTLY i ON orders (email)"


@pytest.mark.parametrize(
    ("sql", "rules"),
    [
        ("REINDEX TABLE orders", ["reindex-blocking"]),
        ("REINDEX INDEX by_user_and_status", ["reindex-blocking"]),
        ("REINDEX INDEX nobody_knows_it", ["reindex-blocking"]),
        ("autocommit: REINDEX SCHEMA public", ["reindex-blocking"]),
        ("REINDEX TABLE events", ["reindex-blocking", "vacuum-in-transaction"]),
        ("CLUSTER orders USING orders_pkey", ["cluster"]),
        ("autocommit: CLUSTER", ["cluster"]),
        ("CLUSTER", ["vacuum-in-transaction"]),
        ("autocommit: VACUUM FULL orders", ["vacuum-full"]),
        ("autocommit: VACUUM FULL", ["vacuum-full"]),
        ("VACUUM FULL orders", ["vacuum-in-transaction"]),
        ("VACUUM orders", ["vacuum-in-transaction"]),
        ("DROP INDEX orders_pkey", ["drop-constraint-backing-index"]),
        ("DROP INDEX IF EXISTS orders_pkey CASCADE", ["drop-constraint-backing-index"]),
        ("autocommit: DROP INDEX CONCURRENTLY orders_pkey", ["drop-constraint-backing-index"]),
        ("autocommit: CREATE INDEX CONCURRENTLY i ON events (id)", ["concurrently-partitioned"]),
        ("CREATE INDEX CONCURRENTLY i ON events (id)", ["concurrently-partitioned"]),
        (
            "autocommit: CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON orders (email)",
            ["concurrent-if-not-exists"],
        ),
    ],
)
def test_hazard_is_found(sql: str, rules: list[str]) -> None:
    assert found(sql) == rules


@pytest.mark.parametrize(
    "statements",
    [
        ("autocommit: REINDEX TABLE CONCURRENTLY orders",),
        ("CREATE TABLE t (id bigint PRIMARY KEY)", "REINDEX TABLE t"),
        ("CREATE TABLE t (id bigint PRIMARY KEY)", "CLUSTER t USING t_pkey"),
        ("autocommit: VACUUM (ANALYZE) orders",),
        ("ANALYZE orders",),
        (
            "autocommit: DROP INDEX CONCURRENTLY IF EXISTS i",
            "autocommit: CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON orders (email)",
        ),
        (BUILD,),
    ],
)
def test_what_only_looks_like_a_hazard_is_not_found(statements: tuple[str, ...]) -> None:
    assert found(*statements) == []


def test_index_of_a_partition_cannot_be_dropped_alone() -> None:
    assert found("CREATE INDEX i ON ONLY events (id)", "DROP INDEX nothing") == ["drop-index-blocking"]

    made = recording("a", "CREATE INDEX i ON events (id)")
    drop = recording("b", "DROP INDEX events_2026_id_idx", transaction=2)

    judged = judge(made, drop, rules=DEFAULT, together=False)
    assert "drop-constraint-backing-index" in names([each for each in judged if each.revision == "b"])


def test_safe_form_for_a_partitioned_table_builds_each_partition_in_a_revision_of_its_own() -> None:
    split = (
        "CREATE TABLE events_2027 PARTITION OF events FOR VALUES IN (2027) PARTITION BY RANGE (id)",
        "CREATE TABLE events_2027_a PARTITION OF events_2027 FOR VALUES FROM (0) TO (10)",
    )
    judged = judge(
        recording("a", *split), recording("b", "CREATE INDEX i ON events (id)"), rules=DEFAULT, together=False
    )

    [finding] = [each for each in judged if each.name == "create-index-blocking"]
    parents, *builds, attach = finding.safe
    assert parents.count("ON ONLY") == 2
    assert len(builds) == 2
    assert all("postgresql_concurrently" in build for build in builds)
    # From below: an index is whole once its parts are.
    assert attach.splitlines()[0].count("ATTACH PARTITION events_2027_a_events_2027_i") == 1
    assert len(attach.splitlines()) == 3


class TestNotAlone:
    @pytest.mark.parametrize(
        "statements",
        [
            ("ALTER TABLE orders ADD COLUMN c integer", BUILD),
            (BUILD, "ALTER TABLE orders ADD COLUMN c integer"),
            (BUILD, "autocommit: CREATE INDEX CONCURRENTLY j ON orders (note)"),
        ],
    )
    def test_is_found_once_where_the_revision_cannot_be_run_again(self, statements: tuple[str, ...]) -> None:
        assert found(*statements) == ["concurrently-not-alone"]

    @pytest.mark.parametrize(
        "other",
        [
            "SET lock_timeout = '1s'",
            "autocommit: DROP INDEX CONCURRENTLY IF EXISTS i",
            "ALTER TABLE orders ADD COLUMN IF NOT EXISTS c integer",
            "COMMENT ON TABLE orders IS 'x'",
        ],
    )
    def test_is_not_found_where_the_other_can_be_repeated(self, other: str) -> None:
        assert found(other, BUILD) == []

    def test_is_not_found_where_the_new_index_takes_the_place_of_an_old_one(self) -> None:
        wider = "autocommit: CREATE INDEX CONCURRENTLY i ON orders (user_id, status, id)"

        assert found(wider, "autocommit: DROP INDEX CONCURRENTLY by_user_and_status") == []


class TestDropBeforeReplacement:
    DROP = "autocommit: DROP INDEX CONCURRENTLY by_user_and_status"
    BUILD = "autocommit: CREATE INDEX CONCURRENTLY i ON orders (user_id, placed)"

    def names(self, first: str, second: str) -> list[str]:
        return names(judge(recording("a", first), recording("b", second, transaction=2), rules=DEFAULT))

    def test_is_found_at_the_drop(self) -> None:
        [finding] = judge(recording("a", self.DROP), recording("b", self.BUILD), rules=DEFAULT)

        assert (finding.name, finding.revision) == ("drop-index-before-replacement", "a")

    def test_the_other_order_is_right(self) -> None:
        assert self.names(self.BUILD, self.DROP) == []

    def test_an_index_over_other_columns_replaces_nothing(self) -> None:
        assert self.names(self.DROP, self.BUILD.replace("user_id, placed", "placed, user_id")) == []

    def test_in_one_transaction_nobody_sees_the_gap(self) -> None:
        drop, build = (
            sql.removeprefix("autocommit: ").replace("CONCURRENTLY ", "") for sql in (self.DROP, self.BUILD)
        )

        assert "drop-index-before-replacement" not in found(drop, build)


@pytest.mark.parametrize(
    ("column", "keys", "rules"),
    [
        ("data jsonb", "(data)", ["index-btree-on-jsonb"]),
        ("data text[]", "(data)", ["index-btree-on-jsonb"]),
        ("data json", "(data)", ["index-btree-on-jsonb"]),
        ("data jsonb", "((data ->> 'kind'))", []),
        ("data jsonb", "USING gin (data)", []),
        ("place point", "(place)", ["index-btree-on-geometry"]),
        ("place geometry(Point,4326)", "(place)", ["index-btree-on-geometry"]),
        ("place geometry", "USING gist (place)", []),
    ],
)
def test_btree_over_what_has_no_useful_order(column: str, keys: str, rules: list[str]) -> None:
    assert found(f"CREATE TABLE t ({column})", f"CREATE INDEX i ON t {keys}") == rules


def test_unique_index_over_whole_documents_is_meant() -> None:
    assert found("CREATE TABLE t (tags text[])", "CREATE UNIQUE INDEX i ON t (tags)") == []


@pytest.mark.parametrize(
    ("rule", "sql", "finds"),
    [
        ("index-invalid-leftover", BUILD, True),
        ("drop-index", "DROP INDEX by_user_and_status", True),
        ("drop-index", "DROP INDEX nobody_knows_it", False),
        ("gin-jsonb-ops", "CREATE TABLE t (d jsonb); CREATE INDEX i ON t USING gin (d)", True),
        (
            "gin-jsonb-ops",
            "CREATE TABLE t (d jsonb); CREATE INDEX i ON t USING gin (d jsonb_path_ops)",
            False,
        ),
        ("gin-jsonb-ops", "CREATE TABLE t (d text[]); CREATE INDEX i ON t USING gin (d)", False),
        ("index-duplicate-column", "CREATE INDEX i ON orders (email, email)", True),
        ("index-duplicate-column", "CREATE INDEX i ON orders (email) INCLUDE (email)", True),
        ("index-duplicate-column", "CREATE INDEX i ON orders (email, email text_pattern_ops)", False),
        ("index-duplicate-column", "CREATE INDEX i ON orders (email) INCLUDE (note)", False),
        ("index-too-wide", "CREATE INDEX i ON orders (id, email, note, total)", True),
        ("index-too-wide", "CREATE UNIQUE INDEX i ON orders (id, email, note, total)", False),
        ("index-low-cardinality", "CREATE INDEX i ON orders (status)", True),
        ("index-low-cardinality", "CREATE INDEX i ON orders (status, id)", False),
        ("index-low-cardinality", "CREATE INDEX i ON orders (status) WHERE status = 'new'", False),
        ("index-hash", "CREATE INDEX i ON orders USING hash (email)", True),
        ("index-null-heavy", "ALTER TABLE orders ADD COLUMN c integer; CREATE INDEX i ON orders (c)", True),
        (
            "index-null-heavy",
            "ALTER TABLE orders ADD COLUMN c integer DEFAULT 1; CREATE INDEX i ON orders (c)",
            False,
        ),
        ("index-null-heavy", "CREATE INDEX i ON orders (email)", False),
        ("index-useless-where", "CREATE INDEX i ON orders (email) WHERE total IS NOT NULL", True),
        ("index-useless-where", "CREATE INDEX i ON orders (email) WHERE true", True),
        ("index-useless-where", "CREATE INDEX i ON orders (email) WHERE email IS NOT NULL", False),
        ("timestamp-in-middle", "CREATE INDEX i ON orders (placed, id)", True),
        ("timestamp-in-middle", "CREATE INDEX i ON orders (id, placed)", False),
        ("index-vector-parameters", "CREATE INDEX i ON orders USING ivfflat (note)", True),
        ("index-vector-parameters", "CREATE INDEX i ON orders USING ivfflat (note) WITH (lists = 10)", False),
        ("index-vector-parameters", "CREATE INDEX i ON orders USING hnsw (note)", True),
        ("index-vector-parameters", "CREATE INDEX i ON orders USING hnsw (note) WITH (m = 8)", False),
        ("index-vector-parameters", "CREATE INDEX i ON orders (note)", False),
    ],
)
def test_guidelines_find_what_they_name(rule: str, sql: str, finds: bool) -> None:
    assert bool(asked(rule, sql)) is finds


@pytest.mark.parametrize(("version", "finds"), [(14, True), (15, False)])
def test_concurrent_builds_are_doubtful_on_14_alone(version: int, finds: bool) -> None:
    assert bool(asked("index-corruption-14", BUILD, version=version)) is finds


def test_build_that_clears_away_what_is_left_can_run_again() -> None:
    build = "autocommit: CREATE UNIQUE INDEX CONCURRENTLY i ON orders (email)"
    use = "ALTER TABLE orders ADD CONSTRAINT i UNIQUE USING INDEX i"

    assert found(build, use) == ["concurrently-not-alone"]
    assert found("autocommit: DROP INDEX CONCURRENTLY IF EXISTS i", build, use) == []


def test_index_goes_with_its_table() -> None:
    drop = "DROP INDEX by_user_and_status"

    assert found(drop, "DROP TABLE orders") == []
    assert found(drop, "autocommit: DROP TABLE orders") == ["drop-index-blocking"]


@pytest.mark.parametrize(
    ("before", "severity"),
    [((), Severity.ERROR), (("COMMIT",), Severity.WARNING)],  # which psycopg2 obeys
)
def test_concurrent_build_in_a_transaction(before: tuple[str, ...], severity: Severity) -> None:
    build = "CREATE INDEX CONCURRENTLY i ON orders (email)"

    [finding] = judge(recording("r", *before, build), rules=DEFAULT)

    assert finding.severity is severity
