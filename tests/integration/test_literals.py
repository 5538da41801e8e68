"""What is said of defaults and types, asked of a server."""

from __future__ import annotations

import psycopg
import pytest

from evolve.postgres.connect import connect
from evolve.postgres.scratch import Server
from evolve.sql import operations as op
from evolve.sql.literals import misfit
from evolve.sql.parse import parse
from evolve.sql.replay import apply
from evolve.sql.schema import Schema

pytestmark = pytest.mark.server

MADE = "CREATE TYPE status AS ENUM ('new', 'paid'); CREATE DOMAIN code AS varchar(3)"
TYPES = (
    "smallint",
    "int",
    "bigint",
    "numeric",
    "numeric(4,2)",
    "real",
    "float8",
    "boolean",
    "text",
    "varchar(3)",
    "char(3)",
    "varchar",
    "uuid",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "json",
    "jsonb",
    "bytea",
    "status",
    "code",
    "int[]",
    "text[]",
    "status[]",
    "inet",
    "money",
)
DEFAULTS = (
    "0", "1", "-1", "12.5", "40000", "3000000000", "99999999999999999999", "1e3", "true", "FALSE",
    "''", "' '", "'abc'", "'abcdef'", "'abc   '", "'12'", "' 12 '", "'-7'", "'1.5'", "'40000'", "'3000000000'",
    "'1e3'", "'NaN'", "'-Infinity'", "'inf'", "'1,5'", "'12a'", "'t'", "'tr'", "'of'", "'o'", "'YES'", "'nope'",
    "'new'", "'gone'", "'NEW'", "'now'", "'now()'", "'today'", "'CURRENT_TIMESTAMP'", "'2026-01-01'",
    "'2026-01-01 10:00+00'", "'10:00'", "'1 day'", "'P1D'", "'year'", "'null'", "'[]'", "'{}'", "'{\"a\": 1}'",
    "'{a: 1}'", "'{1,2}'", "'{new}'", "'{new,gone}'", "'{a,NULL}'", "'[1,2]'", "'0c8a7f20-7bd0-4e6c-9d0f-0f2f5d1c2b3a'",
    "'0c8a7f207bd04e6c9d0f0f2f5d1c2b3a'", "'{0c8a7f20-7bd0-4e6c-9d0f-0f2f5d1c2b3a}'", "'::1'", "'5'::int",
    "'x'::text", "'new'::status", "'gone'::status", "'abcdef'::varchar(3)", "now", "status",
)  # fmt: skip
# How long a text these give cannot be known.
COMPUTED = ("now()", "CURRENT_TIMESTAMP", "current_date", "gen_random_uuid()", "random()")


@pytest.fixture(scope="module")
def schema() -> Schema:
    made = Schema()
    for operation in parse(MADE):
        apply(made, operation)
    return made


@pytest.mark.parametrize("type_", TYPES)
def test_default_is_refused_where_that_is_said(scratch_server: Server, schema: Schema, type_: str) -> None:
    url = scratch_server.create_database()
    wrong = []
    try:
        with connect(url, autocommit=True) as connection:
            connection.execute(MADE.encode())
            connection.execute(b"CREATE TABLE old (id int)")
            for default in (*DEFAULTS, *COMPUTED):
                stored = _refused(connection, f"CREATE TABLE new (c {type_} DEFAULT {default})")
                used = stored or _refused(
                    connection, f"ALTER TABLE old ADD COLUMN c {type_} DEFAULT {default}"
                )
                (created,) = parse(f"CREATE TABLE new (c {type_} DEFAULT {default})")
                assert isinstance(created, op.CreateTable)
                column = created.columns[0]
                found = misfit(column.default, column.type, schema) if column.default else None
                said = found is not None and not found.when_used, found is not None
                # What is said must be so; what is not said may be, where the type is not one of the usual.
                least = (
                    (stored, used if default not in COMPUTED else stored)
                    if type_ in USUAL
                    else (False, False)
                )
                if said[0] > stored or said[1] > used or said < least:
                    wrong.append((default, said, (stored, used)))
    finally:
        scratch_server.drop_database(url)

    assert wrong == []


# All of what a server refuses of these is told.
USUAL = frozenset(
    {
        "smallint",
        "int",
        "bigint",
        "boolean",
        "text",
        "varchar(3)",
        "char(3)",
        "uuid",
        "json",
        "status",
        "code",
    }
)


def _refused(connection: psycopg.Connection[tuple[object, ...]], sql: str) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(sql.encode())
    except psycopg.Error:
        return True
    return False
