"""A partitioned table is walked leaf by leaf, whatever its partitions are like and whatever becomes of them."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from support.backfill import Quiet, fill, spec

from evolve.app.backfill_work import Pace
from evolve.app.undo_backfill import undo_backfill
from evolve.backfill.spec import Spec
from evolve.backfill.status import State
from evolve.backfill.undo import JournalMode
from evolve.backfill.works import Delete, InsertSelect, JoinedUpdate
from evolve.postgres.backfill_target import MayNot, read_target
from evolve.postgres.connect import connect
from evolve.postgres.leaves import ForeignPartition, WholeTableOnly, target_of, with_leaves
from evolve.sql.names import QualifiedName

pytestmark = pytest.mark.server

# Two levels; columns in another order, with dropped ones between; an index that only one leaf has; one leaf is empty.
TREE = """
    CREATE TABLE t (id integer NOT NULL, at date NOT NULL, n integer NOT NULL DEFAULT 0, code text,
                    PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE new (gone text, n integer NOT NULL DEFAULT 0, at date NOT NULL, too_gone text, code text,
                      id integer NOT NULL);
    ALTER TABLE new DROP gone;
    ALTER TABLE new DROP too_gone;
    CREATE TABLE old PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (id);
    CREATE TABLE old_0 PARTITION OF old FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE old_1 PARTITION OF old FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    ALTER TABLE t ATTACH PARTITION new FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE rest PARTITION OF t DEFAULT;
    INSERT INTO t SELECT g, date '2025-07-01' + g % 360, 0, md5(g::text) FROM generate_series(1, 1200) g;
    CREATE INDEX ON new (code);
    ANALYZE t;
"""


def tree(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TREE)


def values_of(url: str, table: str = "t") -> dict[int, int]:
    with psycopg.connect(url, autocommit=True) as connection:
        return dict(
            connection.execute(f"SELECT n, count(*)::int FROM {table} GROUP BY 1".encode()).fetchall()
        )


def leaves_walked(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT leaf_name FROM evolve.backfill_range ORDER BY range_no").fetchall()
    return list(dict.fromkeys(row[0] for row in rows))


@pytest.mark.parametrize(("workers", "newest_first"), [(1, False), (3, True)])
def test_every_leaf_is_walked_and_given_back(database_url: str, workers: int, newest_first: bool) -> None:
    tree(database_url)
    outcome = fill(
        database_url,
        spec("t", "n", "t.n + 1"),
        pace=Pace(largest=40, workers=workers),
        newest_first=newest_first,
        undo_journal_mode=JournalMode.ON,
    )
    assert (outcome.state, values_of(database_url)) == (State.DONE, {1: 1200})
    assert sorted(leaves_walked(database_url)) == ["new", "old_0", "old_1"]
    undo_backfill(database_url, "t.n", pace=Pace(), stop=Quiet(), watch=Quiet())
    assert values_of(database_url) == {0: 1200}


def test_leaves_are_walked_in_the_order_of_their_keys(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)"
        )
        for low in (200, 0, 100):
            connection.execute(
                f"CREATE TABLE t_{low} PARTITION OF t FOR VALUES FROM ({low}) TO ({low + 100})".encode()
            )
        connection.execute("INSERT INTO t SELECT generate_series(0, 299)")
    fill(database_url, spec("t", "n", "n + 1"), newest_first=True)
    assert leaves_walked(database_url) == ["t_200", "t_100", "t_0"]


def test_each_leaf_has_indexes_of_its_own(database_url: str) -> None:
    tree(database_url)
    with connect(database_url) as connection:
        target = with_leaves(connection, read_target(connection, spec("t", "n", "n + 1")))
        found = {leaf.name.name: target_of(connection, target, leaf) for leaf in target.leaves}
    assert {name: each.touched for name, each in found.items() if each} == {
        "new": ("code",),
        "old_0": (),
        "old_1": (),
        "rest": (),
    }


def test_a_leaf_that_was_taken_off_keeps_its_rows_and_the_others_are_done(database_url: str) -> None:
    tree(database_url)

    def between(batches: int) -> None:
        if batches == 2:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(
                    "ALTER TABLE t DETACH PARTITION new; ALTER TABLE old DETACH PARTITION old_1"
                )
                connection.execute("DROP TABLE old_1")

    quiet = Quiet(between=between)
    outcome = fill(database_url, spec("t", "n", "n + 1"), quiet)
    assert outcome.state is State.DONE
    assert values_of(database_url) == {1: sum(values_of(database_url).values())}
    assert 0 in values_of(database_url, "new")
    assert [line for line in quiet.said if "no partition" in line] != []


def test_a_leaf_may_get_another_name(database_url: str) -> None:
    tree(database_url)

    def between(batches: int) -> None:
        if batches == 2:
            with psycopg.connect(database_url, autocommit=True) as connection:
                for name in ("new", "old_0", "old_1"):
                    connection.execute(f"ALTER TABLE {name} RENAME TO renamed_{name}".encode())

    fill(database_url, spec("t", "n", "n + 1"), Quiet(between=between))
    assert values_of(database_url) == {1: 1200}


def test_a_foreign_partition_is_refused_by_name(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE TABLE t (id int NOT NULL, n int) PARTITION BY LIST (id);
            CREATE TABLE here PARTITION OF t FOR VALUES IN (1);
            CREATE FOREIGN DATA WRAPPER nowhere;
            CREATE SERVER away FOREIGN DATA WRAPPER nowhere;
            CREATE FOREIGN TABLE there PARTITION OF t FOR VALUES IN (2) SERVER away;
            """
        )
    with pytest.raises(ForeignPartition, match='partition "there" of "t"'):
        fill(database_url, spec("t", "n", "1", where="n IS NULL", key=("ctid",)))


def test_rights_on_the_table_above_are_not_enough(database_url: str) -> None:
    tree(database_url)
    name = "clerk_" + psycopg.conninfo.conninfo_to_dict(database_url)["dbname"][-8:]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'clerk'".encode())
        connection.execute(f'GRANT SELECT, UPDATE ON t TO "{name}"'.encode())
        url = psycopg.conninfo.make_conninfo(database_url, user=name, password="clerk")  # noqa: S106
        with pytest.raises(MayNot, match="GRANT SELECT ON new"):
            fill(url, spec("t", "n", "n + 1"))
        connection.execute(f'DROP OWNED BY "{name}"'.encode())
        connection.execute(f'DROP ROLE "{name}"'.encode())


COUNTED = """
    CREATE TABLE fired (n integer);
    CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO fired VALUES (1); RETURN NULL; END $$;
    CREATE TRIGGER fire AFTER UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION fire();
"""


def test_triggers_for_each_statement_of_the_table_above_fire(database_url: str) -> None:
    tree(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(COUNTED)
        outcome = fill(database_url, spec("t", "n", "n + 1"))
        assert connection.execute("SELECT count(*)::int FROM fired").fetchone() == (outcome.batches,)
        by_block = replace(spec("t", "n", "1", where="n = 0", key=("ctid",)), name="by block")
        with pytest.raises(WholeTableOnly):
            fill(database_url, by_block)


def test_leaves_without_a_key_are_walked_by_blocks(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id int, n int) PARTITION BY RANGE (id);"
            "CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (500);"
            "CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (500) TO (1000);"
            "INSERT INTO t SELECT generate_series(0, 999)"
        )
    outcome = fill(
        database_url, spec("t", "n", "id", where="n IS NULL", key=("ctid",)), pace=Pace(largest=90)
    )
    assert (outcome.rows, outcome.good) == (1000, True)
    assert outcome.verdict is not None
    assert outcome.verdict.rows == 1000


SOURCE = (
    "CREATE TABLE source (ref integer PRIMARY KEY, v integer NOT NULL);"
    " INSERT INTO source SELECT g, g FROM generate_series(1, 1200) g"
)
OTHERS = {
    "join": (
        Spec(
            "work",
            QualifiedName("t"),
            (("n", "s.v"),),
            work=JoinedUpdate(QualifiedName("source"), "s", "s.ref = t.id"),
        ),
        "SELECT count(*) FROM t WHERE n = id",
    ),
    "locked join": (
        Spec(
            "work",
            QualifiedName("t"),
            (("n", "s.v"),),
            work=JoinedUpdate(QualifiedName("source"), "s", "s.ref = t.id", lock=True),
        ),
        "SELECT count(*) FROM t WHERE n = id",
    ),
    "copy": (
        Spec(
            "work",
            QualifiedName("t"),
            (("id", "id"), ("at", "t.at")),
            work=InsertSelect(QualifiedName("copies")),
        ),
        "SELECT count(*) FROM copies JOIN t USING (id, at)",
    ),
    "delete": (
        Spec("work", QualifiedName("t"), where="t.n = 0", work=Delete()),
        "SELECT 1200 - count(*) FROM t",
    ),
}


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_joins_copies_and_deletes_go_leaf_by_leaf(database_url: str, kind: str) -> None:
    tree(database_url)
    work, done = OTHERS[kind]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SOURCE)
        connection.execute("CREATE TABLE copies (id integer, at date)")
        outcome = fill(database_url, work, pace=Pace(largest=40, workers=2))
        assert (outcome.good, outcome.rows) == (True, 1200)
        assert sorted(leaves_walked(database_url)) == ["new", "old_0", "old_1"]
        assert connection.execute(done).fetchone() == (1200,)
    if "join" in kind:
        undo_backfill(database_url, "work", pace=Pace(), stop=Quiet(), watch=Quiet())
        assert values_of(database_url) == {0: 1200}


def test_a_delete_needs_its_right_on_the_leaves(database_url: str) -> None:
    tree(database_url)
    name = "clerk_" + psycopg.conninfo.conninfo_to_dict(database_url)["dbname"][-8:]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'clerk'".encode())
        connection.execute(f'GRANT SELECT, DELETE ON t TO "{name}"; GRANT SELECT ON new TO "{name}"'.encode())
        url = psycopg.conninfo.make_conninfo(database_url, user=name, password="clerk")  # noqa: S106
        with pytest.raises(MayNot, match="GRANT DELETE ON new"):
            fill(url, OTHERS["delete"][0])
        connection.execute(f'DROP OWNED BY "{name}"'.encode())
        connection.execute(f'DROP ROLE "{name}"'.encode())


def test_columns_that_are_named_with_the_schema_are_understood(database_url: str) -> None:
    tree(database_url)
    assert fill(database_url, spec("t", "n", 'public."t".id')).good
    assert set(leaves_walked(database_url)) == {None}
