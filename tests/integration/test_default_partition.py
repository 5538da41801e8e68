"""Which CHECK constraints spare PostgreSQL reading the DEFAULT partition when another is made."""

from __future__ import annotations

import pytest

from evolve.postgres.connect import connect
from evolve.postgres.measure import measure
from evolve.sql.bound_proof import excluding_check
from evolve.sql.effects import effect
from evolve.sql.names import QualifiedName
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema

DEFAULT = QualifiedName("d")


def predicted(setup: str, sql: str) -> bool:
    schema = Schema()
    for operation in parse(setup):
        apply(schema, operation)
    [operation] = parse(sql)
    return DEFAULT in effect(operation, schema).scans


@pytest.mark.server
@pytest.mark.parametrize("null", ["", " NOT NULL"])
@pytest.mark.parametrize(
    ("by", "bound", "condition"),
    [
        ("LIST", "IN (2027)", None),
        ("LIST", "IN (2027, 2028)", None),
        ("LIST", "IN (2027, 2028)", "NOT (k IN (2027, 2028))"),
        ("LIST", "IN (2027)", "k IS NULL OR k <> 2027"),
        ("LIST", "IN (2027)", "k > 0"),
        ("RANGE", "FROM (2027) TO (2028)", None),
        ("RANGE", "FROM (2027) TO (MAXVALUE)", None),
        ("RANGE", "FROM (MINVALUE) TO (1)", None),
        ("RANGE", "FROM (2027) TO (2028)", "k < 2027 OR k >= 2028 OR k IS NULL"),
        ("RANGE", "FROM (2027) TO (2028)", "NOT (k >= 2027 AND k < 2028)"),
        ("RANGE", "FROM (2027) TO (2028)", "k < 2028"),
    ],
)
def test_default_is_read_only_where_that_is_predicted(
    database_url: str, null: str, by: str, bound: str, condition: str | None
) -> None:
    check = condition or excluding_check("k", f"FOR VALUES {bound}")
    setup = f"""
        CREATE TABLE p (k integer{null}) PARTITION BY {by} (k);
        CREATE TABLE d PARTITION OF p DEFAULT;
        ALTER TABLE d ADD CHECK ({check});
        INSERT INTO p SELECT 2020 FROM generate_series(1, 100);
    """
    sql = f"CREATE TABLE n PARTITION OF p FOR VALUES {bound}"
    with connect(database_url, autocommit=True) as connection:
        connection.execute(setup.encode())
        measured = measure(connection, sql)

    assert measured.error is None
    assert (DEFAULT in measured.scanned) is predicted(setup, sql)
