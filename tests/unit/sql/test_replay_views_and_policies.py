"""What the replayed schema knows of views' columns and of policies."""

from __future__ import annotations

from evolve.sql.names import QualifiedName as N
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema


def replayed(sql: str) -> Schema:
    schema = Schema()
    for operation in parse(sql):
        apply(schema, operation)
    return schema


def test_renamed_column_of_a_view_is_renamed_where_it_is_read() -> None:
    schema = replayed(
        "CREATE TABLE t (a integer); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS SELECT a FROM v; "
        "ALTER VIEW v RENAME COLUMN a TO b"
    )

    assert schema.views[N("v")].columns == ("b",)
    assert schema.views[N("w")].uses == {(N("v"), "b")}


def test_policies_of_a_table_are_known_by_name() -> None:
    schema = replayed(
        "CREATE TABLE t (a integer); CREATE POLICY p ON t; CREATE POLICY q ON t; ALTER POLICY p ON t RENAME TO r; "
        "DROP POLICY q ON t"
    )

    assert schema.tables[N("t")].policies == ("r",)
