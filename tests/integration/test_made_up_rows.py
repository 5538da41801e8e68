"""Rows that are made up for a backfill's trial: what tables take them, and what is said of those that do not."""

from __future__ import annotations

import pytest
from support.servers import MakeDatabase

from evolve.postgres.connect import Connection, connect
from evolve.testing.made_up_rows import CannotMakeUp, make_up_rows

pytestmark = pytest.mark.server

COUNT = 300


def filled(connection: Connection, ddl: str) -> list[tuple[object, ...]]:
    """The rows of table t after it was made and filled."""
    for statement in ddl.split(";"):
        connection.execute(statement.encode())
    row = connection.execute("SELECT 't'::regclass::oid::bigint").fetchone()
    assert row is not None
    oid = row[0]
    assert isinstance(oid, int)
    make_up_rows(connection, oid, COUNT)
    return connection.execute("SELECT * FROM t").fetchall()


@pytest.mark.parametrize(
    "columns",
    [
        "a text[] NOT NULL, b jsonb[] NOT NULL",
        "a numeric(3, 2) NOT NULL, b smallint NOT NULL, c money NOT NULL, d real NOT NULL",
        'a varchar(3) UNIQUE, b char(4) UNIQUE, c "char" NOT NULL, d name UNIQUE',
        "a date NOT NULL, b time NOT NULL, c timetz NOT NULL, d timestamptz UNIQUE, e interval UNIQUE",
        "a inet UNIQUE, b cidr UNIQUE, c macaddr UNIQUE",
        "a int4range NOT NULL, b tstzrange NOT NULL, c int4multirange NOT NULL",
        "a bit(3) NOT NULL, b varbit(5) NOT NULL, c bytea UNIQUE, d uuid UNIQUE",
        "a json NOT NULL, b jsonb NOT NULL, c tsvector NOT NULL, d point NOT NULL",
        "a int GENERATED ALWAYS AS IDENTITY, b int GENERATED ALWAYS AS (1) STORED",
        "a text NOT NULL DEFAULT 'new' CHECK (a IN ('new', 'old'))",
        "a text CHECK (a IN ('new', 'old')), b text NOT NULL",
        "a int NOT NULL REFERENCES t",
        "a int REFERENCES t",
    ],
)
def test_columns_of_any_type(make_database: MakeDatabase, columns: str) -> None:
    with connect(make_database()) as connection:
        assert len(filled(connection, f"CREATE TABLE t (id int PRIMARY KEY, {columns})")) == COUNT


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TYPE \"M x\" AS ENUM ('a', 'b');"
        'CREATE TABLE t (id int PRIMARY KEY, m "M x" NOT NULL, n "M x"[] NOT NULL)',
        "CREATE DOMAIN a AS text NOT NULL; CREATE DOMAIN b AS a; CREATE TABLE t (id int PRIMARY KEY, a a, b b)",
        "CREATE TABLE p (a int, b text, PRIMARY KEY (a, b));"
        "CREATE TABLE t (id int PRIMARY KEY, b text NOT NULL, a int NOT NULL, FOREIGN KEY (a, b) REFERENCES p)",
        "CREATE TABLE p (id uuid PRIMARY KEY); CREATE TABLE t (id uuid PRIMARY KEY REFERENCES p, n int NOT NULL)",
        "CREATE TABLE t (a int, b int, PRIMARY KEY (a, b)) PARTITION BY RANGE (b);"
        "CREATE TABLE u PARTITION OF t FOR VALUES FROM (0) TO (1000)",
    ],
    ids=["enum", "domain", "two keys", "a key that is a parent", "partitions"],
)
def test_tables_of_any_kind(make_database: MakeDatabase, ddl: str) -> None:
    with connect(make_database()) as connection:
        assert len(filled(connection, ddl)) == COUNT


def test_what_a_rule_wants_otherwise_is_said(make_database: MakeDatabase) -> None:
    with (
        connect(make_database()) as connection,
        pytest.raises(
            CannotMakeUp, match=r'^"public"."t": new row for relation "t" violates check constraint'
        ),
    ):
        filled(connection, "CREATE TABLE t (id int PRIMARY KEY, a text NOT NULL CHECK (a IN ('new', 'old')))")
