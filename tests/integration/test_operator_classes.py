"""Which index takes which type, asked of a server."""

from __future__ import annotations

import psycopg
import pytest

from evolve.postgres.connect import connect
from evolve.postgres.scratch import Server
from evolve.sql import operations as op
from evolve.sql.operator_classes import HELD, holds
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema

pytestmark = pytest.mark.server

MADE = "CREATE TYPE status AS ENUM ('new'); CREATE DOMAIN code AS varchar(3)"
TYPES = (
    '"char"', "aclitem", "bigint", "bit(3)", "varbit", "boolean", "box", "bytea", "char(3)",
    "varchar", "varchar(9)", "cid", "cidr", "circle", "date", "datemultirange", "daterange",
    "float8", "inet", "int", "int4range", "interval", "json", "jsonb", "jsonpath", "line", "lseg",
    "macaddr", "macaddr8", "money", "name", "numeric", "numeric(9,2)", "nummultirange", "numrange",
    "oid", "path", "point", "polygon", "real", "smallint", "text", "tid", "time", "timetz",
    "timestamp", "timestamptz(3)", "tsquery", "tstzmultirange", "tsvector", "uuid", "xid", "xid8",
    "xml", "int[]", "varchar(5)[]", "status", "status[]", "code",
)  # fmt: skip


@pytest.mark.parametrize("method", sorted(HELD))
def test_index_method_takes_the_types_that_are_said(scratch_server: Server, method: str) -> None:
    schema = Schema()
    for operation in parse(MADE):
        apply(schema, operation)
    url = scratch_server.create_database()
    wrong = []
    try:
        with connect(url, autocommit=True) as connection:
            connection.execute(MADE.encode())
            for written in TYPES:
                sql = f"CREATE TABLE t (c {written})"
                (made,) = parse(sql)
                assert isinstance(made, op.CreateTable)
                said = holds(method, made.columns[0].type, schema)
                if said is not _takes(connection, sql, f"CREATE INDEX ON t USING {method} (c)"):
                    wrong.append((written, said))
    finally:
        scratch_server.drop_database(url)

    assert wrong == []


def _takes(connection: psycopg.Connection[tuple[object, ...]], *statements: str) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            for sql in statements:
                connection.execute(sql.encode())
    except psycopg.errors.UndefinedObject:
        return False
    return True
